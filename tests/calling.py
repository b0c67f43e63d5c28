"""Calls of the HTTP API as one caller makes them, and keys for others."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import requests

from running import RunningExporter


class Api:
    """Calls of one caller. `request` answers (status, body)."""

    def __init__(self, exporter: RunningExporter, key: str | None = None) -> None:
        self.url = exporter.url
        self.session = requests.Session()
        self.session.trust_env = False
        if key is not None:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def raw(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=30, **kwargs)

    def request(self, method: str, path: str, json: Any = None, **kwargs: Any) -> tuple[int, Any]:
        answer = self.raw(method, path, json=json, **kwargs)
        return answer.status_code, answer.json()

    def create(self, **fields: Any) -> dict[str, Any]:
        status, body = self.request("POST", "/api/processes", {"name": "job", "type": "task"} | fields)
        assert status in (200, 201), body
        data: dict[str, Any] = body["data"]
        return data

    def update(self, process_id: str, **fields: Any) -> dict[str, Any]:
        status, body = self.request("PATCH", f"/api/processes/{process_id}", fields)
        assert status == 200, body
        data: dict[str, Any] = body["data"]
        return data

    def get(self, process_id: str) -> dict[str, Any]:
        status, body = self.request("GET", f"/api/processes/{process_id}")
        assert status == 200, body
        data: dict[str, Any] = body["data"]
        return data

    def list(self, query: str = "") -> list[str]:
        status, body = self.request("GET", f"/api/processes?{query}")
        assert status == 200, body
        return [process["id"] for process in body["data"]]


def make_key(exporter: RunningExporter, role: str, *extra: str) -> str:
    """A new key of this role; `extra` as `headway key create` takes it."""
    command = [sys.executable, "-m", "headway", "key", "create", "--data-dir", str(exporter.data_dir)]
    done = subprocess.run([*command, "--name", f"{role}{len(extra)}", "--role", role, *extra], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(word for word in done.stdout.split() if word.startswith("hw_"))
