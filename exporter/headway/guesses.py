"""How often somebody may guess: tries that failed, by the address they came from."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final

# So many wrong tries at once, and one more each so many seconds. A key cannot be guessed at any speed; a password may be.
BURST: Final = 10
PAUSE: Final = 6.0
MOST_ADDRESSES: Final = 10_000


class Guesses:
    """For each address when its wrong tries are forgotten (monotonic s): each adds PAUSE. Addresses beyond MOST_ADDRESSES are
    forgotten, the one that was quiet for longest first."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._forgotten_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> int:
        """How many seconds until this address may try again; 0: now."""
        ahead = self._forgotten_at.get(address, 0.0) - self._now()
        return max(0, ceil(ahead - (BURST - 1) * PAUSE))

    def failed(self, address: str) -> None:
        now = self._now()
        self._forgotten_at[address] = max(now, self._forgotten_at.pop(address, now)) + PAUSE
        while len(self._forgotten_at) > MOST_ADDRESSES:
            self._forgotten_at.popitem(last=False)
