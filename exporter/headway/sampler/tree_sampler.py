"""The sampler: one pass over the process table, then the figures of every tracked tree. How the system is asked is the host's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Final

from headway.model import OSProcess
from headway.sampler.base import host_here, is_foreign, is_same, own_pid_namespace
from headway.sampler.host import Host, Io, Row
from headway.sampler.proportional_memory import ProportionalMemory
from headway.sampler.strays import Marks, Run
from headway.sampler.tree import Member, Table, Tree
from headway.samples import Sample

# A tree is quiet below both: a fiftieth of a core (a heartbeat costs less, the smallest tick of a busy one more), and about a line
# of text a second.
QUIET_CPU_RATIO: Final = 0.02
QUIET_BYTES_PER_SECOND: Final = 1024.0
# CPU time comes in hundredths of a second: over less than this (s) a single one would look like work.
QUIET_WINDOW: Final = 2.0
# The clock was set, or the machine slept, when it went so much further (s) than time did: what is quiet since then begins anew.
_CLOCK_JUMP: Final = 1.0
# How long a limit of memory is believed before it is read again (s).
_LIMIT_FRESH: Final = 60.0
# Makes a named tuple of all its values in their order, in half the time that calling its class takes.
_new: Final = tuple.__new__


# What a tree had used at one moment: unix and monotonic seconds, CPU seconds, bytes moved. A plain tuple, since each pass makes one
# for every tree.
_Mark = tuple[float, float, float | None, int | None]
_NO_MARK: Final[_Mark] = (0.0, 0.0, None, None)
# Of a tree of one: major page faults, CPU seconds, bytes resident, share of the limit, bytes read, written, moved.
_Totals = tuple[int | None, float | None, int | None, float | None, int | None, int | None, int | None]


class _Tracked:
    """A tree, and what one sample must know of those before it."""

    __slots__ = (
        "cpu",
        "io",
        "last",
        "limit",
        "limit_until",
        "majors",
        "process",
        "quiet_mark",
        "quiet_since",
        "totals",
        "totals_of",
        "tree",
        "zombie_since",
    )

    def __init__(self, process: OSProcess, root: Row) -> None:
        self.process = process
        self.tree = Tree(root)
        self.last: _Mark | None = None
        self.quiet_mark: _Mark | None = None
        self.quiet_since: float | None = None
        self.zombie_since: float | None = None
        self.cpu = 0.0
        self.majors = 0
        self.io = Io(0, 0, 0)
        self.limit: int | None = None
        self.limit_until = -inf
        # What follows from this line of the process table while its I/O is as it was; see `_glance`.
        self.totals: _Totals | None = None
        self.totals_of: Row | None = None


class TreeSampler:
    """See :class:`headway.sampler.base.Sampler`. `clock` gives unix seconds, `monotonic` seconds that never jump; `marks` know who
    has left a tree. `proportional`: memory is measured as PSS too, at a cost. `giving` is asked in each pass for what
    is then called between processes: that may wait a moment."""

    def __init__(
        self,
        host: Host | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        marks: Marks | None = None,
        proportional: bool = False,
        giving: Callable[[], Callable[[], None]] = lambda: lambda: None,
    ) -> None:
        self._host = host or host_here()
        self._clock = clock
        self._monotonic = monotonic
        self._marks = marks
        self._marks_read = -1
        self._news: set[str] = set()
        self._giving = giving
        self._namespace = own_pid_namespace()
        self._tracked: dict[str, _Tracked] = {}
        self._roots: dict[str, OSProcess] = {}
        self._proportional = ProportionalMemory(self._host, self._refuse) if proportional else None
        self.errors_total = 0

    def members(self, key: str) -> Sequence[int]:
        tracked = self._tracked.get(key)
        if tracked is None:
            return ()
        root = tracked.process.pid
        return (root, *(member.row.pid for member in tracked.tree.members.values() if member.row.pid != root))

    def sample(self, roots: Mapping[str, OSProcess]) -> dict[str, Sample]:
        at, monotonic = self._clock(), self._monotonic()
        before, self._tracked, tracking = self._tracked, {}, {}
        if len(before) != len(roots) or roots != self._roots:
            for name, process in roots.items():
                known = before.get(name)
                if known is None or known.process != process:
                    before.pop(name, None)
                    self._host.row(process.pid)  # someone new: the pass is to take a close look at everyone
        if self._proportional is not None:
            self._proportional.begin()
        table = Table(self._host.rows())
        self._see(table)
        give_way = self._giving()
        found: dict[str, Sample] = {}
        news, glance = self._news, self._glance
        for name, process in roots.items():
            give_way()
            tracked = before.get(name)
            if tracked is not None and not (news and name in news):
                sample = glance(tracked, table, at, monotonic)
                if sample is not None:
                    tracking[name] = tracked
                    found[name] = sample
                    continue
            if tracked is None:
                if is_foreign(process, self._namespace):
                    continue
                tracked = self._first(process, table)
            if tracked is not None and tracked.tree.follow(table, self._host):
                if self._marks is not None and (name in self._news or tracked.last is None or tracked.tree.joined):
                    self._take_in_strays(self._marks, name, tracked, table)
                tracking[name] = tracked
                found[name] = self._read(tracked, at, monotonic)
            elif not self._host.hidden(process.pid):
                found[name] = Sample(at=at, alive=False, left_behind=self._left_behind(name, process, table))
        self._tracked, self._roots = tracking, dict(roots)
        return found

    def _see(self, table: Table) -> None:
        """Strays are looked for when there is news of marks, or of a tree."""
        if self._marks is not None:
            self._marks.see(table.rows)
            since, self._marks_read = self._marks_read, self._marks.version
            self._news = self._marks.news(since)

    def _take_in_strays(self, marks: Marks, name: str, tracked: _Tracked, table: Table) -> None:
        tree = tracked.tree
        if tracked.last is None:
            marks.meet(name, tree.members[tree.root].row)
        if tree.joined:
            marks.remember(name, tree.beyond_doubt(self._host))
        if marks.carried(name) and (strays := marks.strays(Run(name, tracked.process), table.rows, tree.members)):
            tree.follow(table, self._host, strays)

    def _left_behind(self, name: str, process: OSProcess, table: Table) -> int:
        return 0 if self._marks is None else len(self._marks.strays(Run(name, process), table.rows))

    def _first(self, process: OSProcess, table: Table) -> _Tracked | None:
        row = table.rows.get(process.pid)
        if row is None or not (process.create_time is None or is_same(row, process)):
            return None
        return _Tracked(process, row)

    def _glance(self, tracked: _Tracked, table: Table, at: float, monotonic: float) -> Sample | None:
        """What `follow` and `_read` come to for a tree that was and is one OS process, of which the host has read everything in its
        pass. Most are like that, and this is what a pass spends its time on: what did not change is not worked out again. None:
        look closely."""
        tree, last = tracked.tree, tracked.last
        member = tree.alone
        if member is None or last is None or self._proportional is not None:
            return None
        pid, started = tree.root
        row = table.rows.get(pid)
        if row is None or row[3] != started or row[5] or pid in table.heads:
            return None
        figures = self._host.figures(pid)
        if figures is None or (only := figures.only) is None:
            return None
        io, own_wait = figures.io, only.wait
        if own_wait != member.only_wait or member.wait is None:
            member.keep_wait(own_wait)
        if monotonic >= tracked.limit_until:
            self._limit(tracked, monotonic)
            tracked.totals_of = None
        if row is not tracked.totals_of or io is not member.io:
            member.row, member.io = row, io
            tracked.totals, tracked.totals_of = _totals(tracked, row, io), row
        member.fds = fds = figures.fds
        assert tracked.totals is not None
        majors, cpu, resident, share, read, written, moved = tracked.totals
        _, before, had, _ = last
        if cpu is None or had is None or monotonic <= before:
            ratio = None
        else:
            ratio = (cpu - had) / (monotonic - before) if cpu > had else 0.0
        tracked.last = mark = (at, monotonic, cpu, moved)
        tracked.zombie_since = None
        wait = None if member.wait is None else tree.lost_wait + member.wait
        quiet = _quiet_since(tracked, mark)
        return _new(
            Sample,
            (at, True, row[12], None, cpu, ratio, wait, resident, share, read, written, row[11], fds, 1, quiet, None, 0, majors),
        )

    def _read(self, tracked: _Tracked, at: float, monotonic: float) -> Sample:
        """One round over the members."""
        tree, host = tracked.tree, self._host
        tracked.totals_of = None
        figures = host.figures
        cpu: float | None = tree.lost_cpu
        majors: int | None = tree.lost_majors
        wait: float | None = tree.lost_wait
        read, written, moved = tree.lost_io
        resident: int | None = 0
        threads: int | None = 0
        fds: int | None = 0
        io_known = True
        for member in tree.members.values():
            row = member.row
            # Unpacked once: asking for each figure by its name costs more than reading the file it came from.
            pid, _, _, _, _, zombie, own_cpu, reaped_cpu, _, _, own_resident, own_threads, _, own_majors = row
            cpu = None if cpu is None or own_cpu is None else cpu + own_cpu + reaped_cpu
            majors = None if majors is None or own_majors is None else majors + own_majors
            resident = None if resident is None or own_resident is None else resident + own_resident
            if zombie:
                with suppress(ProcessLookupError, PermissionError):  # its last figures count until someone waits for it
                    member.io = host.io(pid) or member.io
            else:
                known = figures(pid)
                if known is None or (only := known.only) is None:
                    self._ask(member, row)
                    own_fds = member.fds
                else:
                    if only.wait != member.only_wait or member.wait is None:
                        member.keep_wait(only.wait)
                    member.io, own_fds = known.io, known.fds
                    member.fds = own_fds
                threads = None if threads is None or own_threads is None else threads + own_threads
                fds = None if fds is None or own_fds is None else fds + own_fds
                io_known = io_known and member.io is not None
            wait = None if wait is None or member.wait is None else wait + member.wait
            if (io := member.io) is not None:
                more_read, more_written, more_moved = io
                read, written, moved = read + more_read, written + more_written, moved + more_moved
        # Rounding, and figures of two moments where a tree would not hold still, must not make a counter fall.
        if cpu is not None:
            cpu = tracked.cpu = cpu if cpu > tracked.cpu else tracked.cpu
        if majors is not None:
            majors = tracked.majors = max(majors, tracked.majors)
        had = tracked.io
        if io_known and (read, written, moved) != had:
            had = tracked.io = Io(max(read, had.read), max(written, had.written), max(moved, had.moved))
        mark = (at, monotonic, cpu, had[2] if io_known else None)
        root = tree.members[tree.root].row
        tracked.zombie_since = (tracked.zombie_since or at) if root.zombie else None
        limit = tracked.limit
        if monotonic >= tracked.limit_until:
            limit = self._limit(tracked, monotonic)
        proportional = None if self._proportional is None else self._proportional.of(tree.members.values(), monotonic)
        memory = resident if proportional is None else proportional
        result = _new(
            Sample,
            (
                at,
                True,  # alive
                root.state,
                tracked.zombie_since,
                cpu,
                _cpu_ratio(tracked.last, mark),
                wait,
                resident,
                None if memory is None or not limit else memory / limit,
                had[0] if io_known else None,
                had[1] if io_known else None,
                threads,
                fds,
                len(tree.members),
                _quiet_since(tracked, mark),
                proportional,
                0,  # left_behind
                majors,
            ),
        )
        tracked.last = mark
        return result

    def _refuse(self) -> None:
        self.errors_total += 1

    def _ask(self, member: Member, row: Row) -> None:
        """The details of one member. Whoever is gone meanwhile counts with what was last read of it; a refusal is counted, and the
        figure is not known. Waits come first: a host may know from them that nothing else can have changed."""
        host, pid = self._host, row.pid
        try:
            member.keep_waits(host.waits(pid, row.threads))
        except ProcessLookupError:
            pass
        except PermissionError:
            self.errors_total += 1
            member.wait = None
        try:
            member.io = host.io(pid)
        except ProcessLookupError:
            pass
        except PermissionError:
            self.errors_total += 1
            member.io = None
        try:
            member.fds = host.open_fds(pid)
        except ProcessLookupError:
            member.fds = 0
        except PermissionError:
            self.errors_total += 1
            member.fds = None

    def _limit(self, tracked: _Tracked, monotonic: float) -> int | None:
        tracked.limit_until = monotonic + _LIMIT_FRESH
        try:
            tracked.limit = self._host.memory_limit(tracked.tree.root[0])
        except ProcessLookupError:
            pass
        except PermissionError:
            self.errors_total += 1
            tracked.limit = None
        return tracked.limit


def _cpu_ratio(last: _Mark | None, mark: _Mark) -> float | None:
    _, now, cpu, _ = mark
    if last is None or cpu is None:
        return None
    _, before, had, _ = last
    if had is None or now <= before:
        return None
    return (cpu - had) / (now - before) if cpu > had else 0.0


def _totals(tracked: _Tracked, row: Row, io: Io | None) -> _Totals:
    """Of a tree of one, with those whom it had. Counters never fall, as in `_read`."""
    tree, resident = tracked.tree, row.resident
    cpu = None if row.cpu is None else tree.lost_cpu + row.cpu + row.reaped_cpu
    if cpu is not None:
        cpu = tracked.cpu = cpu if cpu > tracked.cpu else tracked.cpu
    majors = row.majors
    if majors is not None:
        majors += tree.lost_majors
        majors = tracked.majors = majors if majors > tracked.majors else tracked.majors
    share = None if resident is None or not tracked.limit else resident / tracked.limit
    if io is None:
        return majors, cpu, resident, share, None, None, None
    (read, written, moved), (lost_read, lost_written, lost_moved), had = io, tree.lost_io, tracked.io
    now = (lost_read + read, lost_written + written, lost_moved + moved)
    if now != had:
        had = tracked.io = Io(*map(max, now, had))
    return majors, cpu, resident, share, *had


def _quiet_since(tracked: _Tracked, mark: _Mark) -> float | None:
    """Since when the tree is quiet; decided over windows, so that the answer does not depend on how often one looks."""
    at, now, cpu, moved = mark
    start_at, started, start_cpu, start_moved = tracked.quiet_mark or _NO_MARK
    seconds = now - started
    if (
        start_cpu is None
        or start_moved is None
        or cpu is None
        or moved is None
        or not -_CLOCK_JUMP <= (at - start_at) - seconds <= _CLOCK_JUMP
    ):
        tracked.quiet_mark, tracked.quiet_since = mark, None
        return None
    if seconds < QUIET_WINDOW:
        return tracked.quiet_since
    if cpu - start_cpu > QUIET_CPU_RATIO * seconds or moved - start_moved > QUIET_BYTES_PER_SECOND * seconds:
        tracked.quiet_since = None
    elif tracked.quiet_since is None:
        tracked.quiet_since = start_at
    tracked.quiet_mark = mark
    return tracked.quiet_since
