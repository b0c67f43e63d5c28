"""Pid files: whom they name, and whether that can still be true."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from headway.durations import format_duration
from headway.ending.family import has_ended
from headway.sampler.host import Row

# A pid file is written after the start; times of files are exact, that of the start to some hundredths of a second.
TOLERANCE: Final = 2.0
MOST_FILES: Final = 1000
_MOST_BYTES: Final = 256
_LARGEST_PID: Final = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """`written` is unix s. `problem`: why it names nobody."""

    path: str
    pid: int | None = None
    written: float = 0.0
    problem: str | None = None

    def stale(self, rows: Mapping[int, Row]) -> str | None:
        """Why the OS process that has this pid now is not the one that was meant; None when it is."""
        row = None if self.pid is None else rows.get(self.pid)
        if row is None:
            return f"there is no OS process {self.pid}: it ended and left the file behind"
        if has_ended(row):
            return f"pid {self.pid} has ended, and its parent has not waited for it"
        late = row.create_time - self.written
        if late > TOLERANCE:
            return f"pid {self.pid} began {format_duration(late)} after the file was written: it is somebody else by now"
        return None


def read_pid_files(pattern: str) -> Iterator[PidFile]:
    """The files of this path or glob, in the order of their names. Files that are not there are left out."""
    paths = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
    for path in paths[:MOST_FILES]:
        try:
            found = _read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield PidFile(path=path, problem=f"{path} cannot be read: {error.strerror}")
            continue
        yield found


def _read(path: str) -> PidFile:
    # What is no plain file might keep whoever opens it waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return PidFile(path=path, problem=f"{path} is no file")
        words = os.read(descriptor, _MOST_BYTES).split()
    finally:
        os.close(descriptor)
    # PostgreSQL and others write more lines; the first word is the pid.
    if not words or not words[0].isdigit() or not 0 < int(words[0]) <= _LARGEST_PID:
        return PidFile(path=path, written=facts.st_mtime, problem=f"{path} holds no pid")
    return PidFile(path=path, pid=int(words[0]), written=facts.st_mtime)
