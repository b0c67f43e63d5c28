"""What is on its way to the store: the items of the writer's queue, the group of commits that is written next, and what is written
behind. Why it is right is explained at :class:`headway.store.writer.Writer`; everything here belongs to the writer's thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import ClassVar, Final, Protocol

from headway.model import Process, Transition
from headway.names import NameStats
from headway.store.base import Batch, LogLine

NameKey = tuple[str, str]

# Of what is written behind, how much goes into one transaction: some 50 ms, so that a creation does not wait behind 20,000 records.
RECORDS_AT_ONCE: Final = 1000
LINES_AT_ONCE: Final = 5000


class Holder(Protocol):
    """Whoever has the newest record of a process."""

    @property
    def process(self) -> Process: ...


@dataclass(slots=True, eq=False)
class Commit:
    """What must be durable before its future resolves. `told`: lines of its processes that were handed in before it, to be written
    behind; they are facts, whatever becomes of the commit."""

    epoch: int
    processes: Sequence[Process]
    transitions: Sequence[Transition]
    names: Sequence[NameStats]
    lines: Sequence[LogLine]
    token: object
    future: asyncio.Future[None]
    told: Sequence[LogLine] = ()

    @property
    def barrier(self) -> bool:
        """Changes nothing, only waits for all that is before it."""
        return not (self.processes or self.transitions or self.names or self.lines or self.token is not None)


@dataclass(slots=True, eq=False)
class Behind:
    """What was handed in to be written behind. `taken`: the thread has it."""

    epoch: int
    processes: dict[str, Process] = field(default_factory=dict)
    names: dict[NameKey, NameStats] = field(default_factory=dict)
    lines: Iterable[LogLine] = ()
    forget: tuple[str, ...] = ()
    taken: bool = False


Item = Commit | Behind


class Group:
    """Commits that are written in one transaction, or undone together."""

    LIMIT: ClassVar = 5000  # items taken at once

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self._forgotten_before: dict[str, int] = {}

    @classmethod
    def of(cls, commits: Iterable[Commit]) -> Group:
        group = cls()
        for commit in commits:
            group.add(commit)
        return group

    def add(self, commit: Commit) -> None:
        self.commits.append(commit)

    def forget(self, process_ids: Iterable[str]) -> None:
        """What the commits so far say of these processes is not written; those that follow begin anew."""
        for process_id in process_ids:
            self._forgotten_before[process_id] = len(self.commits)

    @property
    def process_ids(self) -> set[str]:
        return {process.id for commit in self.commits for process in commit.processes}

    @property
    def name_keys(self) -> set[NameKey]:
        return {(stats.name, stats.kind) for commit in self.commits for stats in commit.names}

    @property
    def unborn(self) -> set[str]:
        """Processes that are created in this group."""
        return {t.process_id for commit in self.commits for t in commit.transitions if t.before is None}

    def batch(self, handful: Handful) -> Batch:
        """The commits in order, then what is written behind: of one process that is always newer than its commits."""
        processes: dict[str, Process] = {}
        names: dict[NameKey, NameStats] = {}
        transitions: list[Transition] = []
        lines: list[LogLine] = []
        forgotten = self._forgotten_before
        for place, commit in enumerate(self.commits):
            processes |= {p.id: p for p in commit.processes if forgotten.get(p.id, 0) <= place}
            names |= {(stats.name, stats.kind): stats for stats in commit.names}
            transitions += (t for t in commit.transitions if forgotten.get(t.process_id, 0) <= place)
            lines += (line for line in commit.lines if forgotten.get(line.process_id, 0) <= place)
        return Batch(
            processes=list((processes | handful.processes).values()),
            transitions=transitions,
            lines=[*lines, *handful.lines],
            names=list((names | handful.names).values()),
            forget=handful.forget,
        )


@dataclass(frozen=True, slots=True)
class Handful:
    """The part of what is pending that goes into one transaction."""

    processes: dict[str, Process]
    names: dict[NameKey, NameStats]
    lines: Sequence[LogLine]
    forget: Sequence[str]


class Lines:
    """Log lines that wait on the event loop to be handed over, by process: at most `limit`, else the oldest go, of the process that
    waits longest, and are counted in `dropped`."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._count = 0
        self._waiting: dict[str, list[LogLine]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, lines: Sequence[LogLine]) -> None:
        """`lines` of one process."""
        process_id = lines[0].process_id
        waiting = self._waiting.get(process_id)
        if waiting is None:
            self._waiting[process_id] = list(lines)
        else:
            waiting += lines
        self._count += len(lines)
        while (excess := self._count - self._limit) > 0:
            process_id, oldest = next(iter(self._waiting.items()))
            gone = len(oldest[:excess])
            del oldest[:excess]
            self._count -= gone
            self.dropped += gone
            if not oldest:
                del self._waiting[process_id]

    def take(self, process_id: str) -> Sequence[LogLine]:
        """Those of one process, oldest first."""
        found = self._waiting.pop(process_id, ())
        self._count -= len(found)
        return found

    def take_all(self) -> Iterable[LogLine]:
        """All of them, those of each process oldest first."""
        found = chain.from_iterable(self._waiting.values())
        self._waiting, self._count = {}, 0
        return found


