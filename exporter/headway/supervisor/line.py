"""A line of runs that wait for each other: of those of one group so many go at a time, first come, first served.

Who stands in it holds a ticket, a file in the folder of the group which its owner keeps locked (flock) until it leaves. The kernel
drops the lock when the owner ends, however it ends, so that a ticket that can be locked is of one who is gone, and is removed by
who finds it. There is no server, and nothing to repair after a crash. Names of tickets are numbers that only grow: they are given
out at a door through which one goes at a time, so that nobody ever appears before somebody who has looked already.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

from headway.supervisor.command import Signals
from headway.supervisor.logfile import directory

FOLDER: Final = "queues"
DOOR: Final = "door"
NEW: Final = ".new"
DIGITS: Final = 20
# Between two looks (s): of the next one, and of those behind it.
NEXT: Final = 0.1
LATER: Final = 0.5
# A folder that was changed less long ago (ns) may change again without a later time of change.
SETTLED: Final = 2_000_000_000
# Signals that end the wait, and those that are for a command which is not there yet.
ENDING: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP})
LOST: Final = frozenset({signal.SIGUSR1, signal.SIGUSR2})


class Place:
    """A place in the line of `group`, from now until `leave`, or until this OS process ends. `at_most`: so many of the group may go
    at a time, this one included; each goes by its own number. `root` has the lines of this user on this host. Every call may raise
    OSError but `leave`."""

    def __init__(self, group: str, at_most: int, root: Path | None = None) -> None:
        self.group = group
        self.at_most = at_most
        self._root = root or directory() / FOLDER
        # Of a group any text may be the name; of a file not.
        self._folder = self._root / sha256(group.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self._names: list[str] = []
        self._names_of: int | None = None  # the time of change of the folder with these names
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._door():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._name, self._fd = self._ticket()

    def before(self) -> int:
        """How many of those before it have to leave until it may go; 0: it may."""
        names = self._read()
        before = bisect_left(names, self._name)
        living = gone = 0
        for name in islice(names, before):
            if before - gone < self.at_most:
                break
            if not self._lives(name):
                gone += 1
            elif (living := living + 1) == self.at_most:
                return before - gone - self.at_most + 1
        return 0

    def wait(self, told: Callable[[int], None], cancelled: Callable[[], bool]) -> int | None:
        """Until it may go (None), or the signal that ends the wait: one that came, or SIGTERM where `cancelled`. `told` hears of
        `before`, each time that it is another. On the main thread: it handles signals."""
        last = 0
        with Signals((*ENDING, *LOST)) as signals:
            while True:
                before = self.before()
                for number in signals.take():
                    if number in ENDING:
                        return number
                if cancelled():
                    return signal.SIGTERM
                if not before:
                    return None
                if before != last:
                    told(before)
                    last = before
                select.select([signals.fd], [], [], NEXT if before == 1 else LATER)

    def leave(self) -> None:
        """Whoever waits may have the place."""
        with suppress(OSError):
            (self._folder / self._name).unlink()
        os.close(self._fd)
        with suppress(OSError), self._door():
            self._folder.rmdir()  # fails while others are in it

    @contextmanager
    def _door(self) -> Iterator[None]:
        """One at a time, for a moment."""
        fd = os.open(self._root / DOOR, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _ticket(self) -> tuple[str, int]:
        """Behind all others, though the clock was set back. What can be seen of it is locked already: before that it has a name at
        which nobody looks. One who was killed here has left that to the next."""
        last = max((int(name[:DIGITS]) for name in self._listed()), default=0)
        name = f"{max(time.time_ns(), last + 1):0{DIGITS}d}-{os.getpid()}"
        fd = os.open(self._folder / NEW, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (self._folder / NEW).rename(self._folder / name)
        except BaseException:
            os.close(fd)
            raise
        return name, fd

    def _read(self) -> list[str]:
        """The tickets in their order. Hundreds may wait, and look again and again: a folder that did not change is not listed."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:  # somebody has tidied up here
            return []
        if changed != self._names_of:
            self._names_of = changed if time.time_ns() - changed > SETTLED else None
            self._names = self._listed()
        return self._names

    def _listed(self) -> list[str]:
        return sorted(name for name in os.listdir(self._folder) if name[:DIGITS].isdecimal())  # noqa: PTH208  names are enough

    def _lives(self, name: str) -> bool:
        """Whether its owner holds this ticket. One of nobody is removed."""
        path = self._folder / name
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False
