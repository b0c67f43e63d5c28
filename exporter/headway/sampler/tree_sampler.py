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


# What a tree had used at one moment: unix and monotonic seconds, CPU seconds, bytes moved.
_Mark = tuple[float, float, float | None, int | None]
_NO_MARK: Final[_Mark] = (0.0, 0.0, None, None)
# Of a tree of one: its state, major page faults, CPU seconds, bytes resident, share of the limit, bytes read, written, moved.
_Totals = tuple[str | None, int | None, float | None, int | None, float | None, int | None, int | None, int | None]


class _Tracked:
    """A tree, and what one sample must know of those before it."""

    __slots__ = (
        "cpu",
        "io",
        "limit",
        "limit_until",
        "majors",
        "pid",
        "process",
        "quiet_due",
        "quiet_mark",
        "quiet_since",
        "seen",
        "seen_cpu",
        "totals",
        "totals_of",
        "tree",
        "zombie_since",
    )

    def __init__(self, process: OSProcess, root: Row) -> None:
        self.process = process
        self.pid = process.pid
        self.tree = Tree(root)
        self.seen: float | None = None  # when it was last looked at (monotonic s), and its CPU seconds then
        self.seen_cpu: float | None = None
        self.quiet_mark: _Mark | None = None
        self.quiet_since: float | None = None
        self.quiet_due = -inf  # until when (monotonic s) `quiet_since` is not decided anew
        self.zombie_since: float | None = None
        self.cpu = 0.0
        self.majors = 0
        self.io = Io(0, 0, 0)
        self.limit: int | None = None
        self.limit_until = -inf
        # What follows from this line of the process table and this I/O; see `_glance`.
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
        self._table: Table | None = None
        self._give_way: Callable[[], None] = lambda: None
        self._ahead = 0.0
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
        tracked = self._tracked
        if len(tracked) != len(roots) or roots != self._roots:
            for name in tracked.keys() - roots.keys():
                del tracked[name]
            for name, process in roots.items():
                known = tracked.get(name)
                if known is None or known.process != process:
                    tracked.pop(name, None)
                    self._host.row(process.pid)  # someone new: the pass is to take a close look at everyone
            self._roots = dict(roots)
        if self._proportional is not None:
            self._proportional.begin()
        self._table = table = Table(self._host.rows(), self._table)
        self._see(table)
        # Where the clock was set between two looks, all are decided anew whether they are quiet.
        jumped, self._ahead = abs(at - monotonic - self._ahead) > _CLOCK_JUMP, at - monotonic
        self._give_way = self._giving()
        found = self._glance(table, at, monotonic, jumped)
        if len(found) != len(roots):
            self._look(roots, found, table, at, monotonic)
        return found

    def _look(self, roots: Mapping[str, OSProcess], found: dict[str, Sample], table: Table, at: float, monotonic: float) -> None:
        """Adds to what is found already."""
        for name, process in roots.items():
            if name in found:
                continue
            self._give_way()
            tracked = self._tracked.get(name)
            if tracked is None:
                if is_foreign(process, self._namespace):
                    continue
                tracked = self._first(process, table)
            if tracked is not None and tracked.tree.follow(table, self._host):
                if self._marks is not None and (name in self._news or tracked.seen is None or tracked.tree.joined):
                    self._take_in_strays(self._marks, name, tracked, table)
                self._tracked[name] = tracked
                found[name] = self._read(tracked, at, monotonic)
                continue
            self._tracked.pop(name, None)
            if not self._host.hidden(process.pid):
                found[name] = Sample(at=at, alive=False, left_behind=self._left_behind(name, process, table))

    def _see(self, table: Table) -> None:
        """Strays are looked for when there is news of marks, or of a tree."""
        if self._marks is not None:
            self._marks.see(table.rows)
            since, self._marks_read = self._marks_read, self._marks.version
            self._news = self._marks.news(since)

    def _take_in_strays(self, marks: Marks, name: str, tracked: _Tracked, table: Table) -> None:
        tree = tracked.tree
        if tracked.seen is None:
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

    def _glance(self, table: Table, at: float, monotonic: float, jumped: bool) -> dict[str, Sample]:
        """What `follow` and `_read` come to for each tree that was and is one OS process, of which the host has read everything in
        its pass. Most are like that, and this is what a pass spends its time on: what did not change is not worked out again, and
        nothing is called that need not be. Whoever is left out is to be looked at closely."""
        found: dict[str, Sample] = {}
        if self._proportional is not None:
            return found
        give_way, news, rows, heads, figures = self._give_way, self._news, table.rows, table.heads, self._host.figures
        for name, tracked in self._tracked.items():
            give_way()
            tree, pid = tracked.tree, tracked.pid
            member, row, known = tree.alone, rows.get(pid), figures.get(pid)
            if member is None or row is None or known is None or not known.full or pid in heads or (news and name in news):
                continue
            io = known.io
            if row is not tracked.totals_of or io is not member.io or monotonic >= tracked.limit_until:
                if row[3] != tree.root[1] or row[5]:
                    continue
                if monotonic >= tracked.limit_until:
                    self._limit(tracked, monotonic)
                member.row, member.io = row, io
                tracked.totals, tracked.totals_of = _totals(tracked, row, io), row
            known.asked = True
            own_wait, had_wait = known.wait, member.only_wait
            if own_wait is not had_wait:
                if had_wait is None or own_wait < had_wait:
                    member.keep_wait(own_wait)
                else:
                    member.only_wait = own_wait
            state, majors, cpu, resident, share, read, written, moved = tracked.totals  # type: ignore[misc]
            still = cpu is not None and cpu == tracked.seen_cpu and monotonic > tracked.seen  # type: ignore[operator]
            ratio = 0.0 if still else _cpu_ratio(tracked, monotonic, cpu)
            tracked.seen, tracked.seen_cpu = monotonic, cpu
            if monotonic < tracked.quiet_due and not jumped:
                quiet = tracked.quiet_since
            else:
                quiet = _quiet_since(tracked, (at, monotonic, cpu, moved))
            wait = tree.lost_wait + (member.ended_waits + own_wait)
            found[name] = _new(
                Sample,
                (at, True, state, None, cpu, ratio, wait, resident, share, read, written, 1, known.fds, 1, quiet, None, 0, majors),
            )
        return found

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
                known = figures.get(pid)
                if known is None or not known.full:
                    self._ask(member, row)
                    own_fds = member.fds
                else:
                    known.asked = True
                    if known.wait is not member.only_wait:
                        member.keep_wait(known.wait)
                    member.io, own_fds = known.io, known.fds
                threads = None if threads is None or own_threads is None else threads + own_threads
                fds = None if fds is None or own_fds is None else fds + own_fds
                io_known = io_known and member.io is not None
            own_wait = member.wait
            wait = None if wait is None or own_wait is None else wait + own_wait
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
                _cpu_ratio(tracked, monotonic, cpu),
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
        tracked.seen, tracked.seen_cpu = monotonic, cpu
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
            member.keep_waits(None)
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


def _cpu_ratio(tracked: _Tracked, now: float, cpu: float | None) -> float | None:
    before, had = tracked.seen, tracked.seen_cpu
    if before is None or now <= before or cpu is None or had is None:
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
        return row.state, majors, cpu, resident, share, None, None, None
    (read, written, moved), (lost_read, lost_written, lost_moved), had = io, tree.lost_io, tracked.io
    now = (lost_read + read, lost_written + written, lost_moved + moved)
    if now != had:
        had = tracked.io = Io(*map(max, now, had))
    return row.state, majors, cpu, resident, share, *had


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
        tracked.quiet_due = -inf if cpu is None or moved is None else now + QUIET_WINDOW
        return None
    if seconds < QUIET_WINDOW:
        return tracked.quiet_since
    if cpu - start_cpu > QUIET_CPU_RATIO * seconds or moved - start_moved > QUIET_BYTES_PER_SECOND * seconds:
        tracked.quiet_since = None
    elif tracked.quiet_since is None:
        tracked.quiet_since = start_at
    tracked.quiet_mark, tracked.quiet_due = mark, now + QUIET_WINDOW
    return tracked.quiet_since
