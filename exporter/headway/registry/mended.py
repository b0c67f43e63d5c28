"""Runs that ended badly and were mended by a later one of their name: dismissed after a while, where the settings say so."""

from __future__ import annotations

from contextlib import suppress

from headway.errors import StoreUnavailable
from headway.registry.lifecycle import needs_attention
from headway.registry.registry import Registry


def dismiss_mended(registry: Registry) -> list[str]:
    """Dismisses those after which one of their name and kind was done, `mended_retention` ago or before that; returns their ids.
    None of a name over the limit: its totals are those of many."""
    patience, now = registry.settings.mended_retention, registry.clock()
    if patience is None:
        return []
    found = []
    for process_id, entry in list(registry.entries.items()):
        process = entry.process
        if process.finished_at is None or process.dismissed_at is not None or not needs_attention(process):
            continue
        stats = registry.totals.of(process)
        good = None if stats is None else stats.last_success_at
        if good is not None and process.finished_at < good <= now - patience:
            with suppress(StoreUnavailable):  # the next round tries again
                registry.dismiss(process_id)
                found.append(process_id)
    return found
