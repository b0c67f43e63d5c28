"""Python's cyclic garbage collector, kept from looking at every process again and again.

A full collection visits all that is in memory: with 5,000 processes nothing else happens for 180 ms. What is kept of processes has
no cycles and goes by reference counts, so there is nothing to be found in it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Final

# So many objects more than before, and those are looked at: a millisecond. Python's 700 looks at the views of a large page, which
# are no garbage, a dozen times.
YOUNG: Final = 10_000
# Full collections see what came since the last time (s).
SET_ASIDE_EVERY: Final = 1.0
# What became a cycle of garbage after it was set aside is found then (s).
WHOLE_EVERY: Final = 3600.0


class Garbage:
    """Sets aside, now and then, what has outlived the time since; once in an hour everything is looked at."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._whole_at = clock()

    async def tend(self) -> None:
        now = self.clock()
        if now - self._whole_at >= WHOLE_EVERY:
            self._whole_at = now
            gc.unfreeze()
            gc.collect()
        gc.freeze()
