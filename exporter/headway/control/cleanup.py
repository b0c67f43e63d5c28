"""Cleanup on request: what is over leaves the active view. Records only; no OS process is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from headway.control.storing import stored
from headway.errors import Conflict
from headway.model import Process, Status
from headway.registry.entry import Entry
from headway.registry.lifecycle import needs_attention
from headway.registry.registry import Registry

# Ended ones that nobody needs to look into leave after so long (s), when a request does not say.
OLDER_THAN: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    id: str
    name: str
    status: str


@dataclass(slots=True)
class Cleanup:
    """`orphans`: were given up for lost. `zombies`: their OS process had ended, and its parent has not waited for it; they are
    orphaned now. `ended`: ended well, long enough ago."""

    orphans: list[Cleaned] = field(default_factory=list)
    zombies: list[Cleaned] = field(default_factory=list)
    ended: list[Cleaned] = field(default_factory=list)
    cleaned_count: int = 0
    dry_run: bool = False


async def clean_up(registry: Registry, *, by: str, older_than: float, sees: Callable[[str | None], bool], dry_run: bool) -> Cleanup:
    """Raises StoreUnavailable."""
    now = registry.clock()
    done = Cleanup(dry_run=dry_run)
    chosen: list[tuple[Entry, list[Cleaned]]] = []
    for entry in registry.entries.values():
        process = entry.process
        if not sees(process.spec.user) or process.dismissed_at is not None or entry.in_hand:
            continue
        if process.status is Status.ORPHANED:
            chosen.append((entry, done.orphans))
        elif process.status.active and zombie_since(entry) is not None:
            chosen.append((entry, done.zombies))
        elif is_over(process, now - older_than):
            chosen.append((entry, done.ended))
    changes = []
    for entry, kind in chosen:
        process = entry.process
        if not dry_run:
            try:
                since = zombie_since(entry)
                if process.status.active and since is not None:
                    changes.append(
                        registry.end(
                            process.id,
                            Status.ORPHANED,
                            at=max(since, process.started_at or since),
                            cause=f"cleanup asked by {by}: its OS process is a zombie",
                            error="its OS process ended, and its parent has not waited for it; it never said how it ended",
                        )
                    )
                changes.append(registry.dismiss(process.id))
            except Conflict:
                continue  # it changed meanwhile
        kind.append(Cleaned(id=process.id, name=process.name, status=process.status.value))
    await stored(changes)
    done.cleaned_count = len(done.orphans) + len(done.zombies) + len(done.ended)
    return done


def zombie_since(entry: Entry) -> float | None:
    return None if entry.sample is None else entry.sample.zombie_since


def is_over(process: Process, before: float) -> bool:
    finished_at = process.finished_at
    return finished_at is not None and finished_at <= before and not needs_attention(process)
