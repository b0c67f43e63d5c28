"""Who is told when a process changes. A subscriber has no queue: it remembers the last version it sent, and asks for newer ones."""

from __future__ import annotations

import asyncio


class Hub:
    """Wakes subscribers; event-loop thread only. A slow subscriber costs nothing: what it missed is merged into the present."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._clients: set[asyncio.Event] = set()
        self.closed = False

    def subscribe(self, client: bool = False) -> asyncio.Event:
        """An event that is set at every change; the subscriber clears it before it reads. Give it back to `unsubscribe`. `client`:
        for somebody outside of the exporter."""
        event = asyncio.Event()
        self._waiting.add(event)
        if client:
            self._clients.add(event)
        return event

    def unsubscribe(self, event: asyncio.Event) -> None:
        self._waiting.discard(event)
        self._clients.discard(event)

    @property
    def clients(self) -> int:
        return len(self._clients)

    def close(self) -> None:
        """Lets every subscriber go: the exporter is about to stop."""
        self.closed = True
        self.wake()

    def wake(self) -> None:
        for event in self._waiting:
            event.set()
