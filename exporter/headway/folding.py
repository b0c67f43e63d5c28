"""Repeats as one: the first of those that are alike, and how many there are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def folded(items: Iterable[tuple[T, Hashable | None]]) -> list[tuple[T, int]]:
    """Of (item, what it is like) the items in their order, and for how many each stands: the first of equal ones stands for all,
    one that is like None for itself alone."""
    found: list[tuple[T, int]] = []
    first: dict[Hashable, int] = {}
    for item, like in items:
        at = len(found) if like is None else first.setdefault(like, len(found))
        if at < len(found):
            found[at] = (found[at][0], found[at][1] + 1)
        else:
            found.append((item, 1))
    return found
