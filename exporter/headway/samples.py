"""What the sampler sees: one reading of the OS process tree of a process, and its end. Pure data: gates and metrics read it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import NamedTuple


class Sample(NamedTuple):
    """Totals over the whole tree at `at` (unix s). None is a value that could not be read, never 0.

    A tuple, because a pass makes thousands of them and a dataclass costs five times as much to make. Counters (`…_seconds`,
    `io_…_bytes`, `major_faults`) never fall while the root lives: what a child used stays counted after its exit.
    """

    at: float
    alive: bool
    state: str | None = None  # of the root: running, sleeping, disk-sleep, stopped, zombie, …
    zombie_since: float | None = None
    cpu_seconds: float | None = None
    cpu_ratio: float | None = None  # 1 = one core, over the time since the sample before; None in the first one
    cpu_wait_seconds: float | None = None  # run-queue delay, summed over all threads
    resident_bytes: int | None = None
    memory_ratio: float | None = None  # of what the host (or its cgroup) has; proportional where that is measured
    io_read_bytes: int | None = None
    io_written_bytes: int | None = None
    threads: int | None = None
    open_fds: int | None = None
    os_processes: int | None = None
    quiet_since: float | None = None  # since when neither CPU nor I/O of the tree moved noticeably; None: it moves, or unknown
    proportional_bytes: int | None = None  # memory with shared pages divided among those who share them; None: not measured
    left_behind: int = 0  # OS processes that had left the tree and live on; said when the root is gone
    major_faults: int | None = None  # major page faults: those for which the disk was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The end of an OS process, noticed at `at` (unix s). Neither code nor signal: only the fact is known."""

    at: float
    code: int | None = None
    signal: int | None = None

    @property
    def known(self) -> bool:
        return self.code is not None or self.signal is not None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"ended by {_signal_name(self.signal)}"
        return "ended" if self.code is None else f"exited with code {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
