"""What a sampler asks of the operating system. Knows nothing of trees."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

# The clock was set if the moment of boot moved by more than this (s): unix times of processes are then worked out anew.
BOOT_MOVED: Final = 0.5


class Row(NamedTuple):
    """One line of the process table. None is a figure that this system does not give, or not to us.

    `started` tells two processes of one pid apart as long as the host runs, whatever happens to the clock; `create_time` is the
    same moment in unix seconds. `cpu` is CPU time (s) of all its threads, `reaped_cpu` that of the children it waited for, with
    theirs. `faults` and `reaped_faults` are minor page faults, counted by the kernel in the same two ways; `majors` are major ones,
    both ways together. `state` is one of psutil's words (running, sleeping, disk-sleep, stopped, …).
    """

    pid: int
    ppid: int
    session: int | None
    started: float
    create_time: float
    zombie: bool
    cpu: float | None
    reaped_cpu: float
    faults: int | None
    reaped_faults: int
    resident: int | None
    threads: int | None
    state: str | None = None
    majors: int | None = None


class Io(NamedTuple):
    """Bytes read from and written to storage, and `moved`: bytes through read and write calls of any sort. All of them with those
    of the children that were waited for."""

    read: int
    written: int
    moved: int


class Figures(Protocol):
    """What `waits`, `io` and `open_fds` of a host say, all at once, of a process whose only thread has its pid, if they are `full`;
    `asked` is to be set by whoever takes them."""

    asked: bool

    @property
    def full(self) -> bool: ...
    @property
    def wait(self) -> float: ...
    @property
    def io(self) -> Io | None: ...
    @property
    def fds(self) -> int | None: ...


class Host(Protocol):
    """Every call may raise ProcessLookupError (it is gone: normal) and PermissionError (refused); None means: not known here."""

    def rows(self) -> dict[int, Row]:
        """The whole process table by pid, in one pass.

        A host may repeat an old line of a process that nobody has asked details of (`io`, `open_fds`, `waits`) since the last pass.
        It must not in the pass after `row` was asked for such a process.
        """

    def row(self, pid: int) -> Row | None:
        """One process as it is right now; None when there is none."""

    def hidden(self, pid: int) -> bool:
        """Whether there is a process of this pid that the table does not show to us."""

    @property
    def figures(self) -> Mapping[int, Figures]:
        """What this pass has read already, by pid. Of whoever is not in it, or not in full: ask one by one."""

    def io(self, pid: int) -> Io | None: ...

    def open_fds(self, pid: int) -> int | None: ...

    def waits(self, pid: int, threads: int | None) -> dict[int, float] | None:
        """Run-queue delay (s) of each thread that lives, by thread id. Not to be changed: it may be given again."""

    def proportional(self, pid: int) -> int | None:
        """Bytes of memory with what it shares divided among those who share it (PSS). Costly."""

    def memory_limit(self, pid: int) -> int | None:
        """Bytes of memory that this process can have: of its cgroup, or of the host."""


def read_boot_time() -> float:
    """When the host was booted (unix s), from two clocks that are read one after the other: some microseconds off at each call."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class BootTime:
    """When the host was booted (unix s). The same number at each call, from any thread, so that everybody here reads the same
    create time of a process; a new one once the clock was set, by more than BOOT_MOVED in all. `read` as :func:`read_boot_time`."""

    def __init__(self, read: Callable[[], float] = read_boot_time) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known = read()

    def __call__(self) -> float:
        if abs(self._read() - self._known) > BOOT_MOVED:
            with self._lock:  # of several threads that see it, one decides which number it is from now on
                now = self._read()
                if abs(now - self._known) > BOOT_MOVED:
                    self._known = now
        return self._known


boot_time: Final = BootTime()
