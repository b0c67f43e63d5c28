"""The contract of a sampler, and who is who among OS processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from headway.model import OSProcess
from headway.sampler.host import Host, Row
from headway.sampler.linux_host import LinuxHost
from headway.samples import Sample

# How far two readings of one create time may be apart (s). The time of boot is known in whole seconds to some and moves a little
# while the clock is being corrected; no pid comes round again within so short a time.
CREATE_TIME_TOLERANCE: Final = 2.0


class Sampler(Protocol):
    """Reads OS process trees. Blocking: belongs in a thread, one call at a time. Keeps what it needs between two calls for every
    root of the last call and forgets all others.

    `errors_total` counts figures that it was not allowed to read; they are None in the sample.
    """

    @property
    def errors_total(self) -> int: ...

    def members(self, key: str) -> Sequence[int]:
        """The pids of a tree of the last call, its root first. Not while `sample` is under way."""

    def sample(self, roots: Mapping[str, OSProcess]) -> Mapping[str, Sample]:
        """One pass over the process table for all trees: a sample of each root under the key of `roots`.

        A root that is not in the table with its create time has ended: `alive` is false and nothing else is known. One that
        nobody has waited for is still in it: `alive`, with `zombie_since`. A root of another pid namespace, or one that exists
        but is hidden from us, is left out: nothing is known of it. A root without a create time is the one that has the pid at
        the first call. Raises OSError when there is no process table to read.
        """


def host_here() -> Host:
    """How this system is asked."""
    if sys.platform == "linux":
        return LinuxHost()
    from headway.sampler.psutil_host import PsutilHost

    return PsutilHost()


@cache
def _host_for_one() -> Host:
    """Asked for single processes from any thread: nothing is kept of them, and no pass is made over it."""
    return host_here()


def own_pid_namespace() -> int | None:
    """The pid namespace of this process, as the inode of /proc/self/ns/pid; None where there is no such thing."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None


def is_same(row: Row, process: OSProcess) -> bool:
    """Whether this line of the process table is that process. A pid alone says nothing: without create time it is not."""
    if row.pid != process.pid or process.create_time is None:
        return False
    return abs(row.create_time - process.create_time) <= CREATE_TIME_TOLERANCE


def is_foreign(process: OSProcess, own: int | None) -> bool:
    """Whether its pid counts in another pid namespace than `own`."""
    return process.pid_namespace is not None and own is not None and process.pid_namespace != own


def is_alive(process: OSProcess, host: Host | None = None) -> bool:
    """Whether this very process is in the process table, a zombie too. False without a create time and for a foreign one."""
    if is_foreign(process, own_pid_namespace()):
        return False
    row = (host or _host_for_one()).row(process.pid)
    return row is not None and is_same(row, process)


def identify(pid: int, host: Host | None = None) -> OSProcess | None:
    """The process that has this pid now; None when there is none."""
    row = (host or _host_for_one()).row(pid)
    return None if row is None else OSProcess(pid, row.create_time, own_pid_namespace())
