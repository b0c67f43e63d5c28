"""Which OS process a report is about: the script that called `headway`, not the helpers in between that are gone at once."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import Final

# include/linux/sched.h: forked, and has executed no other program since.
PF_FORKNOEXEC: Final = 0x00000040
MAX_STEPS: Final = 32


def caller(pid: int | None = None, arguments: Sequence[str] | None = None, proc: str = "/proc") -> int | None:
    """The pid of the script: the parent of this process, but for two kinds of helpers, whose parent is asked in their place.

    A subshell that a shell forked for a command substitution, as in `$(headway report create … || true)`: it is a fork that has
    executed nothing, and its parent reads what it writes. (In a plain `$(headway …)` bash and dash replace it by headway, and
    other subshells, such as a job in the background, live on and do the work.) And a program that only runs this command: its
    arguments end with ours, as in `timeout 5 headway report create …`.

    None when it is gone already. Without /proc it is the parent.
    """
    found = os.getppid() if pid is None else pid
    ours = sys.argv[1:] if arguments is None else list(arguments)
    for _ in range(MAX_STEPS):
        above = reader_of(found, proc)
        if above is None and only_runs(found, ours, proc):
            above = parent_of(found, proc)
        if above is None or above <= 1:
            break
        found = above
    return found if found > 1 else None


def parent_of(pid: int, proc: str) -> int | None:
    fields = stat_fields(pid, proc)
    return int(fields[1]) if fields else None


def reader_of(pid: int, proc: str) -> int | None:
    """The shell that reads what its subshell `pid` writes; None if that is no subshell, or not of a command substitution."""
    try:
        pipe = os.readlink(f"{proc}/{pid}/fd/1")  # noqa: PTH115  pathlib is slow to import
    except OSError:
        return None
    for _ in range(MAX_STEPS if pipe.startswith("pipe:") else 0):
        fields = stat_fields(pid, proc)
        if not fields or not int(fields[6]) & PF_FORKNOEXEC:
            break
        pid = int(fields[1])
        if reads(pid, pipe, proc):
            return pid
    return None


def reads(pid: int, pipe: str, proc: str) -> bool:
    try:
        for name in os.listdir(f"{proc}/{pid}/fd"):  # noqa: PTH208
            path = f"{proc}/{pid}/fd/{name}"
            # The mode of such a link says how the file is open: whoever writes into the same pipe means nothing here.
            if os.readlink(path) == pipe and not os.lstat(path).st_mode & stat.S_IWUSR:  # noqa: PTH115
                return True
    except OSError:
        pass
    return False


def only_runs(pid: int, ours: Sequence[str], proc: str) -> bool:
    """Whether the command line of `pid` ends with the arguments of this command."""
    words = command_line(pid, proc)
    return len(ours) > 1 and len(words) > len(ours) and words[-len(ours) :] == list(ours)


def command_line(pid: int, proc: str = "/proc") -> list[str]:
    """The words of its command; empty when they cannot be read."""
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as file:  # noqa: PTH123  pathlib is slow to import, and this is used by scripts
            raw = file.read(65536)
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")] if raw.strip(b"\0") else []


def stat_fields(pid: int, proc: str) -> list[bytes]:
    """The fields of its stat from the third (state) on; the second is its name, which may hold anything, ) too."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:  # noqa: PTH123
            raw = file.read()
        fields = raw[raw.rindex(b")") + 2 :].split()
    except (OSError, ValueError):
        return []
    return fields if len(fields) > 6 else []
