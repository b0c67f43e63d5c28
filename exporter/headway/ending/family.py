"""Who belongs to the tree of an OS process, from looks at the process table. No signals, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from headway.sampler.host import Row

Key = tuple[int, float]


def key_of(row: Row) -> Key:
    """What tells two OS processes apart as long as the host runs."""
    return row.pid, row.started


def has_ended(row: Row | None) -> bool:
    """A zombie has ended, unless it is only the first thread of a program whose other threads go on."""
    return row is None or (row.zombie and (row.threads or 0) <= 1)


class Look:
    """One pass over the process table, by pid, by parent and by session."""

    def __init__(self, rows: Mapping[int, Row]) -> None:
        self.rows = rows
        self.children: dict[int, list[Row]] = {}
        self.sessions: dict[int, list[Row]] = {}
        for row in rows.values():
            self.children.setdefault(row.ppid, []).append(row)
            if row.session is not None:
                self.sessions.setdefault(row.session, []).append(row)

    def find(self, key: Key) -> Row | None:
        row = self.rows.get(key[0])
        return row if row is not None and row.started == key[1] else None

    def below(self, pid: int) -> dict[Key, Row]:
        """A process and its descendants."""
        found: dict[Key, Row] = {}
        queue = [row for row in (self.rows.get(pid),) if row is not None]
        while queue:
            row = queue.pop()
            if key_of(row) not in found:
                found[key_of(row)] = row
                queue += self.children.get(row.pid, ())
        return found

    def line_above(self, pid: int) -> set[int]:
        """The pids of a process's ancestors."""
        found: set[int] = set()
        row = self.rows.get(pid)
        while row is not None and row.ppid not in found and row.ppid != pid:
            found.add(row.ppid)
            row = self.rows.get(row.ppid)
        return found - {0}


Members = Mapping[Key, Row]
NOBODY: Final[Key] = (0, -1.0)  # the key of a root that is gone


class Family:
    """A root and everyone it brought forth: descendants, those in a session that one of them leads, who was once seen as such, and
    `strays`, who left it and are known in another way. Whoever is in a session was forked by its leader or by a child of it, so
    nobody else's process can be among them; that is not so for process groups, and for sessions led from outside, which are of no
    interest here. Of a root that is gone (None) only strays are left.

    `members` are all that were ever found, in the order of finding: parents before their children. `barred` are those that
    would be, but must be left alone, with the reason.
    """

    def __init__(self, root: Row | None) -> None:
        self.root = NOBODY if root is None else key_of(root)
        self.members: dict[Key, Row] = {}
        self.barred: dict[Key, str] = {}
        self.strays: set[Key] = set()
        self._sessions: dict[int, Key] = {}

    def follow(
        self,
        look: Look,
        again: Callable[[int], Row | None],
        barred: Callable[[Row], str | None],
        strays: Callable[[Members], Iterable[Row]] = lambda members: (),
    ) -> list[Row]:
        """Takes in whoever is new, and returns them. `again` reads one process once more, `barred` says why one must be left
        alone; no words: because of who it is below. `strays` finds those that belong to these members though they left them."""
        new: list[Row] = []
        done: set[Key] = set()
        if not self.members and (root := look.find(self.root)) is not None:
            self._admit([root], barred, new)
        while True:
            rows = [row for key in self.members if key not in done and (row := look.find(key)) is not None]
            for row in rows:
                done.add(key_of(row))
                self.members[key_of(row)] = row
                if row.session == row.pid:
                    self._sessions[row.pid] = key_of(row)
                self._admit(self._below(row, look, again), barred, new)
            if not rows:
                before = len(self.members)
                self._admit(self._in_sessions(look), barred, new)
                left = {row.pid: row for row in strays(self.members) if key_of(row) not in self.members}
                topmost = [row for row in left.values() if row.ppid not in left]  # the others are found below them
                self._admit(topmost, barred, new)
                self.strays |= {key for row in topmost if (key := key_of(row)) in self.members}
                if len(self.members) == before:
                    return new

    def alive(self, look: Look) -> list[Row]:
        """The members that have not ended, as they are now."""
        return [row for key in self.members if (row := look.find(key)) is not None and not has_ended(row)]

    def _admit(self, rows: Iterable[Row], barred: Callable[[Row], str | None], new: list[Row]) -> None:
        for row in rows:
            key = key_of(row)
            if key in self.members:
                continue
            reason = barred(row)
            if reason is not None:
                if reason:
                    self.barred[key] = reason
                continue
            self.members[key] = row
            new.append(row)

    def _below(self, parent: Row, look: Look, again: Callable[[int], Row | None]) -> list[Row]:
        """Its children. The table is not read in one moment: in between a pid may have gone to someone else, whose children these
        would be. So a parent that has new ones must still be the same now, and none of them older than it."""
        found = [row for row in look.children.get(parent.pid, ()) if row.started >= parent.started and row.pid != parent.pid]
        if not found or all(key_of(row) in self.members for row in found):
            return found
        now = again(parent.pid)
        return found if now is not None and now.started == parent.started else []

    def _in_sessions(self, look: Look) -> list[Row]:
        """The number of a session is not given away as long as someone is in it."""
        found: list[Row] = []
        for number, leader in list(self._sessions.items()):
            there = look.rows.get(number)
            if there is not None and there.started != leader[1]:
                del self._sessions[number]
                continue
            found += [row for row in look.sessions.get(number, ()) if row.started >= leader[1]]
        return found

    def depth_first(self, rows: Iterable[Row]) -> list[Row]:
        """Children before their parents."""
        by_pid = {row.pid: row for row in self.members.values()}

        def depth(row: Row) -> int:
            steps, at = 0, by_pid.get(row.ppid)
            while at is not None and steps <= len(by_pid):
                steps, at = steps + 1, by_pid.get(at.ppid)
            return steps

        return sorted(rows, key=depth, reverse=True)
