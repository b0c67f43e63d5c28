"""OS processes that left the tree of their run: known by the mark that all of it inherited, or because they were once seen in it.

`headway run` and `POST /api/processes/track` put HEADWAY_PARENT_ID=<id of the process> into the environment of the command. Whoever
is forked keeps it, whatever becomes of its parents and its session; a run within a run sets its own, so the innermost one counts.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from headway.model import OSProcess
from headway.sampler.base import CREATE_TIME_TOLERANCE, is_same
from headway.sampler.details import Details, details_here
from headway.sampler.host import Row

Key = tuple[int, float]
MARK: Final = "HEADWAY_PARENT_ID"
# A child has the environment of who forked it until it calls exec, so everyone is read once more when this has passed (s).
SETTLED: Final = 3.0
# Of so many runs it is remembered whose they are when their root is gone.
MOST_RUNS: Final = 4096
# A pid that was given to someone else is noticed every so many looks; until then the new one is nobody's.
ALL_LOOKS: Final = 8
# So many who have ended are kept before they are looked for and forgotten.
_SLACK: Final = 256


@dataclass(frozen=True, slots=True)
class Run:
    """A tracked process whose strays are asked for. `user`: the name of whose it is, where its root cannot tell any more."""

    id: str
    root: OSProcess
    user: str | None = None


@dataclass(slots=True)
class _Root:
    """What the root of a run said of itself while it lived. Without `key` it is only supposed."""

    key: Key | None
    uid: int | None
    mark: str | None
    folder: str | None


class _Known:
    __slots__ = ("mark", "started")

    def __init__(self, started: float, mark: str | None) -> None:
        self.started = started
        self.mark = mark


class Marks:
    """Remembers of every OS process the mark in its environment, which is read when it is new and once more a little later, and to
    which trees it was seen to belong. For any thread; one is shared by whoever looks at the same host."""

    def __init__(self, details: Details | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._details = details or details_here()
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[int, _Known] = {}
        self._unsettled: deque[tuple[float, int, float]] = deque()
        self._carriers: dict[str, set[int]] = {}
        self._found_at: dict[str, int] = {}
        self._looks = 0
        self._seen: dict[str, dict[int, float]] = {}
        self._roots: dict[str, _Root] = {}
        self.version = 0  # grows when someone is found to carry a mark

    def see(self, rows: Mapping[int, Row]) -> None:
        """Takes in a process table: reads the marks of those that are new."""
        with self._lock:
            known, now = self._known, self._clock()
            self._looks += 1
            pids: Iterable[int] = rows.keys() - known.keys() if self._looks % ALL_LOOKS else list(rows)
            for pid in pids:
                row, one = rows[pid], known.get(pid)
                if one is None or one.started != row.started:
                    self._keep(row, self._details.variable(pid, MARK))
                    self._unsettled.append((now + SETTLED, pid, row.started))
            while self._unsettled and self._unsettled[0][0] <= now:
                _, pid, started = self._unsettled.popleft()
                if (there := rows.get(pid)) is not None and there.started == started:
                    self._read_again(there)
            if len(known) > len(rows) + _SLACK:
                self._forget(rows)

    def carried(self, run_id: str) -> bool:
        """Whether someone carries the mark of this run, its root or others."""
        return run_id in self._carriers

    def news(self, since: int) -> set[str]:
        """The runs whose mark someone was found to carry after that `version`."""
        if since == self.version:
            return set()
        with self._lock:
            return {run_id for run_id, at in self._found_at.items() if at > since}

    def remember(self, run_id: str, rows: Iterable[Row]) -> None:
        """These were seen in the tree of a run beyond doubt."""
        with self._lock:
            self._seen.setdefault(run_id, {}).update((row.pid, row.started) for row in rows)

    def meet(self, run_id: str, root: Row) -> None:
        """Notes whose the run is, for the time when its root is gone."""
        with self._lock:
            self._ask_root(run_id, root)

    def strays(self, run: Run, rows: Mapping[int, Row], members: Container[Key] = (), again: bool = False) -> list[Row]:
        """Who belongs to this run and is none of `members`, by the evidence; see docs/control.md. `again`: their environment is
        read once more for it."""
        with self._lock:
            seen = self._seen.get(run.id, {})
            found = [
                row
                for pid in {*self._carriers.get(run.id, ()), *seen}
                if (row := rows.get(pid)) is not None and not _ended(row) and (pid, row.started) not in members
            ]
            if not found:
                return []
            if again:
                for row in found:
                    self._read_again(row)
            top = rows.get(run.root.pid)
            top = top if top is not None and (run.root.create_time is None or is_same(top, run.root)) else None
            root = self._root(run, top)
            oldest = top.create_time if top is not None else (run.root.create_time or 0.0) - CREATE_TIME_TOLERANCE
            never = {1, *_line(os.getpid(), rows), *(() if top is None else _line(top.ppid, rows))}
            found = [row for row in found if row.pid not in never and row.create_time >= oldest]
            belonging = [row for row in found if self._belongs(row, run.id, root, seen)]
            if belonging:  # who once was known stays so, whoever it becomes
                self._seen.setdefault(run.id, {}).update((row.pid, row.started) for row in belonging)
            return belonging

    # ── evidence ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _belongs(self, row: Row, run_id: str, root: _Root, seen: Mapping[int, float]) -> bool:
        one = self._known.get(row.pid)
        if one is None or one.started != row.started:
            return False
        if seen.get(row.pid) == row.started:
            # Someone else's mark, unless the whole tree has it from further up: it is of a run within this one.
            return one.mark in (None, run_id, root.mark)
        if one.mark != run_id or root.uid is None or self._details.uid(row.pid) != root.uid:
            return False
        if root.mark == run_id:
            return True
        # The root does not carry its own mark: someone has set it by hand. Then the folder must agree as well.
        return _is_within(self._details.cwd(row.pid), root.folder)

    def _root(self, run: Run, top: Row | None) -> _Root:
        if top is not None and not _ended(top):
            return self._ask_root(run.id, top)
        found = self._roots.get(run.id)
        return found if found is not None else _Root(None, _uid_of(run.user), run.id, None)

    def _ask_root(self, run_id: str, root: Row) -> _Root:
        known = self._known.get(root.pid)
        mark = known.mark if known is not None and known.started == root.started else None
        self._roots.pop(run_id, None)  # so that the oldest stands first
        found = _Root((root.pid, root.started), self._details.uid(root.pid), mark, self._details.cwd(root.pid))
        self._roots[run_id] = found
        if len(self._roots) > MOST_RUNS:
            del self._roots[next(iter(self._roots))]
        return found

    # ── what is known ──────────────────────────────────────────────────────────────────────────────────────────────

    def _keep(self, row: Row, mark: str | None) -> None:
        before = self._known.get(row.pid)
        if before is not None and before.mark is not None and before.mark != mark:
            self._drop_carrier(before.mark, row.pid)
        self._known[row.pid] = _Known(row.started, mark)
        if mark is not None:
            self._carriers.setdefault(mark, set()).add(row.pid)
            self.version += 1
            self._found_at[mark] = self.version

    def _read_again(self, row: Row) -> None:
        """A mark that is gone is still believed: the program has wiped its environment, or an exec has."""
        mark, known = self._details.variable(row.pid, MARK), self._known.get(row.pid)
        if known is None or known.started != row.started:
            return
        if mark is not None and mark != known.mark:
            self._keep(row, mark)
            root = self._roots.get(mark)
            if root is not None and root.key == (row.pid, row.started):
                root.mark = mark  # the command of a run, met before its exec with the environment of who runs it

    def _drop_carrier(self, mark: str, pid: int) -> None:
        pids = self._carriers.get(mark, set())
        pids.discard(pid)
        if not pids:
            self._carriers.pop(mark, None)
            self._found_at.pop(mark, None)

    def _forget(self, rows: Mapping[int, Row]) -> None:
        for pid in [pid for pid in self._known if pid not in rows]:
            mark = self._known.pop(pid).mark
            if mark is not None:
                self._drop_carrier(mark, pid)
        for run_id, seen in list(self._seen.items()):
            left = {pid: started for pid, started in seen.items() if pid in rows and rows[pid].started == started}
            if left:
                self._seen[run_id] = left
            else:
                del self._seen[run_id]


def _line(pid: int, rows: Mapping[int, Row]) -> set[int]:
    """A process and those above it."""
    found: set[int] = set()
    row = rows.get(pid)
    while row is not None and row.pid not in found:
        found.add(row.pid)
        row = rows.get(row.ppid)
    return found


def _ended(row: Row) -> bool:
    """A zombie, unless only its first thread is one."""
    return row.zombie and (row.threads or 0) <= 1


def _is_within(folder: str | None, outer: str | None) -> bool:
    return folder is not None and outer is not None and (folder == outer or folder.startswith(outer.rstrip("/") + "/"))


def _uid_of(user: str | None) -> int | None:
    """Of the name in the record; else only what is our own is believed."""
    if user is not None:
        try:
            import pwd

            return pwd.getpwnam(user).pw_uid
        except (ImportError, KeyError):
            pass
    return os.geteuid() if hasattr(os, "geteuid") else None
