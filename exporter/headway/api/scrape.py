"""The page of /metrics of a running exporter: brought up to date and rendered without keeping other requests waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Final

from headway.collector import Collector
from headway.metrics.page import choose_format
from headway.registry.registry import Registry
from headway.turns import Way, in_turns

# Views that are worked out before other requests may have their turn: half a millisecond.
SLICE: Final = 30
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
        self.version = 0
        self._making = asyncio.Lock()

    async def page(self, accept: str | None, accept_encoding: str | None) -> tuple[bytes, str, str | None]:
        """See :meth:`headway.collector.Collector.page`."""
        form = choose_format(accept)
        async with self._making:
            with self.way.first():
                await in_turns(self._telling())
                pieces = await in_turns(self.collector.paging(form))
            if len(self.registry.entries) < LARGE:
                return self.collector.packed(pieces, form, accept_encoding)
            return await asyncio.to_thread(self.collector.packed, pieces, form, accept_encoding)

    def _telling(self) -> Generator[None, None, None]:
        """What changed since the last page: every active process (its time left moves), and new ends."""
        registry, collector, entries = self.registry, self.collector, self.registry.entries
        version = registry.version  # what changes from here on is told again the next time
        for process_id in registry.removed_since(self.version):
            collector.remove(process_id)
        changed = {entry.process.id for entry in registry.newer_than(self.version)}
        yield
        told = [entry for key, entry in entries.items() if entry.process.state.status.active or key in changed]
        for first in range(0, len(told), SLICE):
            yield
            now = registry.clock()
            here = [entry for entry in told[first : first + SLICE] if entries.get(entry.process.id) is entry]
            collector.put_all([registry.view(entry, now) for entry in here])
        self.version = version
        for stats in registry.names_changed():
            collector.put_name(stats)
        collector.set_status_counts(registry.status_counts)
        collector.set_project_costs(registry.project_costs)
