"""One tree of OS processes over time: who belongs to it, and what all of them used, those included that are gone. No clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from headway.sampler.host import Host, Io, Row

Key = tuple[int, float]
# A tree whose members come and go while it is read is read again, so often at most. Each attempt takes well under a millisecond.
_ATTEMPTS: Final = 3


def key_of(row: Row) -> Key:
    return row.pid, row.started


class Table:
    """The process table of one pass, by pid, and for trees of several by parent and by session. Of most trees only `heads` is
    asked: who has children, or others in its session; those of the pass `before` are right where nobody has come, gone, or
    changed parent or session."""

    def __init__(self, rows: Mapping[int, Row], before: Table | None = None) -> None:
        self.rows = rows
        self.heads: set[int | None]
        self._all = list(rows.values())
        if before is not None and _kin_is_as_before(self._all, before._all):
            self.heads = before.heads
        else:  # by place: of all rows
            self.heads = {row[1] for row in self._all}
            self.heads |= {row[2] for row in self._all if row[2] != row[0]}

    @cached_property
    def children(self) -> Mapping[int, list[Row]]:
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for row in self.rows.values():
            found[row.ppid].append(row)
        return found

    @cached_property
    def sessions(self) -> Mapping[int, list[Row]]:
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for row in self.rows.values():
            if row.session is not None and row.session != row.pid:
                found[row.session].append(row)
        return found

    def has(self, key: Key) -> bool:
        row = self.rows.get(key[0])
        return row is not None and row.started == key[1]


def _kin_is_as_before(rows: list[Row], before: list[Row]) -> bool:
    """Both in the order of the table; hosts repeat a line that did not change as the very same object."""
    if len(rows) != len(before):
        return False
    changed = [(row, old) for row, old in zip(rows, before, strict=True) if row is not old]
    return all(row[:3] == old[:3] for row, old in changed)


class Member:
    """One OS process of the tree and what was last read of it. `only_wait`: of its only thread, which has its pid, while it has but
    one; `ended_waits`: of threads that are gone."""

    __slots__ = ("_living", "_waits", "ended_waits", "fds", "io", "only_wait", "row")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.io: Io | None = None
        self.fds: int | None = None
        self._waits: Mapping[int, float] = {}
        self._living: float | None = 0.0  # the sum of these; None: not to be had at present
        self.only_wait: float | None = None
        self.ended_waits = 0.0

    def keep_waits(self, found: Mapping[int, float] | None) -> None:
        """Threads that are gone, or whose id another has taken, stay counted in `wait`. None: it is not known."""
        if found is None:
            self._waits, self.only_wait, self._living = self.waits, None, None
            return
        before = self._waits if self.only_wait is None else self.waits
        if found is not before or self._living is None:
            for task, wait in before.items():
                if found.get(task, -1.0) < wait:
                    self.ended_waits += wait
            self._waits, self.only_wait = found, None
            self._living = sum(found.values())

    def keep_wait(self, found: float) -> None:
        """`keep_waits` where all there is is one thread, which has the pid: most of those that ran."""
        before = self.only_wait
        if before is None:
            self.keep_waits({self.row.pid: found})
        elif found < before:
            self.ended_waits += before
        self.only_wait = found

    @property
    def wait(self) -> float | None:
        own = self._living if self.only_wait is None else self.only_wait
        return None if own is None else self.ended_waits + own

    @property
    def waits(self) -> Mapping[int, float]:
        """By thread, as they were last read."""
        return self._waits if self.only_wait is None else {self.row.pid: self.only_wait}

    @property
    def known_wait(self) -> float:
        """What is known of it, although it may not be readable now."""
        return self.ended_waits + sum(self.waits.values())


class Tree:
    """The tree below `root`: its descendants, those of its session when it leads one, and everyone who once belonged to it.

    CPU. The kernel adds the times of a child to those of its parent when the parent waits for it. So the sum over the living, each
    with what it has from its children, already contains every child that was waited for within the tree, and the short-lived ones
    that no pass ever saw; a child must not be counted a second time. Who ended otherwise (adopted by init after a double fork,
    or child of a parent that ignores SIGCHLD) would be lost, and is added from its last reading. The two are told apart by
    page faults, which the kernel hands on in the same way: every process has hundreds, however little CPU it used.
    """

    def __init__(self, root: Row) -> None:
        self.root = key_of(root)
        self.members: dict[Key, Member] = {}
        self.alone: Member | None = None  # the root when it is the only member
        self.joined: list[Row] = []  # those whom the last look has taken in
        self.doubted: set[Key] = set()
        self.lost_cpu = 0.0
        self.lost_majors = 0
        self.lost_wait = 0.0
        self.lost_io = Io(0, 0, 0)

    def follow(self, table: Table, host: Host, strays: Sequence[Row] = ()) -> bool:
        """Brings members and what was lost up to date; false when the root is gone. `strays` belong to it though they left it."""
        pid, started = self.root
        root = table.rows.get(pid)
        if root is None or root.started != started:
            return False
        if self.alone is not None and not strays and pid not in table.heads:
            self.alone.row = root  # all there is, as before: most trees are like that
            return True
        rows = self._belonging(table, strays)
        if self._unsteady(rows):
            rows = self._reread(rows, host)
            if self.root not in rows:
                return False
        self._settle(rows)
        self.joined = [row for key, row in rows.items() if key not in self.members and key != self.root]
        for key, row in rows.items():
            member = self.members.get(key)
            if member is None:
                self.members[key] = Member(row)
            else:
                member.row = row
        self.alone = self.members[self.root] if len(self.members) == 1 else None
        return True

    # ── membership ─────────────────────────────────────────────────────────────────────────────────────────────────

    def beyond_doubt(self, host: Host) -> list[Row]:
        """Of those who `joined`, the children of members that are none by mistake: the table is not read in one moment, so a parent
        must still be the same now, and none of its children older than it."""
        keys = {key[0]: key for key in self.members}
        parents = {row.ppid for row in self.joined if row.ppid in keys and keys[row.ppid] not in self.doubted}
        same = {pid: keys[pid] for pid in parents if (now := host.row(pid)) is not None and key_of(now) == keys[pid]}
        sure: dict[Key, Row] = {}
        for row in self.joined:  # parents stand before their children
            parent = same.get(row.ppid)
            if parent is not None and parent not in self.doubted and row.started >= parent[1]:
                sure[key_of(row)] = row
            else:
                self.doubted.add(key_of(row))
        return list(sure.values())

    def _belonging(self, table: Table, strays: Sequence[Row]) -> dict[Key, Row]:
        """Parents stand before their children."""
        root = table.rows[self.root[0]]
        starts = [root, *strays, *table.sessions.get(root.pid, ())]
        starts += [table.rows[key[0]] for key in self.members if table.has(key)]
        found: dict[Key, Row] = {}
        for start in starts:
            queue = [start]
            while queue:
                row = queue.pop()
                if key_of(row) not in found:
                    found[key_of(row)] = row
                    queue += table.children.get(row.pid, ())
        return _parents_first(found)

    # ── a steady picture ───────────────────────────────────────────────────────────────────────────────────────────

    def _unsteady(self, rows: Mapping[Key, Row]) -> bool:
        """Whether someone was waited for since the last pass: then it may have been between reading the parent and the child, and
        the child would be counted twice or not at all."""
        if len(rows) == 1 and len(self.members) <= 1:
            return False
        for key, member in self.members.items():
            row = rows.get(key)
            if row is None or row.reaped_faults != member.row.reaped_faults or row.reaped_cpu != member.row.reaped_cpu:
                return True
        return len(rows) > len(self.members)

    def _reread(self, rows: Mapping[Key, Row], host: Host) -> dict[Key, Row]:
        """The same members, read parents first and looked at again: if no parent has waited for a child meanwhile, all figures are
        of one moment as far as sums go. Who is forked meanwhile is met in the next pass."""
        found = dict(rows)
        for _ in range(_ATTEMPTS):
            found = _read(found, host)
            again = _read(found, host)
            if _reaped(again) == _reaped(found):
                break
        return found

    # ── what is lost ───────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, rows: Mapping[Key, Row]) -> None:
        """Counts as lost what vanished members used, unless a living one has waited for them and has it now."""
        gone = {key: member for key, member in self.members.items() if key not in rows}
        if not gone:
            return
        by_pid = {key[0]: key for key in self.members}
        by_faults = all(member.row.faults is not None for member in self.members.values())
        grown = {key: _grown(member.row, rows[key], by_faults) for key, member in self.members.items() if key in rows}
        for key in _parents_first({key: member.row for key, member in gone.items()}):
            member = gone[key]
            heir = self._heir(member.row, gone, by_pid)
            used = _used(member.row, by_faults)
            if heir is not None and 0 < used <= grown[heir]:
                grown[heir] -= used
                self.lost_wait += member.known_wait
            else:
                self._lose(member)
            del self.members[key]

    def _heir(self, row: Row, gone: Mapping[Key, Member], by_pid: Mapping[int, Key]) -> Key | None:
        """The nearest living member that can have what this one used: its parent, or the parent's parent when that is gone too."""
        key = by_pid.get(row.ppid)
        for _ in range(len(by_pid)):
            if key is None or key not in gone:
                return key
            key = by_pid.get(gone[key].row.ppid)
        return None

    def _lose(self, member: Member) -> None:
        self.lost_cpu += (member.row.cpu or 0.0) + member.row.reaped_cpu
        self.lost_majors += member.row.majors or 0
        self.lost_wait += member.known_wait
        if member.io is not None:
            had, io = self.lost_io, member.io
            self.lost_io = Io(had.read + io.read, had.written + io.written, had.moved + io.moved)


