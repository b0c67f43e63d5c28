"""How long the rest of a job takes, from how long equal parts of it took so far. Pure: standard library only.

Two predictors look at the durations of these parts: one goes on at the pace since it last changed, the other along the trend. If
the job ran before, a third knows how long each part took then. None is best for every job, so each is asked what it would have said
at two earlier moments of this very run; the errors it would have made decide its weight. docs/estimates.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import exp, log, sqrt
from typing import Final, NamedTuple, TypeAlias

PARTS: Final = 24  # at most; fewer see a change of pace later
USUAL_PARTS: Final = 12  # at most, where work is measured by an earlier run
LEAST_PARTS: Final = 3
MOMENTS: Final = (0.7, 0.9)  # shares of the part done at which the predictors are asked again

# Weight of a predictor = trust / (its mean log error + SLACK) ** SHARPNESS.
SHARPNESS: Final = 3.0
SLACK: Final = 0.05  # errors under 5% are luck
WORST: Final = 2.0  # a log error counts at most so much (7-fold), so that one bad moment does not condemn a predictor
USUAL_TRUST: Final = 100.0  # an earlier run is believed until this one has clearly departed from it: errors 4.6 times as large

LEAST_WINDOW: Final = 3  # parts, so that a single stall is no new pace
CHANGED: Final = 2.0  # standard errors by which a longer window must differ before it counts as another pace
OUTLIER: Final = 4.0  # for the trend a part counts at most as so many medians
TREND_DOUBT: Final = 9.0  # a slope counts by 1 - 9 / t²: not at all below three standard errors
TREND_FLOOR: Final = 0.2  # the pace is not extrapolated below this share of its mean
LEVEL_VARIANCE: Final = 0.0625  # the pace of one run of a job against another: a quarter, as log standard deviation
FEW_VARIANCE: Final = 0.09  # of the pace of one update: 0.3, when there are too few updates to see it
NOISE_FLOOR: Final = 0.02
TINY: Final = 1e-9  # s, or parts: what has a logarithm
LONGEST: Final = 1e15  # s, thirty million years: a number that can still be added to a time


class Parts(NamedTuple):
    """The work in equal parts: the `ends` (s since the start, the first is 0) of those done, at least LEAST_PARTS, and how many
    are `ahead`."""

    ends: Sequence[float]
    ahead: float


class Forecast(NamedTuple):
    """`seconds` for the rest; `low` and `high` times that are the bounds within which it is in eight of ten cases."""

    seconds: float
    low: float
    high: float


class _Opinion(NamedTuple):
    """What a predictor says now (log s), the mean log error of what it would have said before, and what weight that earns."""

    said: float
    error: float
    weight: float


Say: TypeAlias = Callable[[int, float], float]  # (parts seen, parts ahead) → log seconds


def forecast(work: Parts, updates: int, usual: Parts | None = None, usual_pace: float = 1.0) -> Forecast:
    """The weighted geometric mean of what the predictors say. `updates`: from how many of them the `ends` are known.

    `usual`: the same work in parts that took an earlier run equally long, `usual_pace` seconds each if this run were like it.
    """
    ways = _Durations(work.ends)
    opinions = [_judged(work, ways.since_change), _judged(work, ways.trend)]
    if usual is not None:
        level = _Level(usual.ends, log(_bounded(usual_pace)), updates)
        opinions.append(_judged(usual, level.say, USUAL_TRUST))
    whole = sum(weight for _, _, weight in opinions)
    mean = sum(said * weight for said, _, weight in opinions) / whole
    variance = sum((said - mean) ** 2 * weight for said, _, weight in opinions) / whole
    error = sum(error * weight for _, error, weight in opinions) / whole
    known = 0.0 if usual is None else opinions[-1].weight / whole
    low, high = _margins(known, error + sqrt(variance), work, updates)
    return Forecast(min(LONGEST, exp(mean)), exp(-low), exp(high))


def _margins(known: float, doubt: float, work: Parts, updates: int) -> tuple[float, float]:
    """Log distances to the 10% and 90% bounds. `known`: weight of the predictor that knows an earlier run; `doubt`: by how much
    the mixture was wrong at earlier moments, and by how much the predictors disagree now.

    A run of which nothing is known can always still change, however smooth it was so far: half of its upper margin is constant.
    The figures were set by hand until about eight of ten ends of the made-up runs of bench/eta.py were within.
    """
    ahead = _bounded(work.ahead)
    rest, few = ahead / (len(work.ends) - 1 + ahead), 0.15 / sqrt(max(1, updates))
    low = known * 0.45 * doubt + (1 - known) * (0.3 * doubt + 0.4 * rest)
    high = known * (0.12 + 0.5 * doubt) + (1 - known) * (0.5 + 0.1 * doubt + 0.2 * rest)
    return low + few, high + few


def _judged(way: Parts, say: Say, trust: float = 1.0) -> _Opinion:
    ends, count = way.ends, len(way.ends) - 1
    error = 0.0
    for moment in MOMENTS:
        seen = max(1, min(count - 1, round(moment * count)))
        truth = log(_bounded(ends[count] - ends[seen]))
        error += min(WORST, abs(say(seen, count - seen) - truth)) / len(MOMENTS)
    return _Opinion(say(count, _bounded(way.ahead)), error, trust / (error + SLACK) ** SHARPNESS)


class _Durations:
    """The predictors that know this run only."""

    def __init__(self, ends: Sequence[float]) -> None:
        durations = [_bounded(b - a) for a, b in pairwise(ends)]
        self.logs = [log(d) for d in durations]
        # The median of |difference of two normal values| is 0.954 standard deviations.
        self.noise = max(NOISE_FLOOR, median([abs(b - a) for a, b in pairwise(self.logs)]) / 0.954)
        cap = OUTLIER * median(durations)
        capped = [min(d, cap) for d in durations]
        # Running sums, which begin with 0.
        self.capped_sums = [0.0, *accumulate(capped)]
        self.moments = [0.0, *accumulate([k * d for k, d in enumerate(capped)])]
        self.squares = [0.0, *accumulate([d * d for d in capped])]

    def since_change(self, seen: int, ahead: float) -> float:
        """At the median pace of the longest window into the past that agrees with every shorter one (Lepski's rule)."""
        low, high = float("-inf"), float("inf")
        window = min(seen, LEAST_WINDOW)
        pace = 0.0
        while True:
            middle = median(self.logs[seen - window : seen])
            margin = CHANGED * self.noise / sqrt(window)
            if middle - margin > high or middle + margin < low:
                break
            low, high, pace = max(low, middle - margin), min(high, middle + margin), middle
            if window == seen:
                break
            window = min(seen, window * 2)
        return pace + log(ahead)

    def trend(self, seen: int, ahead: float) -> float:
        """The durations go on along a straight line, as far as there is one."""
        return log(_bounded(self._along_the_line(seen, ahead)))

    def _along_the_line(self, seen: int, ahead: float) -> float:
        mean = self.capped_sums[seen] / seen
        if seen < 4:
            return mean * ahead
        middle = (seen - 1) / 2
        across = seen * (seen * seen - 1) / 12
        slope = (self.moments[seen] - middle * self.capped_sums[seen]) / across
        rest = max(0.0, self.squares[seen] - seen * mean * mean - slope * slope * across)
        slope *= max(0.0, 1.0 - TREND_DOUBT * rest / (seen - 2) / (across * slope * slope + TINY * TINY))
        floor, first = TREND_FLOOR * mean, mean + slope * (middle + 0.5)
        last = first + slope * ahead
        if last >= floor:
            return ahead * (first + last) / 2
        if first <= floor:
            return ahead * floor
        down = (first - floor) / -slope
        return down * (first + floor) / 2 + (ahead - down) * floor


class _Level:
    """The predictor that measures work by how long it took an earlier run, and looks how much slower or faster this one is."""

    def __init__(self, ends: Sequence[float], usual: float, updates: int) -> None:
        self.usual = usual
        self.logs = [log(_bounded(b - a)) for a, b in pairwise(ends)]
        self.log_sums = [0.0, *accumulate(self.logs)]
        self.few = FEW_VARIANCE / max(1, updates) * len(self.logs)

    def say(self, seen: int, ahead: float) -> float:
        """At the usual pace moved towards this run's median, the less the more uncertain that is beside LEVEL_VARIANCE."""
        here = median(self.logs[:seen]) - self.usual
        size = max(1, seen // 4)
        marks = [*range(0, seen, size), seen]
        batches: list[float] = [(self.log_sums[b] - self.log_sums[a]) / (b - a) for a, b in pairwise(marks)]
        mean = sum(batches) / len(batches)
        variance = sum((b - mean) * (b - mean) for b in batches) / max(1, len(batches) - 1) / len(batches) + self.few / seen
        return self.usual + here / (1.0 + variance / LEVEL_VARIANCE) + log(ahead)


def _bounded(number: float) -> float:
    return TINY if number < TINY else LONGEST if number > LONGEST else number


def median(values: Sequence[float]) -> float:
    """The middle value; 0 of nothing. (statistics.median is four times slower.)"""
    if not values:
        return 0.0
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
