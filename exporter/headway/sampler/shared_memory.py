"""How much of the resident memory of OS processes others account for: what its proportional share (PSS) leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from headway.sampler.host import Host
from headway.sampler.tree import Key, Member, key_of

# How often a process is asked (s). The kernel walks through all its pages for the answer; what it shares seldom changes.
EVERY: Final = 30.0
# First answers of processes that were found together go stale at so many different moments.
_PARTS: Final = 16


class SharedMemory:
    """The part that is shared is kept from one reading to the next. What a process has grown by meanwhile counts as its own: nobody
    eats the memory unseen. `refused` is called for each reading that is not allowed."""

    def __init__(self, host: Host, refused: Callable[[], None]) -> None:
        self._host = host
        self._refused = refused
        self._known: dict[Key, tuple[float, int | None]] = {}  # when to ask again, and what was said
        self._seen: dict[Key, tuple[float, int | None]] = {}

    def begin(self) -> None:
        """A pass: whoever is not asked about in it is forgotten in the next."""
        self._known, self._seen = self._seen, {}

    def proportional(self, members: Iterable[Member], now: float) -> int | None:
        """Bytes of memory of all these, with what is shared divided among those who share it; None if it is not known of one."""
        total: int | None = 0
        for member in members:
            row = member.row
            if row.zombie:
                continue
            shared = self._shared(key_of(row), now)
            if shared is None or row.resident is None:
                total = None  # the others are asked all the same: each refusal counts
            elif total is not None:
                total += max(0, row.resident - shared)
        return total

    def _shared(self, key: Key, now: float) -> int | None:
        known = self._known.get(key) or self._seen.get(key)
        if known is None or now >= known[0]:
            wait = EVERY if known is not None else EVERY * (_PARTS + key[0] % _PARTS) / (2 * _PARTS)
            known = (now + wait, self._ask(key[0], None if known is None else known[1]))
        self._seen[key] = known
        return known[1]

    def _ask(self, pid: int, before: int | None) -> int | None:
        try:
            return self._host.shared(pid)
        except ProcessLookupError:
            return before  # its last figures count for this pass
        except PermissionError:
            self._refused()
            return None
