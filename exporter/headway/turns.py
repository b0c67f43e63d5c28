"""Long work on the event loop, done in turns with everything else, and who goes first where there is more of it than one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final, TypeVar

T = TypeVar("T")

# Seconds of work before others have their turn; a step that takes longer is not cut.
TURN: Final = 0.001
# Where others take long, because there are many of them, the work goes on for this share of what they took, up to so many seconds:
# a page has to be made although requests never end.
SHARE: Final = 0.5
LONGEST: Final = 0.01
# How often who gives way looks whether it is clear, and how long it waits at most before its next turn: whoever asks for pages
# without end must not end everything else (s).
LOOK: Final = 0.002
PATIENCE: Final = 0.1


class Way:
    """Who goes first: work that somebody waits for, such as a page, before work that happens by itself. Both at a time would take
    as long together, but the first would be done twice as late.

    `first` belongs to the event loop; `give` may be called from any other thread.
    """

    def __init__(self) -> None:
        self._first = 0
        self._clear = threading.Event()
        self._clear.set()

    @property
    def clear(self) -> bool:
        return self._clear.is_set()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Others give way meanwhile."""
        self._first += 1
        self._clear.clear()
        try:
            yield
        finally:
            self._first -= 1
            if not self._first:
                self._clear.set()

    def give(self) -> None:
        """Waits until it is clear, or for PATIENCE. Costs next to nothing where it is."""
        if not self._clear.is_set():
            self._clear.wait(PATIENCE)


async def in_turns(steps: Generator[None, None, T], way: Way | None = None) -> T:
    """Does the work; what its generator returns. In a thread it would be done sooner where there is nothing else to do, but each
    request would then have to get the interpreter back three or four times. Broken off, the generator is closed. With a `way`,
    others go first."""
    try:
        if way is not None:
            await _give(way)
        until = perf_counter() + TURN
        while True:
            next(steps)
            if (paused := perf_counter()) >= until:
                await asyncio.sleep(0)
                now = perf_counter()
                until = now + max(TURN, min(LONGEST, SHARE * (now - paused)))
                if way is not None and not way.clear:
                    await _give(way)
                    until = perf_counter() + TURN
    except StopIteration as end:
        done: T = end.value
        return done
    finally:
        steps.close()


async def _give(way: Way) -> None:
    for _ in range(round(PATIENCE / LOOK)):
        if way.clear:
            break
        await asyncio.sleep(LOOK)


def at_once(steps: Generator[None, None, T]) -> T:
    """The same without turns, for who has nothing else to do."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        done: T = end.value
        return done
