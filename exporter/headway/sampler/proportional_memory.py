"""The memory of OS processes with what they share divided among those who share it (PSS), asked for seldom."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from headway.sampler.host import Host, Row
from headway.sampler.tree import Key, Member, key_of

# How often a process is asked (s). The kernel walks through all its pages for the answer; what it shares seldom changes.
EVERY: Final = 30.0
# First answers of processes that were found together go stale at so many different moments.
_PARTS: Final = 16


class _Reading(NamedTuple):
    """What was said, until when it is believed, and how much was resident then."""

    until: float
    proportional: int | None
    resident: int


class ProportionalMemory:
    """What a process has grown by since it was asked counts as its own: nobody eats the memory unseen. `refused` is called for each
    reading that is not allowed."""

    def __init__(self, host: Host, refused: Callable[[], None]) -> None:
        self._host = host
        self._refused = refused
        self._known: dict[Key, _Reading] = {}
        self._seen: dict[Key, _Reading] = {}

    def begin(self) -> None:
        """A pass: whoever is not asked about in it is forgotten in the next."""
        self._known, self._seen = self._seen, {}

    def of(self, members: Iterable[Member], now: float) -> int | None:
        """Bytes of all these; None if it is not known of one."""
        total: int | None = 0
        for member in members:
            row = member.row
            if row.zombie:
                continue
            found = self._reading(row, now)
            if found.proportional is None or row.resident is None:
                total = None  # the others are asked all the same: each refusal counts
            elif total is not None:
                total += max(0, found.proportional + row.resident - found.resident)
        return total

    def _reading(self, row: Row, now: float) -> _Reading:
        key = key_of(row)
        found = self._seen.get(key) or self._known.get(key)
        if found is None or now >= found.until:
            wait = EVERY if found is not None else EVERY * (_PARTS + row.pid % _PARTS) / (2 * _PARTS)
            found = _Reading(now + wait, self._ask(row.pid), row.resident or 0)
        self._seen[key] = found
        return found

    def _ask(self, pid: int) -> int | None:
        try:
            return self._host.proportional(pid)
        except ProcessLookupError:
            return 0  # it has none any more
        except PermissionError:
            self._refused()
            return None
