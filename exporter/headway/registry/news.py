"""Following the registry from inside the exporter: what changed, in groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from headway.registry.entry import Entry
from headway.registry.registry import Registry


async def news(registry: Registry, pause: float, since: int | None = None) -> AsyncGenerator[list[Entry], None]:
    """Entries that changed, the newest change first, until the hub is closed; what comes within `pause` (s) comes together. Use it
    with :func:`contextlib.aclosing`, so that whoever follows no longer is not woken any more. `since`: the version that was seen
    already; without it what changes before the first `anext` is not told."""
    hub, seen = registry.feed.hub, registry.feed.version if since is None else since
    changed = hub.subscribe()
    if registry.feed.version > seen:
        changed.set()
    try:
        while not hub.closed:
            await changed.wait()
            await asyncio.sleep(pause)
            changed.clear()
            found, seen = registry.feed.newer_than(seen), registry.feed.version
            yield found
    finally:
        hub.unsubscribe(changed)
