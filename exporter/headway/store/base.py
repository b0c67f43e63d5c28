"""The contract of a store. A store is synchronous and knows nothing of the event loop; the writer owns the thread it runs on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headway.model import Kind, Process, Status, Transition
from headway.names import NameStats


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a process's log. `number` counts from 1 for each process and never repeats."""

    process_id: str
    number: int
    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction writes: first the ids in `forget` lose all their rows; then whole records (upserted by id; of several
    with one id the last wins), transitions (appended), lines (one written again with its number replaces the first), totals by
    name (upserted by name and kind)."""

    processes: Sequence[Process] = ()
    transitions: Sequence[Transition] = ()
    lines: Sequence[LogLine] = ()
    names: Sequence[NameStats] = ()
    forget: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.processes or self.transitions or self.lines or self.names or self.forget)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which processes, newest first. None matches everything; `name_part` is a part of the name (letters a-z in any case); `since`
    and `until` (exclusive) are of the last change; `after` is the (created_at, id) of the last one already seen. `by_end`: only
    what has ended, the latest end first, and `after` is (finished_at, id)."""

    statuses: Collection[Status] | None = None
    kind: Kind | None = None
    user: str | None = None
    project: str | None = None
    task: str | None = None
    attempt: str | None = None
    agent: str | None = None
    group: str | None = None
    parent_id: str | None = None
    name: str | None = None
    name_part: str | None = None
    executors_only: bool = False
    since: float | None = None
    until: float | None = None
    after: tuple[float, str] | None = None
    by_end: bool = False
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the registry starts from: every process that is active, or ended and not yet faded, and all totals by name."""

    processes: Sequence[Process]
    names: Sequence[NameStats]


class Store(Protocol):
    """Ordering: batches are written in the order of the calls; one call is one transaction.

    Durability: when :meth:`write` returns, the batch survives the loss of power; when it raises, nothing of it is there.
    Ownership: every method may be called from any thread (each may block on the disk, so never from the event loop); those that
    write wait for each other, reads wait for nobody and see the last committed state.
    Errors: every method raises StoreUnavailable or StoreCorrupt as :meth:`write` does; what they say tells what to do next.
    Shutdown: :meth:`close` may be called twice; nothing else may be called after it.
    """

    def write(self, batch: Batch) -> None:
        """Raises StoreUnavailable when it cannot be made durable (disk full, read-only), StoreCorrupt when the file is damaged."""

    def load(self, *, done_since: float) -> Loaded:
        """Active ones; undismissed done, cancelled and killed on request that ended at or after `done_since`; all other
        undismissed ended ones."""

    def get(self, process_id: str) -> Process | None:
        """The record as last committed; None when there is none."""

    def list(self, query: Query) -> Sequence[Process]:
        """At most `query.limit` processes by (created_at, id), or by (finished_at, id), newest first."""

    def children(self, parent_ids: Collection[str]) -> Sequence[Process]:
        """The direct children of all of these, oldest first by (created_at, id)."""

    def lines(self, process_id: str, tail: int) -> Sequence[LogLine]:
        """The last `tail` lines, oldest first."""

    def transitions(self, process_id: str) -> Sequence[Transition]:
        """Oldest first."""

    def status_counts(self) -> dict[Status, int]:
        """How many processes of each status are kept, history included."""

    def prune(self, *, ended_before: float, failed_before: float, keep: int) -> Sequence[str]:
        """Forgets ended processes with their lines and transitions, and returns their ids: those dismissed or of a good end that
        finished before `ended_before`, undismissed others that finished before `failed_before`, and of the ended ones left the
        oldest (by their end) over `keep`. Active ones are never forgotten. Works in small transactions, so that writes get in
        between. A good end is done, cancelled, or killed on request."""

    def trim_lines(self, process_ids: Iterable[str], *, keep_lines: int, keep_bytes: int) -> None:
        """Of each process the newest lines stay: at most `keep_lines` with together at most `keep_bytes` of UTF-8, and always
        the last one."""

    def backup(self, path: Path) -> None:
        """A complete, consistent copy at `path`, while writing goes on. Raises FileExistsError rather than overwrite."""

    def check(self) -> str | None:
        """None when a write would succeed now, else what is wrong and what to do. Tries a real write when the last one failed or
        is older than a second, so it notices when the trouble has gone."""

    def size_bytes(self) -> int:
        """What the store takes on the disk, 0 for one in memory."""

    def close(self) -> None: ...