class Pending:
    """What is written behind and not written yet: the newest record of each process, totals, lines in order, ids to forget.

    Bounded by the number of processes and names, and by `max_lines`.
    """

    def __init__(self, max_lines: int) -> None:
        self.dropped_lines = 0
        self._max_lines = max_lines
        self._processes: dict[str, Process] = {}
        self._names: dict[NameKey, NameStats] = {}
        self._lines: deque[LogLine] = deque()
        self._forget: dict[str, None] = {}
        # Of the epoch that failed last: processes and names of discarded commits, and processes whose creation was one.
        self._undone: set[str] = set()
        self._undone_names: set[NameKey] = set()
        self._unborn: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._processes or self._names or self._lines or self._forget)

    def add(self, item: Behind, *, discarded: bool) -> None:
        """Takes over what was handed in; of a failed epoch (`discarded`) only what no undone commit can have touched."""
        if not discarded:
            self._end_of_failure()
        for process_id in item.forget:
            self._forget[process_id] = None
            self._processes.pop(process_id, None)
        if item.forget:
            gone = frozenset(item.forget)
            self._lines = deque(line for line in self._lines if line.process_id not in gone)
        self._processes |= {i: process for i, process in item.processes.items() if i not in self._undone}
        self._names |= {key: stats for key, stats in item.names.items() if key not in self._undone_names}
        self.keep(item.lines)

    def keep(self, lines: Iterable[LogLine]) -> None:
        """Takes over lines, but those of processes whose creation was undone."""
        self._lines.extend(line for line in lines if line.process_id not in self._unborn)
        while len(self._lines) > self._max_lines:
            self._lines.popleft()
            self.dropped_lines += 1

    def supersede(self, commit: Commit) -> None:
        """A commit is about to be written: it is newer than what is pending of its processes."""
        self._end_of_failure()
        for process in commit.processes:
            self._processes.pop(process.id, None)
        for stats in commit.names:
            self._names.pop((stats.name, stats.kind), None)

    def undo(self, group: Group) -> None:
        """These commits are not written, nor anything that may be built on them."""
        self._undone |= group.process_ids
        self._undone_names |= group.name_keys
        self._unborn |= group.unborn
        for process_id in group.process_ids:
            self._processes.pop(process_id, None)
        for key in group.name_keys:
            self._names.pop(key, None)
        if group.unborn:
            self._lines = deque(line for line in self._lines if line.process_id not in group.unborn)

    def _end_of_failure(self) -> None:
        """The first item of a new epoch: what follows is built on the undone memory."""
        if self._undone or self._undone_names:
            self._undone, self._undone_names, self._unborn = set(), set(), set()

    def handful(self, first: Callable[[], Collection[str]] = tuple, *, everything: bool = False) -> Handful:
        """What goes into the next transaction: all that is to be forgotten, all lines of the processes `first`, and the oldest of
        the rest, or `everything`. A record never goes before lines that were told before it: who is asked to repeat them by an
        exporter that was killed in between is believed to have been heard already (`seq`)."""
        records, lines = (None, None) if everything else (RECORDS_AT_ONCE, LINES_AT_ONCE)
        ready: Iterator[tuple[str, Process]] = iter(self._processes.items())
        if lines is not None and len(self._lines) > lines:
            whole = first()
            before = [line for line in self._lines if line.process_id in whole]
            if before:
                self._lines = deque([*before, *(line for line in self._lines if line.process_id not in whole)])
                lines = max(lines, len(before))
            left = {line.process_id for line in islice(self._lines, lines, None)}
            ready = ((process_id, found) for process_id, found in self._processes.items() if process_id not in left)
        return Handful(
            dict(islice(ready, records)),
            dict(islice(self._names.items(), records)),
            list(islice(self._lines, lines)),
            list(self._forget),
        )

    def written(self, handful: Handful) -> None:
        for process_id in handful.processes:
            del self._processes[process_id]
        for key in handful.names:
            del self._names[key]
        for _ in handful.lines:
            self._lines.popleft()
        self._forget.clear()

    def give_up(self) -> None:
        """Drops everything: one of these cannot be written, and would fail every group to come."""
        self.dropped_lines += len(self._lines)
        self._processes.clear()
        self._names.clear()
        self._lines.clear()
        self._forget.clear()
