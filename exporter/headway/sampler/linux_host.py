"""Linux's answers to a sampler, from /proc: read through files that stay open, and parsed only when their text has changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from headway.sampler.cgroups import MemoryLimits, memory_total
from headway.sampler.followed import Followed, Thread
from headway.sampler.host import BOOT_MOVED, Figures, Io, Row, boot_time
from headway.sampler.kept_files import NOT_KEPT, KeptFiles, default_limit
from headway.sampler.process_list import ProcessList
from headway.sampler.stat_line import parse_stat

# Lines of processes that nobody asks about are read anew every so many passes, a part of them in each.
REFRESH_PASSES: Final = 16
# The line of a process that has not run since the last pass is read anew every so many passes all the same: the kernel may take
# memory away from a process that sleeps.
_IDLE_PASSES: Final = 8
# What is read at most of a file, if every number of it is as long as can be: Python has room for so little at hand.
_SCHEDSTAT: Final = 64
_IO: Final = 256
# Where the kernel keeps no such statistics all figures of a thread are 0, and say nothing.
_NEVER_RAN: Final = b"0 "
_PSS: Final = re.compile(rb"^Pss:\s*(\d+) kB$", re.MULTILINE)
# Looked up once: a pass calls them thousands of times.
_pread: Final = os.pread
_fstat: Final = os.fstat


class LinuxHost:
    """`proc` and `cgroups` are where those file systems are mounted; tests give folders of their own. `max_files` bounds the files
    that are kept open. `rows`, `io`, `open_fds` and `waits` belong to one thread."""

    def __init__(
        self,
        proc: str | Path = "/proc",
        cgroups: str | Path = "/sys/fs/cgroup",
        boot_time: Callable[[], float] = boot_time,
        max_files: int | None = None,
    ) -> None:
        self._proc = str(proc)
        self._boot_time = boot_time
        self._booted = boot_time()
        self._files = KeptFiles(default_limit() if max_files is None else max_files, self.close)
        self._followed: dict[int, Followed] = {}
        self._others: dict[int, Row] = {}
        self._pass = 0
        self._processes = ProcessList(self._proc, self._files)
        self._limits = MemoryLimits(cgroups)
        self._memory: int | None = None
        self._size_counts: bool | None = None

    @property
    def kept_files(self) -> int:
        """How many files are open at present."""
        return self._files.count

    def rows(self) -> dict[int, Row]:
        self._pass += 1
        self._memory = None
        self._limits.forget()
        self._see_clock()
        pids = self._processes.pids()
        found = self._look(pids)
        if len(found) != len(self._followed):  # somebody is gone, or nobody asks any more; the pid may be another's by now
            for pid in [pid for pid in self._followed if pid not in found]:
                self._drop(pid)
        others, turn = self._others, self._pass % REFRESH_PASSES
        rest: dict[int, Row] = {}
        for pid in pids:
            if pid not in found:
                row = others.get(pid)
                if row is None or pid % REFRESH_PASSES == turn:
                    row = self._plain_row(pid)
                if row is not None:
                    rest[pid] = row
        self._others = rest
        found |= rest
        return found

    def row(self, pid: int) -> Row | None:
        entry = self._followed.get(pid)
        if entry is None:
            self._others.clear()  # someone new is of interest, and so are all who may belong to it
            return self._plain_row(pid)
        entry.fresh = entry.full = False  # whoever looks again wants the rest anew as well
        return self._kept_row(pid, entry) or self._plain_row(pid)

    def hidden(self, pid: int) -> bool:
        if os.path.exists(f"{self._proc}/{pid}"):  # noqa: PTH110
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @property
    def figures(self) -> Mapping[int, Figures]:
        return self._followed

    def io(self, pid: int) -> Io | None:
        entry = self._followed.get(pid) or self._follow(pid)
        entry.asked = True
        if entry.full or (entry.idle and entry.io is not None):
            return entry.io
        if entry.io_file == NOT_KEPT:
            entry.io_file = self._files.open(f"{self._proc}/{pid}/io")
            entry.keeps_all = entry.io_file != NOT_KEPT and entry.fd_folder != NOT_KEPT
        text = self._files.read(f"{self._proc}/{pid}/io") if entry.io_file == NOT_KEPT else os.pread(entry.io_file, _IO, 0)
        entry.see_io(text)
        return entry.io

    def open_fds(self, pid: int) -> int | None:
        entry = self._followed.get(pid) or self._follow(pid)
        entry.asked = True
        if entry.full or (entry.idle and entry.fds is not None):
            return entry.fds
        try:
            if entry.fd_folder != NOT_KEPT:
                entry.fds = os.fstat(entry.fd_folder).st_size
            elif self._size_is_count():  # readable although the folder may not be
                entry.fds = os.stat(f"{self._proc}/{pid}/fd").st_size  # noqa: PTH116
            else:
                entry.fds = len(self._files.names(f"{self._proc}/{pid}/fd"))
        except FileNotFoundError as error:
            raise ProcessLookupError(pid) from error
        return entry.fds

    def waits(self, pid: int, threads: int | None) -> dict[int, float] | None:
        entry = self._followed.get(pid) or self._follow(pid)
        entry.asked = True
        if (entry.fresh or entry.full) and threads == 1:
            if entry.waits is None or entry.waits.get(pid) is not entry.wait:
                entry.waits = {pid: entry.wait}
            return entry.waits
        try:
            if len(entry.threads) != threads:
                self._set_threads(pid, entry, [pid] if threads == 1 else self._tasks(pid))
            try:
                found = self._read_waits(pid, entry)
                if threads == 1 and entry.only_file == NOT_KEPT:
                    entry.see_alone(pid)
                return found
            except ProcessLookupError:  # a thread ended, and another may have taken its place
                self._set_threads(pid, entry, self._tasks(pid))
                return self._read_waits(pid, entry, whoever_is_left=True)
        except ProcessLookupError as error:
            if os.path.exists(f"{self._proc}/{pid}/stat"):  # noqa: PTH110
                return None  # a kernel without scheduler statistics
            raise ProcessLookupError(pid) from error

    def proportional(self, pid: int) -> int | None:
        path = f"{self._proc}/{pid}/smaps_rollup"
        try:
            text = self._files.read(path)
        except ProcessLookupError:
            if not os.path.exists(f"{self._proc}/{pid}/stat"):  # noqa: PTH110
                raise
            # It has no memory (a kernel thread); or the kernel is older than 4.14.
            return 0 if os.path.exists(path) else None  # noqa: PTH110
        found = _PSS.search(text)
        return None if found is None else int(found[1]) * 1024

    def memory_limit(self, pid: int) -> int | None:
        if self._memory is None:
            try:
                self._memory = memory_total(self._files.read(f"{self._proc}/meminfo"))
            except ProcessLookupError:
                return None
        try:
            limits = self._limits.of(self._files.read(f"{self._proc}/{pid}/cgroup"))
        except OSError:
            limits = []
        # Version 1 writes "no limit" as a number that no machine reaches.
        return None if self._memory is None else min([self._memory, *limits])

    # ── who is followed ────────────────────────────────────────────────────────────────────────────────────────────

    def _follow(self, pid: int) -> Followed:
        entry = self._followed.get(pid)
        if entry is None:
            entry = self._followed[pid] = Followed()
            entry.stat_file = self._keep(f"{self._proc}/{pid}/stat")
            if self._size_is_count():
                entry.fd_folder = self._keep(f"{self._proc}/{pid}/fd")
        return entry

    def _keep(self, path: str) -> int:
        try:
            return self._files.open(path)
        except (ProcessLookupError, PermissionError):
            return NOT_KEPT

    def _drop(self, pid: int) -> None:
        entry = self._followed.pop(pid, None)
        if entry is not None:
            self._close(entry)

    def _close(self, entry: Followed) -> None:
        for kept in (entry.stat_file, entry.io_file, entry.fd_folder, *(thread.kept for thread in entry.threads.values())):
            self._files.close(kept)
        entry.stat_file = entry.io_file = entry.fd_folder = NOT_KEPT
        entry.only_file, entry.keeps_all = NOT_KEPT, False
        for thread in entry.threads.values():
            thread.kept = NOT_KEPT

    def close(self) -> None:
        """Closes all files that are kept. Whoever is still asked about is read by path from then on."""
        for entry in self._followed.values():
            self._close(entry)
        self._processes.close()

    # ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _see_clock(self) -> None:
        booted = self._boot_time()
        if abs(booted - self._booted) > BOOT_MOVED:
            self._others.clear()
            for entry in self._followed.values():
                entry.stat_text = b""
            self._booted = booted

    def _kept_row(self, pid: int, entry: Followed) -> Row | None:
        try:
            if entry.stat_file != NOT_KEPT:
                return entry.see_kept_stat(pid, os.pread(entry.stat_file, entry.stat_length, 0), self._booted)
            before = entry.stat_row
            row = entry.see_stat(pid, self._files.read(f"{self._proc}/{pid}/stat"), self._booted)
        except (ProcessLookupError, PermissionError):
            return None
        # Another process of this pid: only a file that was kept open would have told.
        return None if row is not None and before is not None and row.started != before.started else row

    def _look(self, pids: Iterable[int]) -> dict[int, Row]:
        """The lines of those who are asked about and still there, and with them everything else of those that have one thread and
        ran: read one after the other, what the kernel keeps of a process is still in the processor's cache. Whatever is refused is
        left to who asks for it. Most of a pass is this loop: nothing is called in it that need not be.

        When its thread has not run since the last pass, nothing of a process has changed but, perhaps, the memory that the kernel
        leaves it and who its parent is: its line is read again only now and then. The open files of one that runs all the time are
        counted in every second pass, in every fourth where they were as many as before, which costs a fifth of all that the kernel
        does for it otherwise; and once it rests."""
        followed, this, booted = self._followed, self._pass, self._booted
        found: dict[int, Row] = {}
        for pid in pids:
            entry = followed.get(pid)
            if entry is None or not entry.asked:
                continue
            entry.asked = False
            row = entry.stat_row
            if row is None or entry.only_file == NOT_KEPT:
                entry.idle = entry.fresh = entry.full = False
                if (row := self._kept_row(pid, entry)) is not None:
                    found[pid] = row
                continue
            try:
                text = _pread(entry.only_file, _SCHEDSTAT, 0)
                if text != entry.only_text:
                    entry.idle = known = False
                    entry.only_text = text
                    entry.wait = float(text.split(b" ", 2)[1]) / 1e9
                else:
                    idle = entry.idle = entry.idle or text[:2] != _NEVER_RAN
                    known = idle and not entry.fds_late and entry.io is not None and entry.fds is not None
                    if known and (pid + this) % _IDLE_PASSES and entry.stat_text:
                        entry.full = True
                        found[pid] = row
                        continue
                text = _pread(entry.stat_file, entry.stat_length, 0)
                if text != entry.stat_text:
                    row = entry.see_kept_stat(pid, text, booted)
                if entry.only_file == NOT_KEPT:  # it has other threads now
                    entry.idle = entry.fresh = entry.full = False
                elif known:
                    entry.full = True
                elif entry.keeps_all:
                    text = _pread(entry.io_file, _IO, 0)
                    if text != entry.io_text:
                        entry.see_io(text)
                    if this >= entry.fds_due or entry.idle:
                        entry.see_fds(_fstat(entry.fd_folder).st_size, pid, this)
                    else:
                        entry.fds_late = True
                    entry.full = True
                else:
                    entry.fresh, entry.full = True, False
            except (ProcessLookupError, FileNotFoundError, PermissionError):
                entry.idle = entry.fresh = entry.full = False
                row = self._kept_row(pid, entry)
            if row is not None:
                found[pid] = row
        return found

    def _plain_row(self, pid: int) -> Row | None:
        try:
            return parse_stat(pid, self._files.read(f"{self._proc}/{pid}/stat"), self._boot_time())
        except (ProcessLookupError, PermissionError):
            return None

    def _size_is_count(self) -> bool:
        """Whether the size of /proc/PID/fd is the number of open files (since Linux 6.2); a listing costs five times as much."""
        if self._size_counts is None:
            own = f"{self._proc}/self/fd"
            try:
                # Other threads open and close files meanwhile; a kernel that does not count says 0.
                size, listed = os.stat(own).st_size, len(self._files.names(own))  # noqa: PTH116
                self._size_counts = size > 0 and abs(size - listed) <= 16
            except OSError:
                self._size_counts = False
        return self._size_counts

    def _tasks(self, pid: int) -> list[int]:
        return [int(task) for task in self._files.names(f"{self._proc}/{pid}/task")]

    def _set_threads(self, pid: int, entry: Followed, tasks: list[int]) -> None:
        """Opens anew what is read of its threads: a thread id may have come round again as well."""
        entry.only_file = NOT_KEPT  # first of all: it is one of these, and none may be left to be opened
        for thread in entry.threads.values():
            self._files.close(thread.kept)
        entry.threads = {}
        entry.waits = {}
        for task in tasks:
            entry.threads[task] = Thread(self._keep(f"{self._proc}/{pid}/task/{task}/schedstat"))

    def _read_waits(self, pid: int, entry: Followed, *, whoever_is_left: bool = False) -> dict[int, float] | None:
        """Raises ProcessLookupError when a thread is gone, unless those that are left will do."""
        idle, gone = True, []
        for task, thread in entry.threads.items():
            try:
                if thread.kept != NOT_KEPT:
                    text = os.pread(thread.kept, _SCHEDSTAT, 0)
                else:
                    text = self._files.read(f"{self._proc}/{pid}/task/{task}/schedstat")
            except ProcessLookupError:
                if not whoever_is_left:
                    raise
                gone.append(task)
                continue
            if text != thread.text:
                idle = False
                thread.text, thread.wait = text, int(text.split()[1]) / 1e9
        for task in gone:
            self._files.close(entry.threads.pop(task).kept)
        if gone or not idle or not entry.waits:
            entry.waits = {task: thread.wait for task, thread in entry.threads.items()}
        entry.idle = idle and not gone and entry.threads[next(iter(entry.threads))].text[:2] != _NEVER_RAN
        return entry.waits or None
