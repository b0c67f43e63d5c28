"""Long work on the event loop, done in turns with everything else, and who goes first where there is more of it than one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
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
# How often who gives way looks whether it is clear, and how long it waits at most in all, for one piece of work: whoever asks for
# pages without end must not end everything else (s).
LOOK: Final = 0.002
PATIENCE: Final = 0.25


class Way:
    """Who goes first: work that somebody waits for, such as a page, before work that happens by itself. Both at a time would take
    as long together, but the first would be done twice as late.

    `first` belongs to the event loop; what `giving` returns to another thread.
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

    def giving(self) -> Callable[[], None]:
        """For one piece of work: to be called between its parts, waits until it is clear, but not for longer than PATIENCE in all.
        Costs next to nothing where it is clear."""
        left = PATIENCE

        def give() -> None:
            nonlocal left
            if left > 0 and not self._clear.is_set():
                before = perf_counter()
                self._clear.wait(left)
                left -= perf_counter() - before

        return give


async def in_turns(steps: Generator[None, None, T], way: Way | None = None) -> T:
    """Does the work; what its generator returns. In a thread it would be done sooner where there is nothing else to do, but each
    request would then have to get the interpreter back three or four times. Broken off, the generator is closed. With a `way`,
    others go first."""
    looks = 0 if way is None else round(PATIENCE / LOOK)
    try:
        while True:
            while looks and way is not None and not way.clear:
                looks -= 1
                await asyncio.sleep(LOOK)
            until = perf_counter() + TURN
            while True:
                next(steps)
                if (paused := perf_counter()) >= until:
                    await asyncio.sleep(0)
                    if looks and way is not None and not way.clear:
                        break
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
