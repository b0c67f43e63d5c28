"""What is remembered of a process that is asked about, from one pass to the next."""

from __future__ import annotations

from os import pread
from typing import Final

from headway.sampler.host import Io, Row
from headway.sampler.kept_files import NOT_KEPT
from headway.sampler.stat_line import LONGEST_LINE, parse_stat, wanted

# By how much the numbers of a line may grow before all of it is read again.
ROOM: Final = 16


class Thread:
    """One thread's scheduler statistics."""

    __slots__ = ("kept", "text", "wait")

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.text = b""
        self.wait = 0.0


class Followed:
    """A process that is asked about: its open files, and what was last read of them. `idle`: no thread of it has run since the
    last pass, so what only it can change is as it was. `fresh`: its waits are of this pass; `full`: its I/O and open files as well.
    `fds_late`: it ran since its open files were counted; `fds_due`: the pass that counts them again. `only_file`: the
    statistics of its thread when there is no other, and these and its line are kept open; `only_text` and `wait` are from there.
    `keeps_all`: its I/O and the folder of its files are kept open too. `stat_length`: how much of the line is read. `waits`: by
    thread; of the only one they may be older than `wait`."""

    __slots__ = (
        "asked",
        "fd_folder",
        "fds",
        "fds_due",
        "fds_late",
        "fresh",
        "full",
        "idle",
        "io",
        "io_file",
        "io_text",
        "keeps_all",
        "only_file",
        "only_text",
        "stat_file",
        "stat_length",
        "stat_row",
        "stat_text",
        "threads",
        "wait",
        "waits",
    )

    def __init__(self) -> None:
        self.asked = True
        self.idle = False
        self.fresh = False
        self.full = False
        self.stat_file = self.io_file = self.fd_folder = NOT_KEPT
        self.stat_length = LONGEST_LINE
        self.stat_text = self.io_text = b""
        self.stat_row: Row | None = None
        self.io: Io | None = None
        self.fds: int | None = None
        self.fds_late = False
        self.fds_due = 0
        self.keeps_all = False
        self.only_file = NOT_KEPT
        self.only_text = b""
        self.wait = 0.0
        self.threads: dict[int, Thread] = {}
        self.waits: dict[int, float] | None = {}

    def see_stat(self, pid: int, text: bytes, booted: float) -> Row | None:
        if text != self.stat_text:
            row = parse_stat(pid, text, booted)
            self.stat_row, self.stat_text = row, text
            if row is None or row.threads != 1:
                self.only_file = NOT_KEPT
        return self.stat_row

    def see_kept_stat(self, pid: int, text: bytes, booted: float) -> Row | None:
        """`text`: the first `stat_length` bytes of the file that is kept open. What stands behind the wanted part changes too, such
        as the processor that it ran on: it is left out, so that it neither has to be compared nor means that the rest is parsed
        again. Raises OSError."""
        row = self.see_stat(pid, text, booted)
        if row is None and self.stat_length != LONGEST_LINE:  # its numbers have outgrown that
            self.stat_length = LONGEST_LINE
            text = pread(self.stat_file, LONGEST_LINE, 0)
            row = self.see_stat(pid, text, booted)
        if row is not None and self.stat_length == LONGEST_LINE:
            self.stat_length = min(wanted(text) + ROOM, LONGEST_LINE)
            self.stat_text = text[: self.stat_length]
        return row

    def see_alone(self, pid: int) -> None:
        """Its only thread is to be looked at from now on, if that is the one it began with, and what is read is kept open. Its line
        is read once more: it may have got another one between that and the statistics."""
        only = self.threads.get(pid) if len(self.threads) == 1 and self.stat_file != NOT_KEPT else None
        if only is not None and only.kept != NOT_KEPT:
            self.only_file, self.only_text, self.wait, self.stat_text = only.kept, only.text, only.wait, b""

    def see_fds(self, count: int, pid: int, this: int) -> None:
        """Counted in pass `this`, and again in the next but one, or in the fourth where they are as many as before: not all
        processes in the same pass."""
        every = 4 if count == self.fds else 2
        self.fds, self.fds_late = count, False
        self.fds_due = this + every - (pid + this) % every

    def see_io(self, text: bytes) -> None:
        if text != self.io_text:
            fields = text.split(None, 12)
            # rchar: 1 wchar: 2 syscr: 3 syscw: 4 read_bytes: 5 write_bytes: 6 cancelled_write_bytes: 7
            self.io = Io(int(fields[9]), int(fields[11]), int(fields[1]) + int(fields[3]))
            self.io_text = text
