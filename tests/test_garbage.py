"""Full collections of garbage do not visit what is kept; cycles that die later are found all the same."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from headway.garbage import WHOLE_EVERY, Garbage


class Node:
    def __init__(self) -> None:
        self.other: Node | None = None


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


def cycle() -> tuple[Node, weakref.ref[Node]]:
    one, two = Node(), Node()
    one.other, two.other = two, one
    return one, weakref.ref(one)


def test_what_is_kept_is_set_aside_and_cycles_of_it_are_found_once_in_an_hour() -> None:
    now = [1000.0]
    garbage = Garbage(lambda: now[0])
    kept, seen = cycle()
    asyncio.run(garbage.tend())
    assert gc.get_freeze_count() > 0 and not any(one is kept for one in gc.get_objects())
    del kept
    gc.collect()
    assert seen() is not None, "set aside: nobody looked there"
    now[0] += WHOLE_EVERY - 1
    asyncio.run(garbage.tend())
    assert seen() is not None
    now[0] += 1
    asyncio.run(garbage.tend())
    assert seen() is None


def test_young_cycles_are_found_as_ever() -> None:
    garbage = Garbage()
    asyncio.run(garbage.tend())
    young, seen = cycle()
    del young
    gc.collect()
    assert seen() is None
