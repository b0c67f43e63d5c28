"""A real Prometheus with our rules, for the tests of dashboards."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import ROOT
from waiting import wait_until


def ask(prometheus: str, expr: str, at: float | None = None) -> list[dict[str, Any]]:
    """The rows of an instant query; each its labels and "value"."""
    return [{**row["metric"], "value": float(row["value"][1])} for row in raw(prometheus, expr, at)]


def raw(prometheus: str, expr: str, at: float | None = None) -> list[dict[str, Any]]:
    """The same as Prometheus says it."""
    result: list[dict[str, Any]] = fetched(prometheus, "query", {"query": expr} | ({} if at is None else {"time": at}))["result"]
    return result


def fetched(prometheus: str, path: str, parameters: Mapping[str, Any]) -> Any:
    """What a call of its API answers."""
    form = urllib.parse.urlencode(dict(parameters)).encode()
    with urllib.request.urlopen(f"{prometheus}/api/v1/{path}", form, timeout=30) as answer:
        return json.load(answer)["data"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_prometheus() -> str | None:
    own = ROOT / ".headway" / "bin" / "prometheus"
    return str(own) if own.exists() else shutil.which("prometheus")


@contextmanager
def prometheus(folder: Path, targets: list[str], job: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The address of a real Prometheus with our rules that has scraped each of the targets (host:port) and does so every second.
    `job`: what its scrape configuration says beside that."""
    binary = find_prometheus()
    if binary is None:
        pytest.skip("no prometheus in .headway/bin or on PATH: run make up")
    jobs = [{"job_name": "headway", "static_configs": [{"targets": targets}], **(job or {})}]
    # What is recorded rarely is recorded as often as the rest, and alerts fire soon: nobody waits half a minute for it here.
    (folder / "rules").mkdir()
    for path in (ROOT / "prometheus" / "rules").glob("*.yml"):
        text = re.sub(r"interval: \d+s", "interval: 1s", path.read_text(encoding="utf-8"))
        text = re.sub(r"^( +for): \w+", r"\1: 1s", text, flags=re.MULTILINE)
        (folder / "rules" / path.name).write_text(text, encoding="utf-8")
    rules = ["rules/*.yml"]
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": rules, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [binary, "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def scraped() -> bool:
        assert child.poll() is None, (folder / "log").read_text()
        try:
            return len(ask(url, "headway_build_info")) == len(targets)
        except OSError:
            return False

    try:
        wait_until(scraped, timeout=30, what=f"{targets} scraped")
        yield url
    finally:
        child.terminate()
        child.wait(timeout=30)