def _parents_first(rows: Mapping[Key, Row]) -> dict[Key, Row]:
    """Ordered so that whoever has its parent among them comes after it."""
    if len(rows) == 1:
        return dict(rows)
    by_pid = {row.pid: row for row in rows.values()}
    depth: dict[int, int] = {}

    def depth_of(row: Row) -> int:
        path: list[Row] = []
        at: Row | None = row
        while at is not None and at.pid not in depth and len(path) <= len(by_pid):
            path.append(at)
            at = by_pid.get(at.ppid)
        base = -1 if at is None else depth.get(at.pid, -1)
        for n, each in enumerate(reversed(path), 1):
            depth[each.pid] = base + n
        return depth[row.pid]

    return dict(sorted(rows.items(), key=lambda item: depth_of(item[1])))


def _read(rows: Mapping[Key, Row], host: Host) -> dict[Key, Row]:
    fresh = ((key, host.row(key[0])) for key in rows)
    return {key: row for key, row in fresh if row is not None and row.started == key[1]}


def _reaped(rows: Mapping[Key, Row]) -> Sequence[tuple[Key, int, float]]:
    return [(key, row.reaped_faults, row.reaped_cpu) for key, row in rows.items()]


def _grown(before: Row, now: Row, by_faults: bool) -> float:
    return now.reaped_faults - before.reaped_faults if by_faults else now.reaped_cpu - before.reaped_cpu


def _used(row: Row, by_faults: bool) -> float:
    return (row.faults or 0) + row.reaped_faults if by_faults else (row.cpu or 0.0) + row.reaped_cpu
