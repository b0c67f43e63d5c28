"""The page of /metrics of a running exporter: brought up to date and rendered without keeping other requests waiting."""

from __future__ import annotations

import asyncio
from typing import Final

from headway.collector import Collector
from headway.registry.registry import Registry

# Views that are worked out before other requests have their turn: one or two milliseconds.
SLICE: Final = 100
# From so many processes on a page is rendered in a thread; below, going there would cost more than the page.
LARGE: Final = 200


class Scrape:
    """Belongs to the event loop. `version` is that of the registry that the collector was last told of.

    Every process is shown as it was at one moment not before the request, all its figures of that same moment; those of different
    processes may lie some milliseconds apart.
    """

    def __init__(self, registry: Registry, collector: Collector) -> None:
        self.registry = registry
        self.collector = collector
        self.version = 0
        self._telling = asyncio.Lock()

    async def page(self, accept: str | None, accept_encoding: str | None) -> tuple[bytes, str, str | None]:
        """See :meth:`headway.collector.Collector.page`."""
        async with self._telling:
            await self._tell()
        if len(self.registry.entries) < LARGE:
            return self.collector.page(accept, accept_encoding)
        return await asyncio.to_thread(self.collector.page, accept, accept_encoding)

    async def _tell(self) -> None:
        """What changed since the last page: every active process (its time left moves), and new ends."""
        registry, collector, entries = self.registry, self.collector, self.registry.entries
        version = registry.version  # what changes from here on is told again the next time
        for process_id in registry.removed_since(self.version):
            collector.remove(process_id)
        changed = {entry.process.id for entry in registry.newer_than(self.version)}
        told = [entry for key, entry in entries.items() if entry.process.status.active or key in changed]
        for first in range(0, len(told), SLICE):
            if first:
                await asyncio.sleep(0)
            now = registry.clock()
            here = [entry for entry in told[first : first + SLICE] if entries.get(entry.process.id) is entry]
            collector.put_all([registry.view(entry, now) for entry in here])
        self.version = version
        for stats in registry.names_changed():
            collector.put_name(stats)
        collector.set_status_counts(registry.status_counts)
        collector.set_project_costs(registry.project_costs)
