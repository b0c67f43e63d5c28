"""A real exporter with configured services, all of which are ended after the test."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from headway.services.probe import port_open
from running import RunningExporter
from waiting import wait_until

# A service that listens on the port given, writes a line at its start, and one when it is asked to end.
SERVER = """import signal, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def end(*_):
    print("asked to end", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("listening", flush=True)
while True:
    time.sleep(100)
"""


def free_port() -> int:
    """One that the kernel gives to nobody who asks for any: somebody might have such a one before the service begins."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Serving:
    """`call` speaks to its API with the admin key; `services` are those of the configuration, by name."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.config = folder / "headway.yaml"
        (folder / "server.py").write_text(SERVER)
        args = ("--config", str(self.config), "--sample-interval", "0.2", *flags)
        self.exporter = RunningExporter(folder / "data", args)

    def configure(self, services: dict[str, dict[str, Any]], **sections: Any) -> None:
        """JSON is YAML."""
        self.config.write_text(json.dumps({"services": services, **sections}))

    def start(self, services: dict[str, dict[str, Any]], **sections: Any) -> Serving:
        """With other sections of the configuration."""
        self.configure(services, **sections)
        self.exporter.start()
        return self

    def call(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        url = f"{self.exporter.url}/api/processes{path}"
        headers = {"Authorization": f"Bearer {self.exporter.key}"}
        answer = requests.request(method, url, json={} if body is None else body, headers=headers, timeout=60)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        found = answer.json()
        return found["data"] if expect < 400 else found["detail"]

    def status(self, name: str) -> dict[str, Any]:
        (found,) = self.call("GET", f"/status?name={name}")
        assert isinstance(found, dict)
        return found

    def until(self, name: str, status: str, timeout: float = 30, **facts: Any) -> dict[str, Any]:
        """Its status once it is this one, and `facts` hold."""

        def look() -> dict[str, Any] | None:
            found = self.status(name)
            there = found["status"] == status and all(found[fact] == value for fact, value in facts.items())
            return found if there else None

        try:
            return wait_until(look, timeout, f"{name} to be {status}") or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.status(name)}\n{''.join(self.exporter.output[-30:])}") from None

    def process(self, process_id: str) -> dict[str, Any]:
        found = self.call("GET", f"/{process_id}")
        assert isinstance(found, dict)
        return found

    def end(self) -> None:
        """Ends the exporter and all that was started for it, known by the folder it was started in."""
        if self.exporter.process is not None:
            self.exporter.kill()
        for _ in range(20):
            found = list(started_in(self.folder))
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


# Starts an exporter with these services.
Serve = Callable[..., Serving]


def server(port: int, **more: Any) -> dict[str, Any]:
    """A service that listens on this port; the script is in the folder of a :class:`Serving`."""
    return {"command": [sys.executable, "-u", "server.py", str(port)], "port": port, **more}


def listens(port: int) -> bool:
    return port_open(port)


def started_in(folder: Path) -> Iterator[int]:
    """The OS processes whose environment or working directory names this folder."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if str(folder).encode() in (entry / "environ").read_bytes() or (entry / "cwd").readlink().is_relative_to(folder):
                yield int(entry.name)
