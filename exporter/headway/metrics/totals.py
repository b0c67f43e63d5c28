"""Totals by name within a fixed number of series: what comes after the first so many names is added up as "other"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeVar

from headway.metrics.lines import clean
from headway.model import Kind
from headway.names import NameStats

OTHER: Final = "other"
NameKey = tuple[str, Kind]
X = TypeVar("X")


class NameTotals:
    """Decides under which name totals are shown. `limit` counts pairs of name and kind, "other" not among them.

    A name keeps its place for ever: a counter that moved between its own series and "other" would seem to fall. `dropped` counts
    the pairs that found no place. Two names that differ only in what UTF-8 cannot carry would be one series; the second is "other".
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._owners: dict[NameKey, str] = {}
        self._folded: dict[NameKey, NameStats] = {}
        self._other: dict[Kind, NameStats] = {}
        self.dropped = 0

    def put(self, stats: NameStats) -> tuple[NameKey, NameStats]:
        """The key and the totals to show now that these are the totals of their name."""
        shown, own = (clean(stats.name), stats.kind), (stats.name, stats.kind)
        if stats.name != OTHER:
            if shown not in self._owners and own not in self._folded and len(self._owners) < self._limit:
                self._owners[shown] = stats.name
            if self._owners.get(shown) == stats.name:
                return shown, stats
            if own not in self._folded:
                self.dropped += 1
        total = self._other.get(stats.kind, NameStats(name=OTHER, kind=stats.kind))
        total = exchanged(total, self._folded.get(own), stats)
        self._folded[own] = stats
        self._other[stats.kind] = total
        return (OTHER, stats.kind), total


def exchanged(total: NameStats, before: NameStats | None, now: NameStats) -> NameStats:
    """A sum of totals in which `now` takes the place of `before`."""
    if before is None:
        before = NameStats(name=now.name, kind=now.kind)
    good = [at for at in (total.last_success_at, now.last_success_at) if at is not None]
    return replace(
        total,
        finished=_moved(total.finished, before.finished, now.finished),
        duration_counts=tuple(
            a - b + c for a, b, c in zip(total.duration_counts, before.duration_counts, now.duration_counts, strict=True)
        ),
        cost_dollars=total.cost_dollars + (now.cost_dollars - before.cost_dollars),
        used=total.used + now.used.above(before.used),
        duration_sum=total.duration_sum + (now.duration_sum - before.duration_sum),
        last_success_at=max(good, default=None),
        last_status=now.last_status or total.last_status,
        gate_trips=_moved(total.gate_trips, before.gate_trips, now.gate_trips),
    )


def _moved(total: Mapping[X, int], before: Mapping[X, int], now: Mapping[X, int]) -> dict[X, int]:
    keys = dict.fromkeys((*total, *before, *now))
    return {key: total.get(key, 0) - before.get(key, 0) + now.get(key, 0) for key in keys}
