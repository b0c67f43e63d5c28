"""The stack as `make up` starts it, for tests: the real Prometheus, Alertmanager and exporter, on free ports, with its own data."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("exporter", "prometheus", "alertmanager")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def fetch(url: str, **parameters: str) -> Any:
    """The JSON answer of a GET."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(url + query, timeout=30) as answer:
        return json.load(answer)


@dataclass
class LiveStack:
    """A clone (`root`) with ports and state of its own. It finds Prometheus and Alertmanager where this clone has unpacked them,
    so that they are not fetched for every test; `more` is added to the environment."""

    state: Path
    root: Path = ROOT
    more: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    # Whether make is told the ports, or has to remember them.
    telling: bool = True

    def __post_init__(self) -> None:
        names = (*NAMES, "grafana")
        self.ports = self.ports or dict(zip(names, free_ports(len(names)), strict=True))

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HEADWAY_", "MAKE", "MFLAGS")) and not k.endswith("_PORT")}
        return {
            **kept,
            **{f"{name.upper()}_PORT": str(port) for name, port in self.ports.items() if self.telling},
            "STATE_DIR": str(self.state),
            "VENV": sys.prefix,
            "PATH": f"{kept.get('PATH', os.defpath)}{os.pathsep}{ROOT / '.headway/bin'}",
            **self.more,
        }

    def make(self, target: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Runs make and returns when it has ended; its output is in stdout."""
        return subprocess.run(
            ["make", "--no-print-directory", target],
            cwd=self.root,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def up(self, **environ: str) -> str:
        done = self.make("up", **environ)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def down(self) -> str:
        done = self.make("down")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def pids(self) -> dict[str, int]:
        """Of what is remembered as started, by name: the exporter, and what it keeps."""
        found = {}
        if (record := self.state / "run/exporter.json").exists():
            found["exporter"] = json.loads(record.read_text())["process"]["pid"]
        if (memory := self.state / "exporter/services.json").exists():
            services = json.loads(memory.read_text())["services"]
            found |= {name: known["pid"] for name, known in services.items() if known["pid"] is not None}
        return found

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """An instant query to the real Prometheus: labels and value of each series."""
        answer = fetch(f"{self.url('prometheus')}/api/v1/query", query=promql)
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def wait_for(self, promql: str, timeout: float = 30.0) -> list[tuple[dict[str, str], float]]:
        """The first answer of an instant query that is not empty. Prometheus may be starting."""

        def answer() -> list[tuple[dict[str, str], float]]:
            try:
                return self.query(promql)
            except OSError:
                return []

        return wait_until(answer, timeout, promql, interval=0.2)

    @property
    def client_env(self) -> dict[str, str]:
        """For a script that reports to this stack."""
        return {**self.environ, "HEADWAY_URL": self.url("exporter"), "HEADWAY_SPOOL": str(self.state / "spool")}


class Webhook:
    """A real receiver of Alertmanager's messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        # With characters that would mean something to a careless template.
        return f"http://127.0.0.1:{self.server.server_port}/hook?a=1&b=|x"

    def alerts(self, name: str, status: str) -> list[dict[str, Any]]:
        """What was received of an alert that fires or was resolved."""
        received = [alert for message in list(self.messages) for alert in message["alerts"]]
        return [alert for alert in received if alert["labels"]["alertname"] == name and alert["status"] == status]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
