"""How soon the end of a process is noticed: by pidfd as the exporter does it, beside polling once a second.

    python -m bench.exits [--processes 1000] [--kills 100] [--rounds 5]

Real children, all of them followed, killed one by one. The peer looks once a second whether each of them still runs, by psutil, as
watchers without pidfd do; its kills come at random moments. The bound is a thread that does nothing but wait for the one child.
Target: 50 ms for 99 of 100.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import psutil
import uvloop
from bench.harness import Report, parser
from bench.sampling import known, sleepers

from headway.sampler.exits import ExitWatch
from headway.samples import Exit

TARGET_MS: Final = 50.0
POLL_EVERY: Final = 1.0
POLLED_KILLS: Final = 15


def noticing(pids: Sequence[int], kills: int) -> list[float]:
    """Milliseconds from the kill to the notice, on uvloop, with all of these followed."""
    roots = {str(pid): known(pid) for pid in pids}

    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        noticed: dict[str, asyncio.Future[float]] = {str(pid): loop.create_future() for pid in pids[:kills]}

        def notice(key: str, exit: Exit) -> None:
            noticed[key].set_result(time.perf_counter())

        watch = ExitWatch(loop, notice)
        watch.keep(roots)
        assert len(watch) == len(pids), "the limit of open files is too low for this"
        took = []
        for key, future in noticed.items():
            started = time.perf_counter()
            os.kill(int(key), signal.SIGKILL)
            took.append((await future - started) * 1000)
        watch.close()
        return took

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


def polling(pids: Sequence[int], kills: int) -> list[float]:
    """Milliseconds from the kill to the look that found it gone. Its children are zombies then: psutil says so."""
    killed: dict[int, float] = {}
    took: list[float] = []
    over = threading.Event()

    def watch() -> None:
        alive = {pid: psutil.Process(pid) for pid in pids}
        while not over.wait(POLL_EVERY):
            for pid, process in list(alive.items()):
                if process.status() == psutil.STATUS_ZOMBIE:
                    took.append((time.perf_counter() - killed[pid]) * 1e3)
                    del alive[pid]

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for pid in pids[:kills]:
        time.sleep(random.uniform(0.1, 0.5))
        killed[pid] = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while len(took) < kills and time.monotonic() < deadline:
        time.sleep(0.05)
    over.set()
    watcher.join()
    return took


def waiting(pids: Sequence[int], kills: int) -> list[float]:
    """A thread in waitid for each; the child stays a zombie, so that who started it can reap it."""
    took = []
    for pid in pids[:kills]:
        seen: list[float] = []

        def wait(pid: int = pid, seen: list[float] = seen) -> None:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            seen.append(time.perf_counter())

        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(0.002)
        started = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        waiter.join()
        took.append((seen[0] - started) * 1e3)
    return took


def record(report: Report, what: str, took: list[float], *, of: str = "headway", target: float | None = None) -> None:
    took = sorted(took)
    report.add(f"{what}: median", "ms", median(took), of=of)
    report.add(f"{what}: p99", "ms", took[max(0, int(len(took) * 0.99) - 1)], of=of, target=target)


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--processes", type=int, default=1000)
    flags.add_argument("--kills", type=int, default=100)
    options = flags.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = Report("exits", f"From a kill to its notice, {options.processes:,} processes followed")
    kills = min(options.kills, options.processes)
    for _ in range(options.rounds):
        with sleepers(options.processes) as pids:
            record(report, "pidfd", noticing(pids, kills), target=TARGET_MS)
        with sleepers(kills) as pids:
            record(report, "a thread that waits for it", waiting(pids, kills), of="bound")
        with sleepers(min(options.processes, 200)) as pids:
            record(report, "psutil once a second", polling(pids, min(POLLED_KILLS, kills)), of="peer")
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
