"""What makes a change durable: handed to the writer with the totals that it moves, published when it is stored, else taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from headway.costs import cost
from headway.errors import StoreUnavailable
from headway.model import Process, Status, Transition, Usage
from headway.names import NameStats
from headway.registry.entry import Entry
from headway.registry.feed import Feed
from headway.registry.mark import Mark
from headway.registry.marks import Marks
from headway.registry.outcome import NameKey, Undo, UndoCount, Writes
from headway.registry.roll import Roll
from headway.registry.totals import Totals
from headway.settings import Settings
from headway.store.base import LogLine
from headway.used import NOTHING, Used

Names = tuple[NameKey, NameStats | None, NameStats]


class Commits:
    """Owned by the registry; event-loop thread only. What a change was is in the entry already when it comes here. Futures resolve
    when it is stored and published, and fail when it was not stored: by then it is undone (:meth:`undo`)."""

    def __init__(
        self, settings: Settings, writer: Writes, roll: Roll, feed: Feed, totals: Totals, marks: Marks, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._roll = roll
        self._feed = feed
        self._totals = totals
        self._marks = marks
        self._clock = clock

    def settle(
        self, entry: Entry, before: Process, at: float, cause: str, lines: Sequence[LogLine], told: Used = NOTHING
    ) -> asyncio.Future[None]:
        """Commits a change of the state, with the totals of its name if that was the end. `told`: what its reporter says that it
        used, from its start to its end."""
        process = entry.process
        if process.status is before.status:
            return self.commit(entry, before=before, lines=lines)
        names: Names | None = None
        mark, used = None, NOTHING
        if process.status.ended:
            mark, (used, counted) = entry.mark, self._marks.take(entry, told)
            dollars = total = cost(process.metadata, self._settings.prices)
            if process.started_at is not None:  # else it was that of who waited
                usage = entry.usage(told)
                if total is not None and usage is not None and usage.counted_dollars is not None:
                    dollars = max(0.0, total - usage.counted_dollars)
                # Only who was lost may come back, and goes on from here.
                lost = process.status is Status.ORPHANED
                if lost or usage is not None:
                    kept = counted if lost and counted != NOTHING else None
                    usage = replace(usage or Usage(), counted=kept, counted_dollars=total if lost else None)
                    process = entry.process = replace(process, usage=None if usage == Usage() else usage)
            entry.mark = None
            key = self._totals.key_of(process)
            known = self._totals.names.get(key)
            shape = None
            if entry.estimator is not None and process.status is Status.DONE:
                shape = entry.estimator.shape() or None
            if dollars is not None:
                self._totals.spent(process.spec.project, dollars)
            stats = (known or NameStats(name=key[0], kind=process.kind)).with_end(process, shape, dollars, used)
            self._totals.put(key, stats)
            names = (key, known, stats)
        elif entry.estimator is None and process.started_at is not None:
            entry.estimator = self._roll.estimator(process)
        else:
            entry.keep_time(at)
        self._totals.count(before.status, process.status)
        return self.commit(
            entry,
            before=before,
            transition=Transition(process.id, at, before.status, process.status, cause),
            names=names,
            lines=lines,
            mark=mark,
            used=used,
        )

    def commit(
        self,
        entry: Entry,
        *,
        before: Process | None,
        transition: Transition | None = None,
        names: Names | None = None,
        lines: Sequence[LogLine] = (),
        mark: Mark | None = None,
        used: Used = NOTHING,
    ) -> asyncio.Future[None]:
        """The entry as it is now. `before`: its record until now, None: it is new; `names`: key, totals before and now; `used` what
        of it is counted in them, up to `mark`. Raises StoreUnavailable, and then it is undone."""
        numbers = range(lines[0].number, lines[-1].number + 1) if lines else range(0)
        key, name_before, stats = names or (None, None, None)
        token = Undo(entry.process.id, before, key, name_before, numbers, mark, used)
        try:
            future = self._writer.commit(
                processes=[entry.process],
                transitions=[] if transition is None else [transition],
                names=[] if stats is None else [stats],
                lines=lines,
                token=token,
            )
        except StoreUnavailable:
            self.undo([token])
            raise

        entry.pending = future

        def publish(done: asyncio.Future[None]) -> None:
            if entry.pending is done:
                entry.pending = None
            if done.cancelled() or done.exception() is not None:
                return
            if key is not None:
                self._totals.say(key)
            if entry.process.dismissed_at is not None:
                self._roll.drop([entry.process.id])
            else:
                self._feed.turn(entry)

        future.add_done_callback(publish)
        return future

    def undo(self, tokens: Iterable[object]) -> None:
        """Takes back changes that could not be stored; `tokens` in reverse order of the changes."""
        for token in tokens:
            if isinstance(token, UndoCount):
                self._uncount(token)
            if not isinstance(token, Undo):
                continue
            entry = self._roll.entries.get(token.process_id)
            if token.name_key is not None:
                self._totals.put(token.name_key, token.name_before)
                self._totals.say(token.name_key)
            if entry is None:
                continue
            self._totals.count(entry.process.status, None if token.before is None else token.before.status)
            if token.before is None:
                self._roll.drop([token.process_id])
                continue
            entry.process = token.before
            if token.mark is not None:
                token.mark.back(token.used)
                entry.mark = token.mark
            entry.keep_time(self._clock())
            entry.log.withdraw(token.line_numbers)
            self._writer.behind(token.before)
            self._feed.turn(entry)

    def _uncount(self, token: UndoCount) -> None:
        for key, stats in token.names.items():
            self._totals.put(key, stats)
            self._totals.say(key)
        for process_id, usage in token.usages.items():
            if (entry := self._roll.entries.get(process_id)) is not None:
                if entry.mark is not None:
                    entry.mark.back(token.taken[process_id])
                entry.process = replace(entry.process, usage=usage)
                self._writer.behind(entry.process)
