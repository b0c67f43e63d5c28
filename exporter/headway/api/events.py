"""Changes of processes as server-sent events. What all followers are told alike is worked out once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from headway.registry.entry import Entry

# What was worked out for one follower holds for the next one for so long (s): all of them look within this time after a change.
SHARED: Final = 0.1
# A follower is sent about so much (bytes) at once: who takes it slowly holds no more, and what it has not been sent is not encoded.
PART: Final = 65_536


def event(kind: str, body: object, event_id: str) -> bytes:
    return wrapped(kind, msgspec.json.encode(body), event_id)


def wrapped(kind: str, data: bytes, event_id: str) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), event_id.encode(), data)


class Bodies:
    """Encoded answers by process and visibility (whose processes are seen; None: everybody's). Event-loop thread only."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str | None], tuple[int, bytes]] = {}
        self._since = 0.0

    def of(self, entry: Entry, user: str | None, now: float, make: Callable[[], dict[str, Any]]) -> bytes:
        """What `make` answers, encoded: as of now, or of a moment ago if nothing was reported since. `now`: unix s."""
        if not 0.0 <= now - self._since < SHARED:
            self._made, self._since = {}, now
        key = (entry.process.id, user)
        made = self._made.get(key)
        if made is None or made[0] != entry.version:
            self._made[key] = made = (entry.version, msgspec.json.encode(make()))
        return made[1]


def in_parts(events: Iterable[bytes], size: int = PART) -> Iterator[bytes]:
    """Joined to parts of about `size` bytes, each event whole."""
    part: list[bytes] = []
    length = 0
    for one in events:
        part.append(one)
        length += len(one)
        if length >= size:
            yield b"".join(part)
            part, length = [], 0
    if part:
        yield b"".join(part)
