"""The shape of a job: when each part of its work was done in earlier runs of the same name. Pure: standard library only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from headway.forecast import LONGEST, median

SHARES: Final = 64  # a shape keeps the time of this many equally large parts of the work
OUTLIER: Final = 6.0  # a part of the only earlier run that took so many times as long as its neighbours counts as an accident
NEIGHBOURS: Final = 4


class Shape(NamedTuple):
    """What earlier runs have in common: for `items` items, the seconds (`ends`, from 0) after which each of SHARES + 1 marks from 0
    to 1 was reached."""

    items: float
    ends: Sequence[float]

    def at(self, share: float) -> float:
        """Seconds from the start until `share` (0–1) of the work is done."""
        ends = self.ends
        if share <= 0 or not share < 1:
            return ends[0 if share <= 0 else -1]
        place = share * SHARES
        k = int(place)
        before = ends[k]
        return before + (ends[k + 1] - before) * (place - k)

    def left(self, done: float, total: float) -> float:
        """Seconds for the rest of `total` items at the pace of then."""
        return (self.ends[-1] - self.at(done / total)) * (total / self.items)

    def shares(self, times: Iterable[float]) -> list[float]:
        """What share of the work was done at each of these times (s from the start, ascending, within the run)."""
        ends, k, found = self.ends, 1, []
        for at in times:
            k = bisect_left(ends, at, k, SHARES)
            found.append((k - (ends[k] - at) / (ends[k] - ends[k - 1])) / SHARES)
        return found


@lru_cache(maxsize=128)
def usual_of(shapes: tuple[tuple[float, ...], ...]) -> Shape | None:
    """Several runs: each part takes the median of its shares of the time. One run: as it was, without its accidents. What runs at
    the same time under one name has the same past, so that the last answers are kept."""
    good = [shape for shape in shapes if len(shape) == SHARES + 1 and shape[0] > 0 and shape[-1] > 0]
    if not good:
        return None
    items = good[-1][0]
    whole = median([shape[-1] / shape[0] for shape in good]) * items
    parts = [[(b - a) / shape[-1] if b > a else 0.0 for a, b in zip((0.0, *shape[1:-1]), shape[1:], strict=True)] for shape in good]
    usual = [median(shares) for shares in zip(*parts, strict=True)] if len(parts) > 1 else _without_accidents(parts[0])
    ends = [0.0]
    for share in usual:
        ends.append(ends[-1] + share * whole)
    return Shape(items, ends) if 0 < ends[-1] < LONGEST else None


def _without_accidents(parts: Sequence[float]) -> list[float]:
    """Parts cut to OUTLIER times the median around them; the first and the last stay, which often are steps of another kind."""
    result = list(parts)
    for k in range(1, len(parts) - 1):
        near = parts[max(0, k - NEIGHBOURS) : k + NEIGHBOURS + 1]
        # Sorting them is most of the work, and no median is below all.
        if parts[k] > OUTLIER * min(near) and (around := median(near)) > 0:
            result[k] = min(parts[k], OUTLIER * around)
    return result
