"""Exits of OS processes, noticed when they happen: the event loop waits for the pidfds of all that are followed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from headway.model import OSProcess
from headway.sampler.base import host_here, is_same
from headway.sampler.host import Host
from headway.samples import Exit

# The share of the file descriptors of this process that may be pidfds; a sampler takes half for its own files.
_SHARE: Final = 0.25
# PIDFD_GET_INFO for a structure of its first size (64 bytes), and the bit that asks for (and answers with) the exit code.
_GET_INFO: Final = 0xC040FF0B
_INFO_SIZE: Final = 64
_INFO_EXIT: Final = 1 << 3
_EXIT_CODE_AT: Final = 60
NoticeFunction = Callable[[str, Exit], None]


class _Followed:
    __slots__ = ("exit", "pidfd", "process")

    def __init__(self, process: OSProcess, pidfd: int | None) -> None:
        self.process = process
        self.pidfd = pidfd
        self.exit: Exit | None = None


def open_pidfd(pid: int) -> int:
    """Raises ProcessLookupError when there is no such process, another OSError when this system cannot do it."""
    if not hasattr(os, "pidfd_open"):
        raise OSError("this system has no pidfds")
    return os.pidfd_open(pid)


class ExitWatch:
    """Calls `notice` with the key of a process as soon as it has ended; event-loop thread only.

    Whoever cannot be followed (no pidfds here, no descriptors left, a process that is hidden or not the one that was meant) is left
    to those who look at the process table again and again. The exit is known for our own children; for others the fact, and from
    Linux 6.15 on, once their parents have waited for them, the rest too.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        notice: NoticeFunction,
        *,
        host: Host | None = None,
        clock: Callable[[], float] = time.time,
        open_pidfd: Callable[[int], int] = open_pidfd,
        limit: int | None = None,
    ) -> None:
        self._loop = loop
        self._notice = notice
        self._host = host or host_here()
        self._clock = clock
        self._open = open_pidfd
        self._limit = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * _SHARE) if limit is None else limit
        self._followed: dict[str, _Followed] = {}

    def __len__(self) -> int:
        """How many are followed."""
        return len(self._followed)

    def follow(self, key: str, process: OSProcess) -> bool:
        """Whether its exit will be noticed. One that has ended already is noticed in a moment. Again for the same: no change."""
        known = self._followed.get(key)
        if known is not None:
            if known.process is process or known.process == process:
                return True
            self.forget(key)
        if process.create_time is None or len(self._followed) >= self._limit:
            return False
        try:
            pidfd = self._open(process.pid)
        except ProcessLookupError:
            entry = self._followed[key] = _Followed(process, None)
            self._loop.call_soon(self._ended, key, entry)
            return True
        except OSError:
            return False
        # Only now: the pid could have been given to another process before the pidfd was opened, and cannot be afterwards.
        if not self._is(process):
            os.close(pidfd)
            return False
        entry = self._followed[key] = _Followed(process, pidfd)
        self._loop.add_reader(pidfd, self._ended, key, entry)
        return True

    def keep(self, wanted: Mapping[str, OSProcess]) -> None:
        """Follows these and no others."""
        for key in [key for key in self._followed if key not in wanted]:
            self.forget(key)
        for key, process in wanted.items():
            self.follow(key, process)

    def forget(self, key: str) -> None:
        entry = self._followed.pop(key, None)
        if entry is not None and entry.pidfd is not None:
            if entry.exit is None:
                self._loop.remove_reader(entry.pidfd)
            os.close(entry.pidfd)

    def exit_of(self, key: str) -> Exit | None:
        """What is known by now of the end of a process that is followed; None while it runs."""
        entry = self._followed.get(key)
        if entry is None or entry.exit is None:
            return None
        if not entry.exit.known and entry.pidfd is not None:
            entry.exit = _exit_later(entry.pidfd, entry.exit.at)
        return entry.exit

    def close(self) -> None:
        for key in list(self._followed):
            self.forget(key)

    def _is(self, process: OSProcess) -> bool:
        try:
            row = self._host.row(process.pid)
        except OSError:  # no descriptor left to look with
            return False
        return row is not None and is_same(row, process)

    def _ended(self, key: str, entry: _Followed) -> None:
        if self._followed.get(key) is not entry or entry.exit is not None:
            return
        at = self._clock()
        if entry.pidfd is None:
            entry.exit = Exit(at=at)
        else:
            self._loop.remove_reader(entry.pidfd)
            entry.exit = _exit_of_child(entry.pidfd, at)
        self._notice(key, entry.exit)


def _exit_of_child(pidfd: int, at: float) -> Exit:
    """Looks without reaping: whoever started it may want to wait for it."""
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return _exit_later(pidfd, at)
    if found is None:
        return Exit(at=at)
    return Exit(at=at, code=found.si_status) if found.si_code == os.CLD_EXITED else Exit(at=at, signal=found.si_status)


def _exit_later(pidfd: int, at: float) -> Exit:
    """The kernel keeps it for who holds a pidfd, from the moment that the process was waited for (Linux 6.15)."""
    info = bytearray(_INFO_SIZE)
    struct.pack_into("=Q", info, 0, _INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError:
        return Exit(at=at)
    if not struct.unpack_from("=Q", info, 0)[0] & _INFO_EXIT:
        return Exit(at=at)
    status = struct.unpack_from("=i", info, _EXIT_CODE_AT)[0]
    return Exit(at=at, signal=os.WTERMSIG(status)) if os.WIFSIGNALED(status) else Exit(at=at, code=os.WEXITSTATUS(status))


def exit_of_zombie(pid: int, proc: str = "/proc") -> Exit | None:
    """How a process ended that nobody has waited for; None where this is not one, or where the system does not tell us."""
    folder = Path(f"{proc}/{pid}")
    try:
        text = (folder / "stat").read_text(errors="replace")
        told = os.geteuid() in (0, folder.stat().st_uid)  # to others it says 0
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    # The state is field 3, the exit status field 52, the last one (proc_pid_stat(5)).
    if not told or fields[0] != "Z" or len(fields) < 50:
        return None
    status, at = int(fields[49]), time.time()
    return Exit(at=at, signal=os.WTERMSIG(status)) if os.WIFSIGNALED(status) else Exit(at=at, code=os.WEXITSTATUS(status))
