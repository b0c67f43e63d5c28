"""Counting what active processes use under their names, where it stays for ever: in steps, shown when it is on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from headway.errors import StoreUnavailable
from headway.model import Status, Usage
from headway.names import NameStats
from headway.registry.changes import visible
from headway.registry.entry import Entry
from headway.registry.outcome import NameKey, UndoCount, Writes
from headway.registry.registry import Registry
from headway.used import Used

# How often (s). What is shown was on the disk before, else a counter would fall when the exporter is killed; so what is shown is so
# old at most. The end of a process counts what is left, in the transaction of the end.
COUNT_EVERY: Final = 10.0
# Processes that are looked at, and records that are made, before others have their turn.
SLICE: Final = 200
RECORDS: Final = 50


class UseWatch:
    """On the event-loop thread."""

    def __init__(self, registry: Registry, writer: Writes) -> None:
        self._registry = registry
        self._writer = writer

    def counting(self, *, everything: bool = False) -> Generator[None, None, None]:
        """Counts what came together since the last time; `everything`: however little it is. What cannot be stored is undone, and
        counts the next time."""
        registry = self._registry
        marks, now, changed = registry.marks, registry.clock(), list[Entry]()
        marks.forget(now)
        for number, entry in enumerate(list(registry.entries.values()), 1):
            if number % SLICE == 0 or len(changed) >= RECORDS:
                self._count(changed)  # before others have their turn, and may end one of these
                changed = []
                yield
            state = entry.process.state
            if not state.status.active or state.status is Status.QUEUED:
                continue
            if entry.mark is None and visible(entry.process, registry.host) is not None:
                continue  # until its first sample it is not known from where on it counts
            marks.settle(entry, now)
            if marks.due(entry) or (everything and entry.mark is not None):
                changed.append(entry)
        self._count(changed)

    def _count(self, entries: Sequence[Entry]) -> None:
        """One transaction: the totals hold what the records say is counted."""
        if not entries:
            return
        registry = self._registry
        totals = registry.totals
        usages: dict[str, Usage | None] = {}
        taken: dict[str, Used] = {}
        before: dict[NameKey, NameStats | None] = {}
        for entry in entries:
            process = entry.process
            key = totals.key_of(process)
            known = totals.names.get(key)
            before.setdefault(key, known)
            gain, counted = registry.marks.take(entry)
            usages[process.id], taken[process.id] = process.usage, gain
            totals.put(key, (known or NameStats(name=key[0], kind=process.kind)).with_use(gain))
            entry.process = replace(process, usage=replace(entry.usage() or Usage(), counted=counted))
        token = UndoCount(usages, taken, before)
        try:
            stored = self._writer.commit(
                processes=[entry.process for entry in entries], names=[totals.names[key] for key in before], token=token
            )
        except StoreUnavailable:
            registry.commits.undo([token])
            raise

        def publish(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and done.exception() is None:
                for key in before:
                    totals.say(key)

        stored.add_done_callback(publish)
