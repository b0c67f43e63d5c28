"""The few statistics that are needed, each by its textbook formula (docs/analysis.md names them). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, log, sqrt
from statistics import median
from typing import Final

Z95: Final = 1.959964  # the normal distribution has 95% within so many standard deviations
Z80: Final = 1.281552  # and 80% within so many: 10% lie beyond at either end
LEAST_FOR_TREND: Final = 8  # below it the normal approximation of Mann and Kendall's test does not hold
MOST_FOR_TREND: Final = 50  # the newest so many: every pair of them is compared
SIGNIFICANT: Final = 0.05
NOTABLE: Final = 0.1  # a change by less than a tenth is nobody's concern, however certain


def wilson(hits: int, tries: int, z: float = Z95) -> tuple[float, float]:
    """Within what the true share lies with 95% confidence, if `hits` of `tries` were seen (Wilson 1927). (0, 1) of nothing."""
    if tries <= 0:
        return 0.0, 1.0
    share, square = hits / tries, z * z
    middle = (share + square / (2 * tries)) / (1 + square / tries)
    half = z * sqrt(share * (1 - share) / tries + square / (4 * tries * tries)) / (1 + square / tries)
    return (0.0 if hits == 0 else max(0.0, middle - half)), (1.0 if hits == tries else min(1.0, middle + half))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in ascending order, interpolated between neighbours (type 7 of Hyndman and Fan 1996). Raises ValueError of none."""
    if not ordered:
        raise ValueError("there is no quantile of nothing")
    place = share * (len(ordered) - 1)
    below = int(place)
    if below + 1 >= len(ordered):
        return ordered[-1]
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """`direction`: rising, falling or steady. `change`: by which share of the median the values grew from the first to the last of
    `runs`; `p`: how probable so much order is by chance."""

    direction: str
    change: float
    per_run: float
    p: float
    runs: int


def trend(values: Sequence[float]) -> Trend | None:
    """Along the order of the values: the median slope of all pairs (Theil 1950, Sen 1968), believed if the test of Mann (1945) and
    Kendall finds it improbable by chance. None of fewer than 8 values."""
    values = values[-MOST_FOR_TREND:]
    n, middle = len(values), median(values) if values else 0.0
    if n < LEAST_FOR_TREND or middle <= 0:
        return None
    slopes, order = [], 0
    for j in range(1, n):
        for i in range(j):
            difference = values[j] - values[i]
            slopes.append(difference / (j - i))
            order += (difference > 0) - (difference < 0)
    slope = median(slopes)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    z = 0.0 if variance <= 0 else max(0, abs(order) - 1) / sqrt(variance)
    p, change = erfc(z / sqrt(2)), slope * (n - 1) / middle
    believed = p < SIGNIFICANT and abs(change) >= NOTABLE
    direction = "steady" if not believed else "rising" if change > 0 else "falling"
    return Trend(direction=direction, change=change, per_run=slope, p=p, runs=n)


def beyond(limit: float, middle: float, low: float, high: float) -> float:
    """How probable it is that a time is longer than `limit`, if half of such times are longer than `middle`, a tenth shorter than
    `low` and a tenth longer than `high`: a lognormal distribution whose halves have deviations of their own."""
    if limit <= 0:
        return 1.0
    if middle <= 0:
        return 0.0
    bound = high / middle if limit >= middle else middle / low if low > 0 else float("inf")
    if bound == float("inf"):
        return 0.5
    deviation = log(bound) / Z80 if bound > 1 else 0.0
    away = log(limit / middle)
    if deviation <= 0:
        return 0.5 if away == 0 else float(away < 0)
    return 0.5 * erfc(away / deviation / sqrt(2))


def rounded_up(value: float) -> float:
    """The next number above with two figures: what a person would write."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (int(log(value) / log(10) + (0 if value >= 1 else -1)) - 1)
    return -(-value // step) * step


def growth(points: Sequence[tuple[float, float]]) -> float | None:
    """The slope of a line through the points by least squares; None of fewer than three, or of no width."""
    n = len(points)
    if n < 3:
        return None
    mean_t, mean_v = sum(t for t, _ in points) / n, sum(v for _, v in points) / n
    width = sum((t - mean_t) ** 2 for t, _ in points)
    return None if width <= 0 else sum((t - mean_t) * (v - mean_v) for t, v in points) / width


def smoothed(hits: float, tries: float) -> float:
    """A share seen in few tries, drawn towards a half (Jeffreys' prior): never 0 or 1."""
    return (hits + 0.5) / (tries + 1)
