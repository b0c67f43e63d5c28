"""The page of /metrics of a running exporter: brought up to date and rendered without keeping other requests waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from math import inf
from typing import Final

from headway.collector import Collector
from headway.metrics.page import choose_format
from headway.registry.registry import Registry
from headway.turns import Way, in_turns

# Views that are worked out before other requests may have their turn: half a millisecond.
SLICE: Final = 30
# Up to so many processes a page makes all forecasts of the time left that are due: 5 ms at the most. With more it is patient.
IMPATIENT: Final = 100
# So many ends since the last page are worked off ahead of the next one; how often that is looked at, and for how long after a page.
ENOUGH: Final = 100
PREPARE_EVERY: Final = 0.25
ASKED_WITHIN: Final = 60.0
# From so many processes on a page is packed in a thread; below, going there would cost more than that.
LARGE: Final = 200


class Scrape:
    """Belongs to the event loop. `version` is that of the registry that the collector was last told of; `way` is where what happens
    by itself gives way to a page.

    Every process is shown as it was at one moment not before the request, all its figures of that same moment; those of different
    processes may lie some milliseconds apart.
    """

    def __init__(self, registry: Registry, collector: Collector, way: Way | None = None) -> None:
        self.registry = registry
        self.collector = collector
        self.way = way or Way()
        self.version = self._ends = 0
        self._asked_at = -inf
        self._making = asyncio.Lock()

    async def page(self, accept: str | None, accept_encoding: str | None) -> tuple[bytes, str, str | None]:
        """See :meth:`headway.collector.Collector.page`."""
        form = choose_format(accept)
        self._asked_at = self.registry.clock()
        with self.way.first():
            async with self._making:
                await in_turns(self._telling())
                pieces = await in_turns(self.collector.paging(form))
                if len(self.registry.entries) < LARGE:
                    return self.collector.packed(pieces, form, accept_encoding)
                # Nobody else may work for long meanwhile: between two pieces the thread would wait for the interpreter each time.
                return await asyncio.to_thread(self.collector.packed, pieces, form, accept_encoding)

    async def prepare(self) -> None:
        """Where many ended since the last page, works them off ahead of the next one, if anybody asks for pages at all: it takes
        longer to write the lines of one than to bring those of an active one up to date, and they stay as they are."""
        now = self.registry.clock()
        if not self._asked_at <= now < self._asked_at + ASKED_WITHIN:
            return
        if self.registry.totals.ends - self._ends >= ENOUGH:
            async with self._making:
                await in_turns(self._telling(active=False))
                await in_turns(self.collector.settling())

    def _telling(self, *, active: bool = True) -> Generator[None, None, None]:
        """What changed since the last page: every active process (its time left moves) unless it is not to be, and new ends."""
        registry, collector, entries = self.registry, self.collector, self.registry.entries
        version, ends = registry.feed.version, registry.totals.ends  # what changes from here on is told again the next time
        for process_id in registry.feed.removed_since(self.version):
            collector.remove(process_id)
        changed = {entry.process.id for entry in registry.feed.newer_than(self.version)}
        yield
        told = [entry for key, entry in entries.items() if (active if entry.process.state.status.active else key in changed)]
        patient = len(told) > IMPATIENT
        for first in range(0, len(told), SLICE):
            yield
            now = registry.clock()
            here = [entry for entry in told[first : first + SLICE] if entries.get(entry.process.id) is entry]
            collector.put_all([registry.view(entry, now, patient=patient) for entry in here])
        self.version, self._ends = version, ends
        for stats in registry.totals.news():
            collector.put_name(stats)
        collector.set_status_counts(registry.totals.by_status)
        collector.set_project_costs(registry.totals.project_costs)
