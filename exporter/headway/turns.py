"""Long work on the event loop, done in turns with everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from time import perf_counter
from typing import Final, TypeVar

T = TypeVar("T")

# Seconds of work before others have their turn; a step that takes longer is not cut.
TURN: Final = 0.001
# Where others take long, because there are many of them, the work goes on for this share of what they took, up to so many seconds:
# a page has to be made although requests never end.
SHARE: Final = 0.5
LONGEST: Final = 0.01


async def in_turns(steps: Generator[None, None, T]) -> T:
    """Does the work; what its generator returns. In a thread it would be done sooner where there is nothing else to do, but each
    request would then have to get the interpreter back three or four times. Broken off, the generator is closed."""
    try:
        until = perf_counter() + TURN
        while True:
            next(steps)
            if (paused := perf_counter()) >= until:
                await asyncio.sleep(0)
                now = perf_counter()
                until = now + max(TURN, min(LONGEST, SHARE * (now - paused)))
    except StopIteration as end:
        done: T = end.value
        return done
    finally:
        steps.close()


def at_once(steps: Generator[None, None, T]) -> T:
    """The same without turns, for who has nothing else to do."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        done: T = end.value
        return done
