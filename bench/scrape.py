"""/metrics as Prometheus gets it: through HTTP, from a live exporter that was loaded by its API.

    python -m bench.scrape [--rounds 5] [--sizes 100 1000 10000]

All processes run and are sampled (they name this program's pid), so that they have every family of a running process. Before each
page so many of them report progress, in batches: none, 10%, 40%. What the sampler and time itself change comes on top: time left
runs down even where nobody reports. Text and OpenMetrics, plain and gzip as a Prometheus asks for it. CPU is that of the exporter
from the request to the last byte, so that neighbours on the machine count little.

Peers: client_python with a collector of its own that gives the very same families (its HTTP server, gzip), and a Pushgateway
(Debian package prometheus-pushgateway) with as many groups of 25 figures. The bound is a bare ASGI application that answers as
many bytes. The target is for 1,000 running processes, all of which reported since the page before, and 4,000 that ended.
"""

from __future__ import annotations

import gzip
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench.api import bare, pushgateway
from bench.harness import Report, Server, exporter, free_port, memory_bytes, parser, program, server

TARGET_MS: Final = 60.0
TARGET_SIZE, TARGET_ENDED = 1000, 4000
ACCEPT: Final = {
    "text": "text/plain;version=0.0.4",
    "OpenMetrics": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
}
# Text and OpenMetrics differ in a few lines of metadata only.
CASES: Final = (
    ("text", True, 0.0),
    ("text", True, 0.1),
    ("text", True, 0.4),
    ("OpenMetrics", True, 0.0),
    ("OpenMetrics", True, 0.1),
    ("OpenMetrics", True, 0.4),
    ("text", False, 0.4),
    ("OpenMetrics", False, 0.4),
)
PUSHED: Final = 25
MOST_PUSHED: Final = 1000


class Scraper:
    """One connection that is kept alive."""

    def __init__(self, target: Server) -> None:
        self.target = target
        self.connection = http.client.HTTPConnection(target.url.removeprefix("http://"), timeout=120)

    def page(self, form: str = "text", packed: bool = True) -> tuple[float, float, bytes]:
        """Milliseconds, those of the server's CPU, and the body."""
        headers = {"Accept": ACCEPT[form], "Accept-Encoding": "gzip" if packed else "identity"}
        spent, started = self.target.cpu_seconds(), time.perf_counter()
        self.connection.request("GET", "/metrics", headers=headers)
        answer = self.connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - started
        if answer.status != 200:
            raise SystemExit(f"{self.target.url}/metrics answered {answer.status}")
        return took * 1e3, (self.target.cpu_seconds() - spent) * 1e3, body


def load(live: Server, size: int, prefix: str = "p") -> list[str]:
    ids = [f"{prefix}{n}" for n in range(size)]
    for first in range(0, size, 500):
        items: list[dict[str, Any]] = [
            {
                "id": one,
                "create": {
                    "name": f"job {n % 50}",
                    "type": "pipeline",
                    "pid": os.getpid(),
                    "user": "otto",
                    "project": f"project-{n % 9}",
                    "task": f"task-{n % 40}",
                    "timeout": 7200,
                    "expected_duration": 3600,
                    "metadata": {"tokens": {"input": 15_000 + n, "output": 900}, "cost_dollars": n / 97},
                },
                "progress": {"current": 1, "total": 9999, "unit": "rows"},
                "log": "a line",
            }
            for n, one in enumerate(ids[first : first + 500], first)
        ]
        answer = live.call("POST", "/api/processes/batch", {"items": items})
        assert all(result["status"] == 200 for result in answer["data"]), answer["data"][0]
    return ids


def progress(live: Server, ids: Sequence[str], numbers: Iterator[int]) -> None:
    """One step further. Counts only grow: one that falls back is a job begun anew, and so many never begin anew at once."""
    current = next(numbers)
    for first in range(0, len(ids), 500):
        items = [{"id": one, "progress": {"current": current}} for one in ids[first : first + 500]]
        live.call("POST", "/api/processes/batch", {"items": items})


def end(live: Server, ids: Sequence[str]) -> None:
    for first in range(0, len(ids), 500):
        items = [{"id": one, "status": "done", "summary": "412 rows kept, 13 merged"} for one in ids[first : first + 500]]
        live.call("POST", "/api/processes/batch", {"items": items})


