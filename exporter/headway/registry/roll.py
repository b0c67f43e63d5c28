"""Who is in memory, by id, and whose child each is. A parent may come after its children, or leave before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from headway.errors import TooLarge
from headway.estimate import Estimator
from headway.model import Paused, Process, Queued
from headway.registry.entry import Entry
from headway.registry.feed import Feed
from headway.registry.logs import LogTail
from headway.registry.totals import Totals
from headway.settings import Settings
from headway.store.base import LogLine

# So many times `max_processes` are tracked at most.
_TRACKED_FACTOR: Final = 10


class Roll:
    """Owned by the registry; event-loop thread only. `entries` is for everybody to read; who comes and goes is told to `feed`."""

    def __init__(self, settings: Settings, feed: Feed, totals: Totals) -> None:
        self.entries: dict[str, Entry] = {}
        self._settings = settings
        self._feed = feed
        self._totals = totals
        self._orphan_children: dict[str, set[str]] = {}

    def insert(self, process: Process, now: float, lines: Sequence[LogLine] = ()) -> Entry:
        """Raises TooLarge."""
        settings = self._settings
        if process.status.active and len(self.entries) >= _TRACKED_FACTOR * settings.max_processes:
            raise TooLarge(f"{len(self.entries)} processes are being tracked already; end or dismiss some")
        log = LogTail(settings.log_tail_lines, settings.log_tail_bytes, lines)
        entry = Entry(process, log, None if isinstance(process.state, Queued) else self.estimator(process), now)
        self.entries[process.id] = entry
        entry.children = self._orphan_children.pop(process.id, set())
        if process.spec.parent_id is not None:
            self._children_of(process.spec.parent_id).add(process.id)
        self._feed.turn(entry)
        return entry

    def drop(self, process_ids: Iterable[str]) -> None:
        """Forgets these."""
        for process_id in process_ids:
            entry = self.entries.pop(process_id, None)
            if entry is None:
                continue
            self._feed.remove(process_id)
            parent_id = entry.process.spec.parent_id
            if parent_id is not None:
                self._children_of(parent_id).discard(process_id)
                if not self._orphan_children.get(parent_id, True):
                    del self._orphan_children[parent_id]
            if entry.children:
                self._orphan_children[process_id] = entry.children
        self._feed.removed()

    def estimator(self, process: Process) -> Estimator | None:
        """Of its rate and time left, with what earlier runs of its name looked like; None before it begins and after its end."""
        started_at = process.started_at
        if started_at is None or process.status.ended:
            return None
        stats = self._totals.of(process)
        activity = process.activity
        estimator = Estimator(started_at, activity.initial, stats.shapes if stats is not None else ())
        if activity.current is not None:
            estimator.add(activity.last_progress_at or started_at, activity.current)
        if isinstance(process.state, Paused):
            estimator.pause(process.state.paused_at)
        return estimator

    def _children_of(self, parent_id: str) -> set[str]:
        parent = self.entries.get(parent_id)
        return parent.children if parent is not None else self._orphan_children.setdefault(parent_id, set())
