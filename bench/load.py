"""An exporter at work: thousands of processes sampled and scraped every 2 s, and a steady stream of updates.

    python -m bench.load [--processes 5000] [--updates 1000] [--windows 6] [--seconds 8]

So many real children are tracked by pid through the API. Then, at the same time: the exporter samples them every 2 s, as it does by
itself; the page of /metrics is fetched every 2 s as Prometheus does (OpenMetrics, gzip); updates arrive one per request at a steady
rate over 32 connections. An update's time counts from the moment at which it was due, so that one which had to wait for its
connection is not forgotten. Beside it a bare ASGI application is asked 50 times a second: what the machine does to latencies.
The first window is for warming up. Targets: less than one core, 400 MB, and 20 ms for 99 of 100 updates.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import uvloop
from bench.api import bare
from bench.harness import MIB, Report, Server, exporter, memory_bytes, parser
from bench.sampling import sleepers

CORES: Final = 1.0
MEGABYTES: Final = 400.0
P99_MS: Final = 20.0
SCRAPE_EVERY: Final = 2.0
CONNECTIONS: Final = 32
BARE_EVERY: Final = 0.02
HEAD: Final = "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n"
JSON: Final = "Content-Type: application/json\r\nContent-Length: {length}\r\n"
AS_PROMETHEUS: Final = (
    "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5\r\nAccept-Encoding: gzip\r\n"
)


class Connection:
    """One that is kept alive; answers have a length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, target: Server) -> Connection:
        host, port = target.url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=MIB))

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 2"):
            raise SystemExit(f"refused: {head!r}")
        return await self.reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))


def patch(process_id: str, current: int) -> bytes:
    body = f'{{"progress": {{"current": {current}}}}}'
    head = HEAD.format(method="PATCH", path=f"/api/processes/{process_id}", more=JSON.format(length=len(body)))
    return (head + body).encode()


async def steadily(every: float, until: float, work: Callable[[Connection, int], bytes], target: Server, first: int) -> list[float]:
    """Asks every so many seconds over one connection; ms from when each was due."""
    connection = await Connection.open(target)
    due, took = time.perf_counter() + every * first / CONNECTIONS, []
    for number in itertools.count():
        now = time.perf_counter()
        if now >= until:
            break
        if due > now:
            await asyncio.sleep(due - now)
        await connection.ask(work(connection, number))
        took.append((time.perf_counter() - due) * 1e3)
        due += every
    connection.writer.close()
    return took


async def scrapes(target: Server, until: float) -> list[tuple[float, int]]:
    """Seconds and bytes of each page."""
    connection, found = await Connection.open(target), []
    request = HEAD.format(method="GET", path="/metrics", more=AS_PROMETHEUS).encode()
    while (started := time.perf_counter()) < until:
        page = await connection.ask(request)
        found.append((time.perf_counter() - started, len(page)))
        await asyncio.sleep(max(0.0, SCRAPE_EVERY - (time.perf_counter() - started)))
    connection.writer.close()
    return found


async def window(live: Server, echo: Server, ids: Sequence[str], rate: int, seconds: float, report: Report | None) -> None:
    until, spent, began = time.perf_counter() + seconds, live.cpu_seconds(), time.perf_counter()
    numbers = itertools.count(int(time.time() * 1e3) % 10**9)

    def update(_: Connection, number: int) -> bytes:
        current = next(numbers)
        return patch(ids[current % len(ids)], current)

    def nothing(_: Connection, number: int) -> bytes:
        return patch("p", number)

    scraping = asyncio.create_task(scrapes(live, until))
    bare_asking = asyncio.create_task(steadily(BARE_EVERY, until, nothing, echo, 0))
    took = await asyncio.gather(*(steadily(CONNECTIONS / rate, until, update, live, n) for n in range(CONNECTIONS)))
    pages, bare_took = await scraping, sorted(await bare_asking)
    if report is None:
        return
    passed = time.perf_counter() - began
    updates = sorted(itertools.chain.from_iterable(took))
    report.add("CPU", "cores", (live.cpu_seconds() - spent) / passed, target=CORES)
    report.add("resident memory", "MB", memory_bytes(live.pid) / 1e6, target=MEGABYTES)
    report.add("resident memory, peak", "MB", memory_bytes(live.pid, "VmHWM") / 1e6)
    report.add("update, p99", "ms", updates[int(len(updates) * 0.99) - 1], target=P99_MS)
    report.add("update, p50", "ms", updates[len(updates) // 2])
    # Less than what was asked for means that the other figures are those of an exporter that could not keep up.
    report.add("updates", "1/s", len(updates) / passed, target=0.95 * rate, more=True)
    report.add("a page of /metrics, gzip", "ms", *(page * 1e3 for page, _ in pages))
    report.add("a page of /metrics, gzip, size", "MB", pages[-1][1] / 1e6)
    report.add("bare ASGI echo, p99", "ms", bare_took[int(len(bare_took) * 0.99) - 1], of="bound")
    report.add("bare ASGI echo, p50", "ms", bare_took[len(bare_took) // 2], of="bound")


def track(live: Server, pids: Sequence[int]) -> list[str]:
    """Every child a process of its own, 500 creations per request."""
    ids = [f"p{pid}" for pid in pids]
    for first in range(0, len(pids), 500):
        items = [
            {
                "id": f"p{pid}",
                "create": {"name": f"job {n % 50}", "type": "task", "pid": pid, "project": f"p{n % 9}", "expected_duration": 7200},
                "progress": {"current": 1, "total": 1e9, "unit": "rows"},
            }
            for n, pid in enumerate(pids[first : first + 500], first)
        ]
        answer = live.call("POST", "/api/processes/batch", {"items": items})
        assert all(result["status"] == 200 for result in answer["data"]), answer["data"][0]
    return ids


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--processes", type=int, default=5000)
    flags.add_argument("--updates", type=int, default=1000, help="a second (default 1,000)")
    flags.add_argument("--windows", type=int, default=6, help="the first is not counted (default 6)")
    flags.add_argument("--seconds", type=float, default=8.0, help="of each window (default 8)")
    options = flags.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    about = f"{options.processes} processes sampled and scraped every 2 s, {options.updates} updates/s"
    report = Report("load", about)
    report.facts |= {"processes": options.processes, "updates_per_second": options.updates}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        live = stack.enter_context(exporter(Path(name) / "data"))
        echo = stack.enter_context(bare(1300))
        ids = track(live, stack.enter_context(sleepers(options.processes)))

        async def run() -> None:
            for number in range(options.windows):
                await window(live, echo, ids, options.updates, options.seconds, report if number else None)

        uvloop.run(run())
        kept = live.call("GET", "/api/processes/stats")["data"]["active"]
        if kept != options.processes:
            report.note(f"{kept} of {options.processes} processes were still active at the end")
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
