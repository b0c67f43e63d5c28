"""Runs that ended badly and were mended by a later one of their name: dismissed after a while, where the settings say so."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from headway.errors import StoreUnavailable
from headway.registry.lifecycle import needs_attention
from headway.registry.registry import Registry

# Beyond announce_failures_after (s): until its announcement is on its way.
TOLD_WITHIN: Final = 5.0


def dismiss_mended(registry: Registry) -> list[str]:
    """Dismisses those after which one of their name and kind was done, `mended_retention` ago or before that; returns their ids.
    None that was heard of so lately that nobody may have been told of it, however soon it was mended. None of a name over the
    limit: its totals are those of many."""
    patience, now = registry.settings.mended_retention, registry.clock()
    told = now - registry.settings.announce_failures_after - TOLD_WITHIN
    if patience is None:
        return []
    found = []
    for process_id, entry in list(registry.entries.items()):
        process = entry.process
        if process.finished_at is None or process.dismissed_at is not None or not needs_attention(process):
            continue
        if process.activity.updated_at > told:
            continue
        stats = registry.totals.of(process)
        good = None if stats is None else stats.last_success_at
        if good is not None and process.finished_at < good <= now - patience:
            with suppress(StoreUnavailable):  # the next round tries again
                registry.dismiss(process_id)
                found.append(process_id)
    return found
