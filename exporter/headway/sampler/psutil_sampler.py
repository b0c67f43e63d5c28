"""The first sampler: one pass over the process table, then the figures of every tracked tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from headway.model import OSProcess
from headway.sampler.base import host_here, is_foreign, is_same, own_pid_namespace
from headway.sampler.host import Host, Io, Row
from headway.sampler.tree import Member, Table, Tree, total
from headway.samples import Sample

T = TypeVar("T")
P = ParamSpec("P")
# A tree is quiet below both: a fiftieth of a core (a heartbeat costs less, the smallest tick of a busy one more), and about a line
# of text a second.
QUIET_CPU_RATIO: Final = 0.02
QUIET_BYTES_PER_SECOND: Final = 1024.0
# CPU time comes in hundredths of a second: over less than this (s) a single one would look like work.
QUIET_WINDOW: Final = 2.0
# How long a limit of memory is believed before it is read again (s).
_LIMIT_FRESH: Final = 60.0


@dataclass(slots=True)
class _Mark:
    """What a tree had used at one moment."""

    at: float
    monotonic: float
    cpu: float | None
    moved: int | None


class _Tracked:
    """A tree, and what one sample must know of those before it."""

    __slots__ = ("cpu", "io", "last", "limit", "limit_at", "process", "quiet_mark", "quiet_since", "tree", "zombie_since")

    def __init__(self, process: OSProcess, root: Row) -> None:
        self.process = process
        self.tree = Tree(root)
        self.last: _Mark | None = None
        self.quiet_mark: _Mark | None = None
        self.quiet_since: float | None = None
        self.zombie_since: float | None = None
        self.cpu = 0.0
        self.io = Io(0, 0, 0)
        self.limit: int | None = None
        self.limit_at: float | None = None


class PsutilSampler:
    """See :class:`headway.sampler.base.Sampler`. `clock` gives unix seconds, `monotonic` seconds that never jump."""

    def __init__(
        self,
        host: Host | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host or host_here()
        self._clock = clock
        self._monotonic = monotonic
        self._namespace = own_pid_namespace()
        self._tracked: dict[str, _Tracked] = {}
        self.errors_total = 0

    def sample(self, roots: Mapping[str, OSProcess]) -> dict[str, Sample]:
        at, monotonic = self._clock(), self._monotonic()
        table = Table(self._host.rows())
        before, self._tracked = self._tracked, {}
        found: dict[str, Sample] = {}
        for name, process in roots.items():
            if is_foreign(process, self._namespace):
                continue
            tracked = before.get(name)
            if tracked is None or tracked.process != process:
                tracked = self._first(process, table)
            if tracked is not None and tracked.tree.follow(table, self._host):
                self._tracked[name] = tracked
                found[name] = self._read(tracked, at, monotonic)
            elif not self._host.hidden(process.pid):
                found[name] = Sample(at=at, alive=False)
        return found

    def _first(self, process: OSProcess, table: Table) -> _Tracked | None:
        row = table.rows.get(process.pid)
        if row is None or not (process.create_time is None or is_same(row, process)):
            return None
        return _Tracked(process, row)

    def _read(self, tracked: _Tracked, at: float, monotonic: float) -> Sample:
        tree = tracked.tree
        members = list(tree.members.values())
        living = [member for member in members if not member.row.zombie]
        root = tree.members[tree.root].row
        tracked.zombie_since = (tracked.zombie_since or at) if root.zombie else None
        cpu = tree.cpu
        if cpu is not None:
            # Rounding, and figures of two moments where a tree would not hold still, must not make a counter fall.
            cpu = tracked.cpu = max(cpu, tracked.cpu)
        io = self._io(tree, members)
        if io is not None:
            had = tracked.io
            io = tracked.io = Io(max(io.read, had.read), max(io.written, had.written), max(io.moved, had.moved))
        mark = _Mark(at, monotonic, cpu, None if io is None else io.moved)
        resident = total(member.row.resident for member in members)
        limit = self._limit(tracked, monotonic)
        result = Sample(
            at=at,
            alive=True,
            zombie_since=tracked.zombie_since,
            cpu_seconds=cpu,
            cpu_ratio=_cpu_ratio(tracked.last, mark),
            cpu_wait_seconds=self._wait(tree, members, living),
            resident_bytes=resident,
            memory_ratio=None if resident is None or not limit else resident / limit,
            io_read_bytes=None if io is None else io.read,
            io_written_bytes=None if io is None else io.written,
            threads=total(member.row.threads for member in living),
            open_fds=total([self._ask(0, self._host.open_fds, member.row.pid) for member in living]),
            os_processes=len(members),
            quiet_since=_quiet_since(tracked, mark),
        )
        tracked.last = mark
        return result

    def _ask(self, gone: T | None, read: Callable[P, T | None], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What is read; None when it is refused, which is counted; `gone` when there is nobody to read it of any more."""
        try:
            return read(*args, **kwargs)
        except ProcessLookupError:
            return gone
        except PermissionError:
            self.errors_total += 1
            return None

    def _io(self, tree: Tree, members: list[Member]) -> Io | None:
        for member in members:
            if member.row.zombie:
                with suppress(ProcessLookupError, PermissionError):  # its last figures count until someone waits for it
                    member.io = self._host.io(member.row.pid) or member.io
                continue
            member.io = self._ask(member.io, self._host.io, member.row.pid)
            if member.io is None:
                return None
        parts = [tree.lost_io, *(member.io for member in members if member.io is not None)]
        return Io(sum(io.read for io in parts), sum(io.written for io in parts), sum(io.moved for io in parts))

    def _wait(self, tree: Tree, members: list[Member], living: list[Member]) -> float | None:
        for member in living:
            waits = self._ask(member.waits, self._host.waits, member.row.pid, member.row.threads)
            if waits is None:
                return None
            member.keep_waits(waits)
        return tree.lost_wait + sum(member.wait for member in members)

    def _limit(self, tracked: _Tracked, monotonic: float) -> int | None:
        if tracked.limit_at is None or monotonic - tracked.limit_at >= _LIMIT_FRESH:
            tracked.limit = self._ask(tracked.limit, self._host.memory_limit, tracked.tree.root[0])
            tracked.limit_at = monotonic
        return tracked.limit


def _cpu_ratio(last: _Mark | None, mark: _Mark) -> float | None:
    if last is None or last.cpu is None or mark.cpu is None or mark.monotonic <= last.monotonic:
        return None
    return max(0.0, mark.cpu - last.cpu) / (mark.monotonic - last.monotonic)


def _quiet_since(tracked: _Tracked, mark: _Mark) -> float | None:
    """Since when the tree is quiet; decided over windows, so that the answer does not depend on how often one looks."""
    start = tracked.quiet_mark
    if start is None or start.cpu is None or start.moved is None or mark.cpu is None or mark.moved is None:
        tracked.quiet_mark, tracked.quiet_since = mark, None
        return None
    seconds = mark.monotonic - start.monotonic
    if seconds < QUIET_WINDOW:
        return tracked.quiet_since
    busy = mark.cpu - start.cpu > QUIET_CPU_RATIO * seconds or mark.moved - start.moved > QUIET_BYTES_PER_SECOND * seconds
    if busy:
        tracked.quiet_since = None
    elif tracked.quiet_since is None:
        tracked.quiet_since = start.at
    tracked.quiet_mark = mark
    return tracked.quiet_since
