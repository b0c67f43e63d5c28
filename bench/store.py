"""How fast the store makes things durable: ours beside a plain sqlite3 loop on the same disk, in one run.

    python -m bench.store [--directory DIR] [--history 100000] [--rounds 5]

Targets: 3,000 durable creations a second, one per request with 64 of them waiting at a time; 30,000 records a second in groups of
100. The peer writes an id and a record of the same length into a table with one index; ours writes the record with all its columns
and indexes, and its first transition. Both sync at every commit (WAL, synchronous=FULL). A table and JSON go to stdout, the JSON to
bench/results/ too.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.harness import Report, parser

from headway.garbage import YOUNG
from headway.ids import new_id
from headway.model import ENDED, Activity, Done, Kind, Process, Running, Spec, Status, Transition
from headway.store.base import Batch, LogLine, Query
from headway.store.codec import encode_process
from headway.store.sqlite import SQLiteStore
from headway.store.writer import Writer

CREATIONS_TARGET: Final = 3_000.0
GROUPED_TARGET: Final = 30_000.0
QUERY_ROUNDS: Final = 5
START: Final = 1_790_000_000.0
_made = 0


def some_process() -> Process:
    """A record as a reporter makes it."""
    global _made
    _made += 1
    spec = Spec(
        name=f"job {_made % 200}",
        kind=Kind.PIPELINE,
        created_at=START + _made / 1000,
        user="ann",
        project=f"project-{_made % 9}",
        task=f"task-{_made % 1000}",
        command="python train.py --all",
        cwd="/home/ann/train",
    )
    activity = Activity(updated_at=spec.created_at, current=51, total=80, unit="files", stage="compile", last_progress_at=START)
    return Process(
        id=new_id(), spec=spec, state=Running(spec.created_at), activity=activity, metadata={"model": "m-1", "tokens": 9}
    )


def creation(process: Process) -> Transition:
    return Transition(process.id, process.spec.created_at, None, Status.RUNNING, "created")


# ── the peer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def peer(path: Path, count: int, group: int) -> float:
    """Records a second of a plain loop: BEGIN, `group` inserts, COMMIT."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (id TEXT PRIMARY KEY, record TEXT)")
    rows = [(p.id, encode_process(p).decode()) for p in (some_process() for _ in range(count))]
    started = perf_counter()
    for first in range(0, count, group):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows[first : first + group])
        connection.execute("COMMIT")
    seconds = perf_counter() - started
    connection.close()
    return count / seconds


# ── ours ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def creations(store: SQLiteStore, clients: int, each: int, work: float = 0.0) -> tuple[float, float]:
    """Durable creations a second, and how many share a sync. `work`: seconds of Python that the loop has to do for each."""
    writer = Writer(store)
    writer.start(asyncio.get_running_loop())

    async def client() -> None:
        for _ in range(each):
            process = some_process()
            until = perf_counter() + work
            while perf_counter() < until:
                pass
            await writer.commit(processes=[process], transitions=[creation(process)])

    started = perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = perf_counter() - started
    groups = writer.commit_groups_total
    await writer.close()
    return clients * each / seconds, clients * each / groups


def grouped(store: SQLiteStore, processes: Sequence[Process], group: int) -> float:
    started = perf_counter()
    for first in range(0, len(processes), group):
        part = processes[first : first + group]
        store.write(Batch(processes=part, transitions=[creation(p) for p in part]))
    return len(processes) / (perf_counter() - started)


def progress(store: SQLiteStore, known: Sequence[Process], group: int) -> float:
    """Records a second whose progress alone changed."""
    moved = [replace(p, activity=replace(p.activity, current=52.0, updated_at=START + 1)) for p in known]
    started = perf_counter()
    for first in range(0, len(moved), group):
        store.write(Batch(processes=moved[first : first + group]))
    return len(moved) / (perf_counter() - started)


