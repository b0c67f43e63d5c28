"""The write API under load: single updates, batches and durable creations by wrk with keep-alive, beside a Pushgateway.

    python -m bench.api [--rounds 5] [--seconds 3] [--connections 32]

The exporter is a real one as shipped: durability on, guards on, sampling every 2 s. wrk (Debian package wrk) keeps the connections
busy; a round of each case, then the next round. The bound is a bare ASGI application on the same uvicorn, uvloop and httptools that
reads the body and answers as many bytes. The peer is prometheus-pushgateway (Debian package), as it comes and without its
consistency check. Latencies are those that wrk saw with all its connections busy. CPU per request is of the whole process, threads
that write to the disk included: a million divided by it is what one quiet core can do. Creations go to an exporter of their own
each round; their bound is SQLite alone on the same disk, one insert per sync, and 100.

Targets: 25,000 updates/s one by one, 400,000/s in batches of 100, 3,000 durable creations/s. Where the 25,000 were measured the
echo reached 40,000: so 62% of the echo, round by round, is the target that says the same on any machine; the
number is asked for all the same.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import store
from bench.harness import Report, Server, exporter, fill, free_port, parser, program, server

SCRIPTS: Final = Path(__file__).parent / "wrk"
PER_BATCH: Final = 100
SHARE: Final = 62.0  # percent
# More would reorder updates of one process: see wrk/batch.lua.
BATCH_CONNECTIONS: Final = 8
_SAID: Final = re.compile(
    r"50%\s+([\d.]+)(us|ms|s)\b.*?99%\s+([\d.]+)(us|ms|s)\b.*?(\d+) requests in.*?Requests/sec:\s+([\d.]+)", re.DOTALL
)
UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. Latencies in ms, CPU of the server in µs per request."""

    rate: float
    p50: float
    p99: float
    cpu: float


def wrk(target: Server, script: str, connections: int, seconds: int, *arguments: str) -> Load:
    """Raises SystemExit when an answer was not 2xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout=30s", "--latency", "-s", str(SCRIPTS / script)]
    before = target.cpu_seconds()
    said = subprocess.run([*command, target.url, "--", *arguments], check=True, capture_output=True, text=True).stdout
    spent = target.cpu_seconds() - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{script}: not all requests were answered well\n{said}")
    found = _SAID.search(said)
    assert found is not None, said
    p50, p99 = float(found[1]) * UNITS[found[2]], float(found[3]) * UNITS[found[4]]
    return Load(float(found[6]), p50, p99, spent / max(1, int(found[5])) * 1e6)


def record(report: Report, what: str, load: Load, *, of: str, target: float | None = None, per: int = 1) -> None:
    report.add(what, "1/s", load.rate * per, of=of, target=target, more=True)
    report.add(f"{what}: CPU", "µs/request", load.cpu, of=of)
    report.add(f"{what}: p50", "ms", load.p50, of=of)
    report.add(f"{what}: p99", "ms", load.p99, of=of)


@contextmanager
def bare(size: int) -> Iterator[Server]:
    port = free_port()
    with server([sys.executable, "-m", "bench.echo", str(port), str(size)], f"http://127.0.0.1:{port}") as started:
        yield started


@contextmanager
def pushgateway(path: str, *flags: str) -> Iterator[Server]:
    port = free_port()
    with server([path, f"--web.listen-address=127.0.0.1:{port}", *flags], f"http://127.0.0.1:{port}", "/-/ready") as started:
        yield started


def updates(report: Report, folder: Path, rounds: int, seconds: int, connections: int) -> None:
    with ExitStack() as stack:
        live = stack.enter_context(exporter(folder / "updates"))
        ids = fill(live, 2000)
        one = len(str(live.call("PATCH", f"/api/processes/{ids[0]}", {"progress": {"current": 2}})))
        items = [{"id": i, "progress": {"current": 2}} for i in ids[:PER_BATCH]]
        many = len(str(live.call("POST", "/api/processes/batch", {"items": items})))
        small, large = stack.enter_context(bare(one)), stack.enter_context(bare(many))
        path = program(report, "prometheus-pushgateway", "prometheus-pushgateway")
        peers: dict[str, Server] = {}
        if path is not None:
            peers["Pushgateway, one push"] = stack.enter_context(pushgateway(path))
            peers["Pushgateway, one push, unchecked"] = stack.enter_context(pushgateway(path, "--push.disable-consistency-check"))
        for number in map(str, range(rounds)):
            echo = wrk(small, "patch.lua", connections, seconds, number)
            record(report, "bare ASGI echo", echo, of="bound")
            one_by_one = wrk(live, "patch.lua", connections, seconds, number)
            record(report, "PATCH", one_by_one, of="headway", target=25_000)
            report.add("PATCH, of the echo", "%", 100 * one_by_one.rate / echo.rate, target=SHARE, more=True)
            for name, peer in peers.items():
                record(report, name, wrk(peer, "push.lua", connections, seconds), of="peer")
            echoed = wrk(large, "batch.lua", BATCH_CONNECTIONS, seconds, number)
            record(report, "bare ASGI echo of a batch of 100", echoed, of="bound", per=PER_BATCH)
            batched = wrk(live, "batch.lua", BATCH_CONNECTIONS, seconds, number)
            record(report, "updates in batches of 100", batched, of="headway", target=400_000, per=PER_BATCH)


def creations(report: Report, folder: Path, rounds: int, seconds: int, connections: int) -> None:
    for number in range(rounds):
        for what, arguments in (("durable creations", ()), ("durable creations, id given", (f"r{number}-",))):
            with exporter(folder / f"creations{number}{len(arguments)}") as live:
                load = wrk(live, "create.lua", connections, seconds, *arguments)
                record(report, what, load, of="headway", target=None if arguments else 3000)
        alone = {"SQLite alone, a sync for each insert": 1, "SQLite alone, a sync for 100": 100}
        for what, group in alone.items():
            rate = store.peer(folder / f"peer{number}-{group}.db", 20 * group + 500, group)
            report.add(what, "1/s", rate, of="bound", more=True)


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--seconds", type=int, default=3, help="of each case in each round (default 3)")
    flags.add_argument("--connections", type=int, default=32, help="that wrk keeps busy (default 32)")
    options = flags.parse_args(arguments)
    report = Report("api", "The write API by wrk with keep-alive")
    if program(report, "wrk", "wrk") is None:
        print(report.notes[-1], file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        updates(report, Path(name), options.rounds, options.seconds, options.connections)
        creations(report, Path(name), options.rounds, options.seconds, 4 * options.connections)
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
