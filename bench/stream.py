"""What browsers on the live page cost the exporter, and how soon a change has reached all of them.

    python -m bench.stream [--browsers 200] [--active 1000] [--every 2] [--seconds 12] [--rounds 5]

A real exporter with so many active processes, each of which reports progress and a line every so many seconds (batched, as the SDK
does). So many connections follow what pages follow (/live), read as a browser reads it, by another process. The peer is as many
connections on the API's stream, which tells each of them whole processes. CPU and memory are the exporter's alone, reports
included, in cores; a change counts as seen when the last connection has it. The target: half a core, and a second.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

from bench.harness import Report, Server, exporter, fill, memory_bytes, parser

TARGET_CORES: Final = 0.5
TARGET_SECONDS: Final = 1.0
ROOT: Final = Path(__file__).resolve().parent.parent
FOLLOW: Final = "--follow"
MARK: Final = b"seen-"  # what a change whose way is timed writes into its line
SETTLE: Final = 4.0  # s until the first state of all is sent
BETWEEN: Final = 0.731  # s between two timed changes: not in step with anything


@contextmanager
def reports(target: Server, ids: Sequence[str], every: float) -> Iterator[None]:
    """Reports about all of them evenly over `every` seconds, a tenth at a time, in a thread."""
    over = threading.Event()
    part = max(1, len(ids) // 10)

    def run() -> None:
        due = time.monotonic()
        for turn in count(2):
            for first in range(0, len(ids), part):
                line = f"row {turn} of many was read and written"
                items = [{"id": one, "progress": {"current": turn}, "log": line} for one in ids[first : first + part]]
                target.call("POST", "/api/processes/batch", {"items": items})
                due += every * part / len(ids)
                if over.wait(max(0.0, due - time.monotonic())):
                    return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(30)


def hold(address: tuple[str, int], path: str, browsers: int) -> None:
    """In a child: holds the connections; a line of JSON for each timed change that the last one has, and each second what came."""
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
                return
            total += len(data)
            rest: bytearray = key.data
            text = bytes(rest) + data
            at = text.find(MARK)
            while at >= 0 and (end := text.find(b".", at)) >= 0:
                number = text[at + len(MARK) : end]
                seen[number] = seen.get(number, 0) + 1
                if seen[number] == browsers:
                    print(json.dumps({"number": int(number), "at": time.time()}), flush=True)
                at = text.find(MARK, end)
            rest[:] = text[at:] if at >= 0 else text[-len(MARK) :]
        if time.monotonic() - told > 1.0:
            told = time.monotonic()
            print(json.dumps({"bytes": total}), flush=True)


class Followers:
    """The child that holds the connections, and what it says: when the last one had a change (unix s), bytes that came to all."""

    def __init__(self, target: Server, path: str, browsers: int) -> None:
        port = str(urlsplit(target.url).port)
        arguments = [sys.executable, "-m", "bench.stream", FOLLOW, path, port, str(browsers)]
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


def alone(target: Server, seconds: float) -> float:
    """Cores of the exporter while nobody follows."""
    time.sleep(SETTLE)
    began, used = time.monotonic(), target.cpu_seconds()
    time.sleep(seconds)
    return (target.cpu_seconds() - used) / (time.monotonic() - began)


def followed(target: Server, path: str, browsers: int, seconds: float, numbers: Iterator[int]) -> tuple[float, float, list[float]]:
    """Cores of the exporter, bytes a second to all, and how late each timed change had reached the last connection (s; infinite: it
    never did, because a newer state came first)."""
    followers = Followers(target, path, browsers)
    time.sleep(SETTLE)
    began, used, moved = time.monotonic(), target.cpu_seconds(), followers.bytes
    sent: dict[int, float] = {}
    while time.monotonic() - began < seconds:
        number = next(numbers)
        sent[number] = time.time()
        item = {"id": "timed", "log": f"{MARK.decode()}{number}."}
        target.call("POST", "/api/processes/batch", {"items": [item]})
        time.sleep(BETWEEN)
    took = time.monotonic() - began
    cores, rate = (target.cpu_seconds() - used) / took, (followers.bytes - moved) / took
    time.sleep(2 * TARGET_SECONDS)
    followers.end()
    return cores, rate, [followers.arrived.get(one, float("inf")) - at for one, at in sent.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == [FOLLOW]:
        hold(("127.0.0.1", int(given[2])), given[1], int(given[3]))
        return 0
    flags = parser(__doc__)
    flags.add_argument("--browsers", type=int, default=200)
    flags.add_argument("--active", type=int, default=1000)
    flags.add_argument("--every", type=float, default=2.0, help="seconds between two reports of one process")
    flags.add_argument("--seconds", type=float, default=12.0, help="of each measurement")
    options = flags.parse_args(given)
    about = f"{options.browsers} browsers, {options.active} active processes, each reports every {options.every:g} s"
    report = Report("stream", about)
    report.facts |= {name: getattr(options, name) for name in ("browsers", "active", "every", "seconds")}
    with tempfile.TemporaryDirectory() as folder, exporter(Path(folder)) as target:
        ids = fill(target, options.active)
        target.call("POST", "/api/processes", {"id": "timed", "name": "The one that is timed", "type": "task"})
        numbers = count()
        with reports(target, ids, options.every):
            for _ in range(options.rounds):
                report.add("CPU while nobody follows", "cores", alone(target, options.seconds), of="bound")
                cores, rate, late = followed(target, "/live", options.browsers, options.seconds, numbers)
                report.add("CPU while pages follow", "cores", cores, target=TARGET_CORES)
                report.add("to all pages", "MB/s", rate / 1e6)
                report.add("a change has reached all pages: median", "s", median(late))
                report.add("a change has reached all pages: worst", "s", max(late), target=TARGET_SECONDS)
                cores, rate, late = followed(target, "/api/processes/stream", options.browsers, options.seconds, numbers)
                report.add("API stream: CPU", "cores", cores, of="peer")
                report.add("API stream: to all", "MB/s", rate / 1e6, of="peer")
                merged = sum(one == float("inf") for one in late) / len(late)
                report.add("API stream: resident memory", "MB", memory_bytes(target.pid) / 1e6, of="peer")
                report.add("API stream: changes that a newer state overtook somewhere", "%", 100 * merged, of="peer")
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