def lines(store: SQLiteStore, count: int, group: int) -> float:
    many = [LogLine(f"p{n % 50}", n, START, f"epoch {n}: loss 0.123, accuracy 0.987, 51 of 80 files") for n in range(count)]
    started = perf_counter()
    for first in range(0, count, group):
        store.write(Batch(lines=many[first : first + group]))
    return count / (perf_counter() - started)


async def handing_in(store: SQLiteStore, count: int) -> float:
    """Microseconds that the event loop spends on one update that is written behind."""
    writer = Writer(store)
    writer.start(asyncio.get_running_loop())
    processes = [some_process() for _ in range(1000)]
    started = perf_counter()
    for n in range(count):
        writer.behind(process=processes[n % 1000])
    seconds = perf_counter() - started
    await writer.close()
    return seconds / count * 1e6


QUERIES: Final[dict[str, Query]] = {
    "newest 20 of all": Query(),
    "running": Query(statuses=[Status.RUNNING]),
    "newest ended": Query(statuses=ENDED),
    "by name": Query(name="job 7"),
    "by task, ended": Query(task="task-7", statuses=ENDED),
    "by project": Query(project="project-3"),
    "a user who has none": Query(user="nobody"),
    "updated since, none": Query(since=START * 2),
}


def history(store: SQLiteStore, count: int) -> dict[str, list[float]]:
    """Milliseconds for queries over so many ended processes."""
    for _ in range(0, count, 1000):
        ended = [replace(p, state=Done(p.started_at, START)) for p in (some_process() for _ in range(1000))]
        store.write(Batch(processes=ended))
    return {name: milliseconds(lambda query=query: store.list(query)) for name, query in QUERIES.items()} | {  # type: ignore[misc]
        "count by status": milliseconds(store.status_counts),
        "load at a start": milliseconds(lambda: store.load(done_since=START + 1)),
    }


def milliseconds(call: Callable[[], object]) -> list[float]:
    """Of a few."""
    took = []
    for _ in range(QUERY_ROUNDS):
        started = perf_counter()
        call()
        took.append((perf_counter() - started) * 1000)
    return took


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--directory", type=Path, help="on the disk to measure; default: the temporary directory")
    flags.add_argument("--history", type=int, default=100_000, help="ended processes for the queries (default 100,000)")
    options = flags.parse_args(arguments)
    gc.set_threshold(YOUNG)  # as in the exporter
    report = Report("store", f"What is made durable per second, and queries over {options.history:,} ended processes")
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        store = SQLiteStore(folder / "headway.db")
        for _ in range(options.rounds):
            known = [some_process() for _ in range(10_000)]
            one, hundred = peer(folder / "peer.db", 500, 1), peer(folder / "peer.db", 20_000, 100)
            report.add("sqlite3, one insert per commit", "1/s", one, of="bound", more=True)
            report.add("sqlite3, 100 inserts per commit", "1/s", hundred, of="bound", more=True)
            crowd, shared = asyncio.run(creations(store, 64, 200))
            report.add("creations, 64 at a time", "1/s", crowd, target=CREATIONS_TARGET, more=True)
            report.add("creations that share a sync, 64 at a time", "", shared)
            busy = asyncio.run(creations(store, 64, 100, 100e-6))[0]
            report.add("creations, 64 at a time, 0.1 ms of other work each", "1/s", busy, more=True)
            report.add("creations, one at a time", "1/s", asyncio.run(creations(store, 1, 300))[0], more=True)
            report.add("records in groups of 100", "1/s", grouped(store, known, 100), target=GROUPED_TARGET, more=True)
            report.add("progress of 1,000 records per transaction", "1/s", progress(store, known, 1000), more=True)
            report.add("log lines, 5,000 per transaction", "1/s", lines(store, 100_000, 5000), more=True)
            report.add("handing in an update that is written behind", "µs", asyncio.run(handing_in(store, 100_000)))
        store.close()
        store = SQLiteStore(folder / "history.db")
        for what, spent in history(store, options.history).items():
            report.add(f"query: {what}", "ms", *spent)
        report.facts["history_bytes"] = store.size_bytes()
        store.close()
    return report.finish(options.results)


if __name__ == "__main__":
    raise SystemExit(main())
