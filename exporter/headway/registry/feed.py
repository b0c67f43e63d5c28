"""What changed, in order. Who follows has no queue: it remembers the version it has seen, and asks for what is newer."""

from __future__ import annotations

from itertools import takewhile
from typing import Final

from headway.registry.entry import Entry
from headway.registry.hub import Hub

REMOVALS_KEPT: Final = 10_000


class Feed:
    """Owned by the registry, whose verbs alone change it; event-loop thread only. `version` grows with every change. `hub` wakes
    who follows everything, `turns` who follows only what came, and changes of status. What is known to be gone is known since
    `removals_known_since`, a version."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.turns = Hub()
        self.version = 0
        self.removals_known_since = 0
        self._recent: dict[str, Entry] = {}  # by version, oldest change first
        self._turned: dict[str, Entry] = {}
        self._removed: list[tuple[int, str]] = []

    def touch(self, entry: Entry) -> None:
        """Something about it changed."""
        self.version = entry.version = self.version + 1
        recent, process_id = self._recent, entry.process.id
        recent.pop(process_id, None)
        recent[process_id] = entry
        self.hub.wake()

    def turn(self, entry: Entry) -> None:
        """It came, or its status changed."""
        self.touch(entry)
        self._turned[entry.process.id] = entry
        self.turns.wake()

    def remove(self, process_id: str) -> None:
        """It left the active view. :meth:`removed` follows."""
        self._recent.pop(process_id, None)
        self.version += 1
        self._removed.append((self.version, process_id))

    def removed(self) -> None:
        """All that were to be removed are."""
        if len(self._removed) > REMOVALS_KEPT:
            self.removals_known_since = self._removed[-REMOVALS_KEPT - 1][0]
            del self._removed[:-REMOVALS_KEPT]
        self.hub.wake()

    def newer_than(self, version: int) -> list[Entry]:
        """Entries that changed after `version`, the newest change first."""
        return list(takewhile(lambda entry: entry.version > version, reversed(self._recent.values())))

    def removed_since(self, version: int) -> list[str]:
        """Ids that left the active view after `version`, oldest first; complete from `removals_known_since` on."""
        return [process_id for at, process_id in self._removed if at > version]

    def take_turns(self) -> list[Entry]:
        """Entries that came or changed their status since the last call."""
        taken, self._turned = list(self._turned.values()), {}
        return taken
