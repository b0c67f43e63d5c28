"""Children for test_durability: what is going to be killed in the middle of its work."""

from __future__ import annotations

import asyncio
import itertools
import sys
import zlib
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from headway.model import Done, Kind, Process, Status, Transition
from headway.names import NameStats
from headway.store.base import LogLine
from headway.store.sqlite import SQLiteStore
from headway.store.writer import Writer
from records import T0, created, process

CLIENTS = 16
NAME = "storm"


def fingerprint(process_id: str) -> int:
    """What every record of a process carries in its metadata: half a record would not match its id."""
    return zlib.crc32(process_id.encode())


def line_text(process_id: str, number: int) -> str:
    return f"{process_id} line {number} " + "." * 100


def storm(path: Path, round: int, acknowledge: Connection) -> None:
    """Creates, updates and ends processes until it is killed; tells the parent of everything that is durable, and only that."""
    asyncio.run(_storm(path, round, acknowledge))


async def _storm(path: Path, round: int, acknowledge: Connection) -> None:
    store = SQLiteStore(path)
    writer = Writer(store, hand_over_after=0.005)
    writer.start(asyncio.get_running_loop())
    known = store.load(done_since=0).names
    stats = known[0] if known else NameStats(name=NAME, kind=Kind.TASK)

    async def client(number: int) -> None:
        nonlocal stats
        for i in itertools.count():
            p = process(f"{round}-{number}-{i}", name=NAME)
            p = replace(p, metadata={"fingerprint": fingerprint(p.id), "filler": "x" * (i % 50 * 40)})
            await writer.commit(processes=[p], transitions=[created(p)])
            acknowledge.send_bytes(f"{p.id} running".encode())
            for n in range(1, i % 7):
                p = replace(p, activity=replace(p.activity, current=float(n)))
                writer.behind(process=p, lines=[LogLine(p.id, n, T0, line_text(p.id, n))])
                await asyncio.sleep(0)
            if i % 3:
                p = replace(p, state=Done(T0, T0 + 1))
                stats = stats.with_end(p)
                ended = Transition(p.id, T0 + 1, Status.RUNNING, Status.DONE, "reported")
                await writer.commit(processes=[p], transitions=[ended], names=[stats])
                acknowledge.send_bytes(f"{p.id} done".encode())

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


def exporter(data_dir: Path, port: int) -> None:
    """What `headway serve` runs, in a process that need not import everything anew."""
    from headway.configuration import load
    from headway.server import serve

    given = {"data_dir": str(data_dir), "listen": f"127.0.0.1:{port}", "log_level": "error"}
    sys.exit(serve(load(given, {})))


async def sequence(path: Path, count: int, pragma: str) -> int:
    """So many commits, one after the other. Returns the groups that were answered."""
    store = SQLiteStore(path)
    store._writer.execute(pragma)
    writer = Writer(store)
    writer.start(asyncio.get_running_loop())
    for i in range(count):
        p: Process = process(f"p{i}")
        await writer.commit(processes=[p], transitions=[created(p)])
    print(writer.commit_groups_total, flush=True)
    return writer.commit_groups_total


if __name__ == "__main__":
    asyncio.run(sequence(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
