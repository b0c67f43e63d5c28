"""compose.yaml as a project of its own, and how it is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from live_stack import ROOT, fetch, free_ports

SERVICES = ("exporter", "prometheus", "alertmanager", "grafana")
# What compose.yaml mounts, and the file itself.
FILES = (
    "compose.yaml",
    "prometheus",
    "alerting/alertmanager.yml",
    "alerting/templates",
    "grafana",
    "loki",
    "demo",
    "exporter/headway.yaml",
)
LONG = 180.0


class Composed:
    """The stack of a copy of this clone, as a project of its own."""

    def __init__(self, folder: Path, environ: dict[str, str], compose: Sequence[str]) -> None:
        self.folder, self.compose = folder, compose
        self.ports = dict(zip((*SERVICES, "loki"), free_ports(len(SERVICES) + 1), strict=True))
        self.project = f"headway-test-{os.getpid()}"
        self.environ = environ | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        for name in FILES:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        self.file: dict[str, Any] = yaml.safe_load((folder / "compose.yaml").read_text())

    def run(self, *words: str, check: bool = True, timeout: float = LONG) -> subprocess.CompletedProcess[str]:
        command = [*self.compose, "--project-name", self.project, *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stderr[-3000:]}\n{self.logs()}")
        return done

    def logs(self) -> str:
        return self.run("logs", "--no-color", "--tail", "40", check=False).stdout

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def states(self) -> dict[str, str]:
        """Service → healthy, running, exited …"""
        lines = self.run("ps", "--all", "--format", "json").stdout.splitlines()
        return {one["Service"]: one["Health"] or one["State"] for one in map(json.loads, lines)}

    def inspect(self, service: str) -> dict[str, Any]:
        container = self.run("ps", "--all", "--quiet", service).stdout.strip()
        done = subprocess.run(["docker", "inspect", container], env=self.environ, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def query(self, expr: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        more = {} if at is None else {"time": f"{at:.3f}"}
        result = fetch(f"{self.url('prometheus')}/api/v1/query", query=expr, **more)["data"]["result"]
        return [(row["metric"], float(row["value"][1])) for row in result]
