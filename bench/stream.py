"""What browsers on the live page cost the exporter: its CPU with and without them, and how soon a change has reached all.

    python -m bench.stream [--browsers 200] [--active 1000] [--every 2] [--seconds 20] [--rounds 2]

A real exporter with so many active processes, each of which reports progress and a line every so many seconds (batched, as the SDK
does). So many connections follow /live, read as a browser reads them, from a process of their own. The peer is the same number of
connections on the API's stream, which tells everybody whole processes. CPU is of the exporter alone, in cores; a change counts as
visible when the last connection has it. The target: under half a core, within a second. JSON goes to bench/results/ too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
import requests

TARGET_CORES: Final = 0.5
TARGET_SECONDS: Final = 1.0
ROOT: Final = Path(__file__).resolve().parent.parent
MARK: Final = b"seen-"  # what a change whose way is timed writes into its line


class Exporter:
    """A child process with a data directory of its own."""

    def __init__(self, folder: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url, self.address = f"http://127.0.0.1:{port}", ("127.0.0.1", port)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
        command = [sys.executable, "-m", "headway", "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", folder]
        self.child = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.session = requests.Session()
        deadline = time.monotonic() + 60
        while not self._ready():
            if time.monotonic() > deadline or self.child.poll() is not None:
                raise SystemExit("the exporter did not come up")
            time.sleep(0.1)
        self.process = psutil.Process(self.child.pid)

    def _ready(self) -> bool:
        try:
            return self.session.get(f"{self.url}/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    def batch(self, items: list[dict[str, Any]]) -> None:
        self.session.post(f"{self.url}/api/processes/batch", json={"items": items}, timeout=60).raise_for_status()

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        self.child.terminate()
        self.child.wait(30)


class Reports:
    """Reports about all processes evenly over `every` seconds, a tenth of them at a time, in a thread."""

    def __init__(self, exporter: Exporter, active: int, every: float) -> None:
        self.exporter, self.active, self.every = exporter, active, every
        self.turn = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        part, due = max(1, self.active // 10), time.monotonic()
        while not self.over.is_set():
            self.turn += 1
            for first in range(0, self.active, part):
                ids = range(first, min(first + part, self.active))
                line = f"row {self.turn} of many was read and written"
                self.exporter.batch([{"id": f"p{n}", "progress": {"current": self.turn}, "log": line} for n in ids])
                due += self.every / 10
                if self.over.wait(max(0.0, due - time.monotonic())):
                    return

    def end(self) -> None:
        self.over.set()
        self.thread.join(30)


def follow(address: tuple[str, int], path: str, browsers: int) -> None:
    """In a child: holds the connections open; for each number of a timed change a line with the moment when the last had it."""
    poll = selectors.DefaultSelector()
    request = f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nAccept: text/event-stream\r\n\r\n".encode()
    for _ in range(browsers):
        connection = socket.create_connection(address)
        connection.sendall(request)
        connection.setblocking(False)
        poll.register(connection, selectors.EVENT_READ, bytearray())
    seen: dict[bytes, int] = {}
    total, told = 0, 0.0
    while True:
        for key, _ in poll.select(1.0):
            assert isinstance(key.fileobj, socket.socket)
            try:
                data = key.fileobj.recv(1 << 20)
            except BlockingIOError:
                continue
            if not data:
                raise SystemExit("the exporter closed a connection")
            total += len(data)
            rest: bytearray = key.data
            text = bytes(rest) + data
            at = text.find(MARK)
            while at >= 0:
                end = text.find(b".", at)
                if end < 0:
                    break
                number = text[at:end]
                seen[number] = seen.get(number, 0) + 1
                if seen[number] == browsers:
                    print(json.dumps({"number": int(number[len(MARK) :]), "at": time.time()}), flush=True)
                at = text.find(MARK, end)
            rest[:] = text[at:] if at >= 0 else text[-len(MARK) :]
        if time.monotonic() - told > 1.0:
            told = time.monotonic()
            print(json.dumps({"bytes": total}), flush=True)


class Followers:
    """The child that follows, and what it says."""

    def __init__(self, exporter: Exporter, path: str, browsers: int) -> None:
        arguments = [sys.executable, "-m", "bench.stream", "--follow", path, str(exporter.address[1]), str(browsers)]
        self.child = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.arrived: dict[int, float] = {}
        self.bytes = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            said = json.loads(line)
            if "number" in said:
                self.arrived[said["number"]] = said["at"]
            else:
                self.bytes = said["bytes"]

    def end(self) -> None:
        self.child.terminate()
        self.child.wait(30)


def measure(exporter: Exporter, path: str | None, options: argparse.Namespace, numbers: list[int]) -> dict[str, Any]:
    """CPU of the exporter over some seconds, with nobody (None) or everybody on a path; how late timed changes were."""
    followers = None if path is None else Followers(exporter, path, options.browsers)
    time.sleep(4)  # the first state of all is sent
    began, used, moved = time.monotonic(), exporter.cpu_seconds(), followers.bytes if followers else 0
    sent: dict[int, float] = {}
    while time.monotonic() - began < options.seconds:
        if followers is not None:
            numbers.append(len(numbers))
            sent[numbers[-1]] = time.time()
            exporter.batch([{"id": "timed", "log": f"{MARK.decode()}{numbers[-1]}."}])
        time.sleep(0.731)
    cores = (exporter.cpu_seconds() - used) / (time.monotonic() - began)
    found: dict[str, Any] = {"cores": round(cores, 3)}
    if followers is not None:
        time.sleep(2)
        late = sorted(followers.arrived[n] - at for n, at in sent.items() if n in followers.arrived)
        found |= {
            "changes": len(sent),
            "arrived": len(late),
            "megabytes_per_second": round((followers.bytes - moved) / 1e6 / options.seconds, 1),
        }
        if late:
            found |= {"median_seconds": round(median(late), 3), "worst_seconds": round(late[-1], 3)}
        followers.end()
        time.sleep(1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browsers", type=int, default=200)
    parser.add_argument("--active", type=int, default=1000)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two reports of one process")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--follow", nargs=3, metavar=("PATH", "PORT", "BROWSERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.follow:
        path, port, browsers = options.follow
        follow(("127.0.0.1", int(port)), path, int(browsers))
        return
    with tempfile.TemporaryDirectory() as folder:
        exporter = Exporter(folder)
        try:
            names = [
                {"name": f"Job {n}", "type": "task", "progress": {"total": 100_000, "unit": "rows"}} for n in range(options.active)
            ]
            exporter.batch([{"id": f"p{n}", "create": form} for n, form in enumerate(names)][:1000])
            exporter.batch([{"id": "timed", "create": {"name": "The one that is timed", "type": "task"}}])
            reports, numbers = Reports(exporter, options.active, options.every), []  # type: tuple[Reports, list[int]]
            rows = {"nobody": [], "pages (/live)": [], "API stream": []}  # type: dict[str, list[dict[str, Any]]]
            for _ in range(options.rounds):
                rows["nobody"].append(measure(exporter, None, options, numbers))
                rows["pages (/live)"].append(measure(exporter, "/live", options, numbers))
                rows["API stream"].append(measure(exporter, "/api/processes/stream", options, numbers))
            reports.end()
        finally:
            exporter.end()
    found = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
        **{name: getattr(options, name) for name in ("browsers", "active", "every", "seconds")},
        "target": {"cores": TARGET_CORES, "seconds": TARGET_SECONDS},
        "rounds": rows,
    }
    shape = f"{options.browsers} browsers, {options.active} active processes, each reporting every {options.every:g} s"
    print(f"{shape}; load {found['load']}")
    print(f"{'who follows':<16}{'cores':>8}{'MB/s':>8}{'median s':>10}{'worst s':>10}{'changes that reached all':>26}")
    for name, rounds in rows.items():
        for one in rounds:
            cells = (one.get("megabytes_per_second", ""), one.get("median_seconds", ""), one.get("worst_seconds", ""))
            reached = f"{one['arrived']}/{one['changes']}" if "changes" in one else ""
            print(f"{name:<16}{one['cores']:>8}{cells[0]:>8}{cells[1]:>10}{cells[2]:>10}{reached:>26}")
    text = json.dumps(found, indent=2)
    (Path(__file__).parent / "results" / "stream.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
