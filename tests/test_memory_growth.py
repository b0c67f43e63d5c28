"""The end of the memory, foreseen for a real process that grows: by the exporter, and from its metrics in a real Prometheus."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from headway import Client
from running import RunningExporter
from scraping import ask, prometheus
from waiting import wait_until

MIB = 2**20
# Ten MiB a second and no more than so much in all; on a machine of 24 GiB the memory would last for 40 minutes.
RATE, MOST = 10 * MIB, 900 * MIB
SCRIPT = f"""
import signal, sys, time
from headway import Reporter
signal.alarm(180)
grows, kept, started = sys.argv[1] == "grows", [bytearray(64 * {MIB})], time.monotonic()
with Reporter(sys.argv[1], "task", total=1_000_000) as run:
    while True:
        time.sleep(0.2)
        run.advance()
        if grows and len(kept) * {RATE} // 5 < {MOST}:
            kept.append(bytearray(b"x") * ({RATE} // 5))
"""


@pytest.fixture
def scripts(exporter: RunningExporter) -> Iterator[list[subprocess.Popen[bytes]]]:
    children = [subprocess.Popen([sys.executable, "-c", SCRIPT, name], env=exporter.client_env) for name in ("grows", "stays")]
    yield children
    for child in children:
        child.kill()
        child.wait()


def test_what_grows_without_end_is_told_before_the_memory_is_used_up(
    exporter: RunningExporter, scripts: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    with Client(exporter.url, exporter.key) as client, prometheus(tmp_path, [f"127.0.0.1:{exporter.port}"]) as address:

        def foreseen() -> dict[str, Any]:
            assert all(child.poll() is None for child in scripts)
            return {one["name"]: one for one in client.analyze()["forecasts"] if one["what"] == "memory"}

        wait_until(lambda: "grows" in foreseen(), 90, "the forecast", interval=1.0)
        whole = psutil.virtual_memory().total
        (process,) = client.list(name="grows")
        began, before = time.monotonic(), client.get(process["id"])["memory_bytes"]

        def agrees() -> bool:
            """Within a factor of two of what is true: how fast it grows can be seen from outside. The rule looks at five minutes of
            it, this at what there is yet."""
            held = client.get(process["id"])["memory_bytes"]
            rate = (held - before) / (time.monotonic() - began)
            ratio = f'headway_process_memory_ratio{{id="{process["id"]}"}}'
            rows = ask(address, f"(1 - {ratio}) / (deriv({ratio}[30s]) > 0)")
            left = (whole - held) / rate if rate > 0 else 0.0
            return bool(rows) and left / 2 < rows[0]["value"] < left * 2

        wait_until(agrees, 60, "Prometheus to say the same", interval=1.0)
        found, analysis = foreseen(), client.analyze()
        assert found["grows"]["verdict"] in ("yes", "likely") and "straight line" in found["grows"]["basis"]
        assert "stays" not in found, "memory that is only large is nothing to foresee"
        steps = [one for one in analysis["recommendations"] if process["id"] in one["command"]]
        assert any("memory" in one["action"] for one in steps), steps
