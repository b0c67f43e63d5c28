"""What waits to be sent: bounded, the oldest goes first."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from headway.shipping.entries import Entry


class Backlog:
    """Entries in the order they came, at most `most_bytes` of them. `put` never waits for whoever sends."""

    def __init__(self, most_bytes: int) -> None:
        self.dropped = 0
        self._most = most_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._since = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entries: Sequence[Entry]) -> None:
        with self._changed:
            if not self._entries:
                self._since = time.monotonic()
            for entry in entries:
                self._entries.append(entry)
                self._bytes += entry.size
            while self._bytes > self._most and self._entries:
                self._bytes -= self._entries.popleft().size
                self.dropped += 1
            self._changed.notify()

    def take(self, most_entries: int, most_bytes: int, gather: float) -> list[Entry]:
        """The oldest, once there are enough for a batch or they have waited `gather` seconds. Empty only after the end."""
        with self._changed:
            while not self._closed:
                wait = self._since + gather - time.monotonic() if self._entries else None
                full = self._bytes >= most_bytes or len(self._entries) >= most_entries
                if self._entries and (full or (wait is not None and wait <= 0)):
                    break
                self._changed.wait(wait)
            found: list[Entry] = []
            size = 0
            while self._entries and len(found) < most_entries and (not found or size + self._entries[0].size <= most_bytes):
                entry = self._entries.popleft()
                found.append(entry)
                size += entry.size
            self._bytes -= size
            self._since = time.monotonic()
            return found

    def pause(self, seconds: float) -> None:
        """Waits so long, or until the end."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._closed and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Whoever waits goes on at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
