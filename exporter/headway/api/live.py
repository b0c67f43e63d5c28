"""What the pages follow: rows of the active view as frames of what changed, each made and encoded once for all who may see it.

A channel belongs to one visibility (everybody's processes, or those of one user) and lives while somebody follows it. It keeps the
rows as its followers have them. A frame holds the fields that differ, so that a change costs a hundred bytes and not two thousand;
who missed frames gets the rows that changed since, and who comes anew gets all. Nothing is queued for anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import msgspec

from headway.api.web.row import Row, counts, row, trend
from headway.registry.entry import Entry
from headway.registry.registry import Registry

# Changes within this time travel together (s).
GATHER: Final = 0.2
# What changes without a report (time left, CPU, memory) is looked at so often (s), as the samples come.
TICK: Final = 2.0
KEEPALIVE: Final = 15.0
# Frames that are kept for who is a little behind, and rows that are remembered as gone.
FRAMES: Final = 64
GONE: Final = 10_000
# A channel that nobody follows goes on for this long (s): a browser that lost its connection comes back.
LINGER: Final = 30.0


@dataclass(slots=True)
class Kept:
    """A row as followers have it, and the frame that brought its last change."""

    entry: Entry
    row: Row
    frame: int


class Channel:
    """Event-loop thread only. `user`: whose processes it shows (None: everybody's); `name` is part of event ids; `notice` says what
    every page has to tell, None: nothing."""

    def __init__(self, name: str, registry: Registry, user: str | None, notice: Callable[[], str | None] = lambda: None) -> None:
        self.name = name
        self.registry = registry
        self.user = user
        self.frame = 1
        self.rows: dict[str, Kept] = {}
        self.followers = 0
        self.over = False
        self.task: asyncio.Task[None] | None = None
        self._seen = 0  # the version of the registry
        self._counts = counts(())
        self._ask = notice
        self._notice = notice()
        self._frames: deque[tuple[int, bytes]] = deque(maxlen=FRAMES)
        self._gone: deque[tuple[int, str]] = deque(maxlen=GONE)
        self._whole: tuple[int, bytes] | None = None
        self._moved = asyncio.Event()
        self.advance(whole=True)

    def sees(self, user: str | None) -> bool:
        return self.user is None or self.user == user

    def advance(self, whole: bool) -> None:
        """Makes a frame of what differs, if anything does. `whole`: of every active row, not only of those reported about."""
        registry, frame = self.registry, self.frame + 1
        now, version = registry.clock(), registry.feed.version
        changed = {e.process.id: e for e in registry.feed.newer_than(self._seen) if self.sees(e.process.spec.user)}
        if whole:
            known = (registry.entries.get(process_id) for process_id in self.rows)
            changed |= {entry.process.id: entry for entry in known if entry is not None and entry.process.status.active}
        rows = [difference for entry in changed.values() if (difference := self._difference(entry, now, frame))]
        gone = [i for i in self.rows if i not in registry.entries] if version != self._seen else []
        for process_id in gone:
            del self.rows[process_id]
            self._gone.append((frame, process_id))
        self._seen = version
        body: dict[str, Any] = {"now": round(now, 3), "rows": rows}
        if gone:
            body["gone"] = gone
        if (notice := self._ask()) != self._notice:
            body["notice"] = self._notice = notice
        if rows or gone or "notice" in body:
            if (figures := counts(kept.entry for kept in self.rows.values())) != self._counts:
                body["counts"] = self._counts = figures
            self._publish(frame, body)

    def since(self, frame: int | None) -> bytes:
        """The events that take a follower from `frame` to the present; everything for who comes anew (None)."""
        if frame == self.frame:
            return b""
        if frame is None or frame > self.frame or (self._gone.maxlen == len(self._gone) and frame < self._gone[0][0]):
            return self._everything()
        first = frame + 1
        if self._frames and self._frames[0][0] <= first:
            return b"".join(event for number, event in self._frames if number >= first)
        rows = [self._full(kept) for kept in self.rows.values() if kept.frame > frame]
        gone = [process_id for number, process_id in self._gone if number > frame and process_id not in self.rows]
        body = {"now": self.registry.clock(), "rows": rows, "gone": gone, "counts": self._counts, "notice": self._notice}
        return self._event(body, self.frame)

    async def follow(self, frame: int | None) -> AsyncIterator[bytes]:
        """Events until the exporter stops."""
        self.followers += 1
        try:
            events, frame = self.since(frame), self.frame
            yield events or b": here\n\n"
            while not self.over:
                try:
                    async with asyncio.timeout(KEEPALIVE):
                        while frame == self.frame and not self.over:
                            await self._moved.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                events, frame = self.since(frame), self.frame
                if events:
                    yield events
        finally:
            self.followers -= 1

    async def run(self) -> None:
        """Makes frames while somebody follows, and a little longer."""
        changed, loop = self.registry.feed.hub.subscribe(), asyncio.get_running_loop()
        ticked = alone = loop.time()
        try:
            while not self.registry.feed.hub.closed and loop.time() - alone < LINGER:
                try:
                    async with asyncio.timeout(max(0.0, ticked + TICK - loop.time())):
                        await changed.wait()
                        await asyncio.sleep(GATHER)
                except TimeoutError:
                    pass
                changed.clear()
                whole = loop.time() >= ticked + TICK
                if whole:
                    ticked = loop.time()
                if self.followers:
                    alone = loop.time()
                self.advance(whole)
        finally:
            self.over = True
            self.registry.feed.hub.unsubscribe(changed)
            self._wake()

    def _difference(self, entry: Entry, now: float, frame: int) -> Row | None:
        process_id, new = entry.process.id, row(self.registry.view(entry, now, self.user))
        kept = self.rows.get(process_id)
        if kept is None:
            self.rows[process_id] = kept = Kept(entry, new, frame)
            return self._full(kept)
        old = kept.row
        if new == old:
            kept.entry = entry
            return None
        self.rows[process_id] = Kept(entry, new, frame)
        return {"id": process_id} | {name: value for name, value in new.items() if value != old[name]}

    def _full(self, kept: Kept) -> Row:
        return kept.row | {"trend": trend(kept.entry.cpu) if kept.row["cpu"] else []}

    def _publish(self, frame: int, body: dict[str, Any]) -> None:
        self._frames.append((frame, self._event(body, frame)))
        self.frame = frame
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _everything(self) -> bytes:
        if self._whole is None or self._whole[0] != self.frame:
            rows = [self._full(kept) for kept in self.rows.values()]
            body = {"now": self.registry.clock(), "reset": True, "rows": rows, "counts": self._counts, "notice": self._notice}
            self._whole = (self.frame, self._event(body, self.frame))
        return self._whole[1]

    def _event(self, body: dict[str, Any], frame: int) -> bytes:
        return b"id: %s-%d\ndata: %s\n\n" % (self.name.encode(), frame, msgspec.json.encode(body))


class Live:
    """The channels of this run of the exporter, by user (None: everybody's processes)."""

    def __init__(self, registry: Registry, boot: str, notice: Callable[[], str | None] = lambda: None) -> None:
        self.registry = registry
        self.notice = notice
        self.boot = boot
        self._channels: dict[str | None, Channel] = {}
        self._numbers = count(1)

    def follow(self, user: str | None, last_event_id: str | None) -> AsyncIterator[bytes]:
        """The events of the channel of this user, resumed where it is the one that the id came from."""
        channel = self._channels.get(user)
        if channel is None or channel.over:
            channel = self._open(user)
        name, _, number = (last_event_id or "").rpartition("-")
        frame = int(number) if name == channel.name and number.isdecimal() and len(number) < 16 else None
        return channel.follow(frame)

    def _open(self, user: str | None) -> Channel:
        name = f"{self.boot}-{next(self._numbers)}"
        channel = Channel(name, self.registry, user, self.notice)
        channel.task = asyncio.create_task(channel.run(), name="live")
        self._channels[user] = channel
        return channel

    @property
    def followers(self) -> int:
        return sum(channel.followers for channel in self._channels.values())
