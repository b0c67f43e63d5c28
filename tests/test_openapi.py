"""The API against its own document: schemathesis sends what it allows and what it forbids, and nothing may fail inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from running import RunningExporter, Starter

# Endless by nature (output with follow=true too); the tests of the API follow them.
STREAMS = ("/api/processes/stream", "/api/processes/{id}/output")
# What sends signals. Made-up pids may be real ones, so these are only called where there is nothing to hit.
SIGNALS = ("/api/processes/kill", "/api/processes/{id}/kill", "/api/processes/{id}/pause", "/api/processes/{id}/resume")

# What runs commands: made-up ones are better not run. Their refusals are tested in test_track.
COMMANDS = ("/api/processes/track", "/api/processes/{id}/retry")


def test_every_route_is_documented_with_its_errors(start_exporter: Starter) -> None:
    document: dict[str, Any] = requests.get(f"{start_exporter().url}/openapi.json", timeout=30).json()
    assert set(document["paths"]) == {
        "/api/alerting/relay/{receiver}",
        "/api/discovered",
        "/api/integrations",
        "/api/processes",
        "/api/processes/analyze",
        "/api/processes/batch",
        "/api/processes/cleanup",
        "/api/processes/kill",
        "/api/processes/report",
        "/api/processes/restart",
        "/api/processes/start",
        "/api/processes/start-all",
        "/api/processes/stats",
        "/api/processes/status",
        "/api/processes/stop",
        "/api/processes/stop-all",
        "/api/processes/stream",
        "/api/processes/suggest",
        "/api/processes/track",
        "/api/processes/trends",
        "/api/processes/{id}",
        "/api/processes/{id}/cancel",
        "/api/processes/{id}/kill",
        "/api/processes/{id}/output",
        "/api/processes/{id}/pause",
        "/api/processes/{id}/resume",
        "/api/processes/{id}/retry",
        "/api/processes/{id}/tree",
        "/api/processes/{name}/logs",
        "/api/settings",
        "/health",
        "/ready",
        "/metrics",
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            assert "401" in operation["responses"], (method, path)
    create = document["components"]["schemas"]["CreateIn"]
    assert create["required"] == ["name", "type"] and create["additionalProperties"] is False


def test_nothing_that_can_be_sent_fails_inside(start_exporter: Starter, tmp_path: Path) -> None:
    fuzz(start_exporter("--log-level", "warning"), tmp_path, [f"--exclude-path={path}" for path in (*STREAMS, *SIGNALS, *COMMANDS)])


# A process table of its own, in which the exporter is alone.
ALONE = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")


def test_nothing_that_sends_signals_fails_inside(tmp_path: Path) -> None:
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system gives us no process table of our own, and made-up pids may be real here")
    exporter = RunningExporter(tmp_path / "data", ("--log-level", "warning"), prefix=ALONE).start()
    try:
        fuzz(exporter, tmp_path, [f"--include-path={path}" for path in (*SIGNALS, "/api/processes")])
    finally:
        exporter.kill()


def fuzz(exporter: RunningExporter, tmp_path: Path, paths: list[str]) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{exporter.url}/openapi.json",
        "--phases=examples,coverage,fuzzing",
        "--max-examples=20",
        "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        *paths,
        "--header",
        f"Authorization: Bearer {exporter.key}",
        "--request-timeout=10",
        "--generation-database=none",
        "--no-color",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}\n{''.join(exporter.output)[-2000:]}"
    assert " generated" in done.stdout or "Test cases" in done.stdout, done.stdout[-2000:]
    said = "".join(exporter.output)
    assert "Traceback" not in said, said[said.find("Traceback") - 500 :][:4000]