def ours(report: Report, folder: Path, size: int, rounds: int) -> tuple[int, int]:
    """How many bytes the page has, plain and packed."""
    numbers, sizes = count(2), (0, 0)
    with exporter(folder / str(size)) as live:
        ids, scraper = load(live, size), Scraper(live)
        # Without a first sample the series of CPU and memory are missing.
        deadline = time.monotonic() + 60
        while page(scraper).count(b"\nheadway_process_resident_memory_bytes{") < size and time.monotonic() < deadline:
            time.sleep(0.2)
        for _ in range(rounds):
            for form, packed, share in CASES:
                progress(live, ids[: int(size * share)], numbers)
                took, cpu, body = scraper.page(form, packed)
                what = f"{size:,} processes, {form}{', gzip' if packed else ''}, {share:.0%} changed"
                report.add(f"{what}: CPU", "ms", cpu)
                report.add(what, "ms", took)
                sizes = (sizes[0], len(body)) if packed else (len(body), sizes[1])
        if size == TARGET_SIZE:
            end(live, load(live, TARGET_ENDED, "e"))
            for _ in range(rounds):
                progress(live, ids, numbers)
                took, cpu, body = scraper.page()
                what = f"{size:,} processes, all changed, and {TARGET_ENDED:,} ended, text, gzip"
                report.add(what, "ms", took, target=TARGET_MS)
                report.add(f"{what}: CPU", "ms", cpu)
        report.add(f"{size:,} processes: peak of memory", "MB", memory_bytes(live.pid, "VmHWM") / 1e6)
        report.facts[f"{size} processes"] = {"lines": page(scraper).count(b"\n"), "bytes": sizes[0], "gzip_bytes": sizes[1]}
    return sizes


def page(scraper: Scraper) -> bytes:
    return scraper.page("text", False)[2]


def peers(report: Report, size: int, rounds: int, sizes: tuple[int, int]) -> None:
    with ExitStack() as stack:
        port = free_port()
        command = [sys.executable, "-m", "bench.peer", str(port), str(size)]
        asked = {"client_python": stack.enter_context(server(command, f"http://127.0.0.1:{port}", "/favicon.ico"))}
        path = program(report, "prometheus-pushgateway", "prometheus-pushgateway")
        if path is not None and size <= MOST_PUSHED:
            gateway = stack.enter_context(pushgateway(path, "--push.disable-consistency-check"))
            push(gateway, size)
            asked["Pushgateway"] = gateway
        echoes = {", gzip": stack.enter_context(bare(sizes[1])), "": stack.enter_context(bare(sizes[0]))}
        for _ in range(rounds):
            for name, peer in asked.items():
                took, cpu, body = Scraper(peer).page()
                report.add(f"{size:,} processes, {name}, text, gzip: CPU", "ms", cpu, of="peer")
                report.add(f"{size:,} processes, {name}, text, gzip", "ms", took, of="peer")
                report.facts[f"{size} processes, {name}"] = {"lines": gzip.decompress(body).count(b"\n"), "gzip_bytes": len(body)}
            for packed, echo in echoes.items():
                took, cpu, _ = Scraper(echo).page()
                report.add(f"{size:,} processes, as many bytes{packed}: CPU", "ms", cpu, of="bound")
                report.add(f"{size:,} processes, as many bytes{packed}", "ms", took, of="bound")


def push(gateway: Server, size: int) -> None:
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
    for n in range(size):
        body = "".join(
            f'headway_process_figure_{k}{{id="p{n}",name="job {n % 50}",kind="task"}} {n + k / 7}\n' for k in range(PUSHED)
        )
        connection.request("PUT", f"/metrics/job/bench/instance/p{n}", body, {"Content-Type": "text/plain"})
        connection.getresponse().read()


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000], help="running processes")
    options = flags.parse_args(arguments)
    report = Report("scrape", "/metrics through HTTP from a live exporter that was loaded by its API")
    with tempfile.TemporaryDirectory() as name:
        for size in options.sizes:
            sizes = ours(report, Path(name), size, options.rounds)
            peers(report, size, options.rounds, sizes)
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
