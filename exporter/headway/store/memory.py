"""The store without a disk: for tests and for trying things out. Nothing survives the process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

from headway.model import Process, Status, Transition
from headway.names import NameStats
from headway.store.base import Batch, Loaded, LogLine, Query
from headway.store.sqlite import SQLiteStore

_GOOD = frozenset({Status.DONE, Status.CANCELLED})
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


class MemoryStore:
    """A :class:`headway.store.base.Store` in dictionaries. Plain loops: it says what the other one must do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: dict[str, Process] = {}
        self._transitions: dict[str, list[Transition]] = {}
        self._lines: dict[str, dict[int, LogLine]] = {}
        self._names: dict[tuple[str, str], NameStats] = {}

    def write(self, batch: Batch) -> None:
        with self._lock:
            self._forget(batch.forget)
            self._processes |= {process.id: process for process in batch.processes}
            for transition in batch.transitions:
                self._transitions.setdefault(transition.process_id, []).append(transition)
            for line in batch.lines:
                self._lines.setdefault(line.process_id, {})[line.number] = line
            self._names |= {(stats.name, stats.kind): stats for stats in batch.names}

    def load(self, *, done_since: float) -> Loaded:
        with self._lock:
            kept = [p for p in self._processes.values() if _begins_with(p, done_since)]
            return Loaded(sorted(kept, key=_age), [self._names[key] for key in sorted(self._names)])

    def get(self, process_id: str) -> Process | None:
        with self._lock:
            return self._processes.get(process_id)

    def list(self, query: Query) -> Sequence[Process]:
        with self._lock:
            found = [process for process in self._processes.values() if _matches(process, query)]
        return sorted(found, key=_end if query.by_end else _age, reverse=True)[: max(0, query.limit)]

    def children(self, parent_ids: Collection[str]) -> Sequence[Process]:
        with self._lock:
            return sorted((p for p in self._processes.values() if p.spec.parent_id in parent_ids), key=_age)

    def lines(self, process_id: str, tail: int) -> Sequence[LogLine]:
        with self._lock:
            lines = self._lines.get(process_id, {})
            return [lines[number] for number in sorted(lines)][max(0, len(lines) - max(0, tail)) :]

    def transitions(self, process_id: str) -> Sequence[Transition]:
        with self._lock:
            return list(self._transitions.get(process_id, ()))

    def status_counts(self) -> dict[Status, int]:
        with self._lock:
            return dict(Counter(process.status for process in self._processes.values()))

    def prune(self, *, ended_before: float, failed_before: float, keep: int) -> Sequence[str]:
        def expired(process: Process, finished_at: float) -> bool:
            settled = process.dismissed_at is not None or _good_end(process)
            return finished_at < (ended_before if settled else failed_before)

        with self._lock:
            ended = sorted((p.finished_at, p.id, p) for p in self._processes.values() if p.finished_at is not None)
            gone = [process_id for finished_at, process_id, process in ended if expired(process, finished_at)]
            left = [process_id for _, process_id, _ in ended if process_id not in set(gone)]
            gone += left[: max(0, len(left) - keep)]
            self._forget(gone)
        return gone

    def trim_lines(self, process_ids: Iterable[str], *, keep_lines: int, keep_bytes: int) -> None:
        with self._lock:
            for process_id in process_ids:
                lines, size = self._lines.get(process_id, {}), 0
                for place, number in enumerate(sorted(lines, reverse=True), start=1):
                    size += len(lines[number].text.encode("utf-8", "replace"))
                    if place > 1 and (place > keep_lines or size > keep_bytes):
                        del lines[number]

    def backup(self, path: Path) -> None:
        """As a database file, which the other store opens."""
        if path.exists():
            raise FileExistsError(f"{path} exists already: choose another name, nothing is overwritten")
        copy = SQLiteStore(path)
        with self._lock:
            batch = Batch(
                processes=list(self._processes.values()),
                transitions=[t for several in self._transitions.values() for t in several],
                lines=[line for lines in self._lines.values() for line in lines.values()],
                names=list(self._names.values()),
            )
        try:
            copy.write(batch)
        finally:
            copy.close()

    def check(self) -> str | None:
        return None

    def size_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""

    def _forget(self, process_ids: Iterable[str]) -> None:
        for process_id in process_ids:
            self._processes.pop(process_id, None)
            self._transitions.pop(process_id, None)
            self._lines.pop(process_id, None)


def _age(process: Process) -> tuple[float, str]:
    return process.spec.created_at, process.id


def _end(process: Process) -> tuple[float, str]:
    return process.finished_at or 0.0, process.id


def _good_end(process: Process) -> bool:
    return process.status in _GOOD or getattr(process.state, "requested", False)


def _begins_with(process: Process, done_since: float) -> bool:
    finished_at = process.finished_at
    if finished_at is None:
        return True
    return process.dismissed_at is None and (not _good_end(process) or finished_at >= done_since)


def _matches(process: Process, query: Query) -> bool:
    spec = process.spec
    wanted = (
        (query.kind, spec.kind),
        (query.user, spec.user),
        (query.project, spec.project),
        (query.task, spec.task),
        (query.attempt, spec.attempt),
        (query.agent, spec.agent),
        (query.group, spec.group),
        (query.parent_id, spec.parent_id),
        (query.name, spec.name),
    )
    return (
        all(value is None or value == given for value, given in wanted)
        and (query.statuses is None or process.status in query.statuses)
        and (spec.executor or not query.executors_only)
        and (query.since is None or process.activity.updated_at >= query.since)
        and (query.until is None or process.activity.updated_at < query.until)
        and (query.name_part is None or query.name_part.translate(_LOWER) in spec.name.translate(_LOWER))
        and (process.finished_at is not None or not query.by_end)
        and (query.after is None or (_end if query.by_end else _age)(process) < query.after)
    )
