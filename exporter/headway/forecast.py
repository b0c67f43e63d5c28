"""How long the rest of a job takes, from how long equal parts of it took so far. Pure: standard library only.

What is done is cut into at most PARTS equal parts. Several simple predictors look at the durations of these parts: the plain
mean, the recent pace, the pace since it last changed, the trend, and two that know an earlier run. None is best for every job,
so each is asked what it would have said at some moments of this very run; the errors it would have made decide its weight.
docs/estimates.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log, sqrt
from typing import Final, NamedTuple

PARTS: Final = 24  # at most; 16 see changes late, 32 are no better and cost a third more
LEAST_PARTS: Final = 3
MOMENTS: Final = (0.3, 0.55, 0.8)  # shares of the part done at which the predictors are asked again

# Weight of a predictor = trust / (its mean log error + SLACK) ** SHARPNESS. Between 2 and 5 the sharpness changes little.
SHARPNESS: Final = 3.0
SLACK: Final = 0.05  # errors under 5% are luck
WORST: Final = 2.0  # a log error counts at most so much (7-fold), so that one bad moment does not condemn a predictor
MEAN_TRUST: Final = 0.25  # the mean is last to be believed: it never learns that something has changed
USUAL_TRUST: Final = 10.0  # an earlier run is believed until this one has clearly departed from it
USUAL_RECENT_TRUST: Final = 3.0

RECENT: Final = 0.25  # the recent pace looks back over this share of the parts (e-folding)
CHANGED: Final = 2.0  # standard errors by which a longer window must differ before it counts as another pace
OUTLIER: Final = 4.0  # for the trend a part counts at most as so many medians
TREND_DOUBT: Final = 9.0  # a slope counts by 1 - 9 / t²: not at all below three standard errors
TREND_FLOOR: Final = 0.2  # the pace is not extrapolated below this share of its mean
LEVEL_VARIANCE: Final = 0.0625  # the pace of one run of a job against another: a quarter, as log standard deviation
FEW_VARIANCE: Final = 0.09  # of the pace of one update: 0.3, when there are too few updates to see it
NOISE_FLOOR: Final = 0.02
TINY: Final = 1e-9
LONGEST: Final = 50.0  # log seconds, beyond the age of the universe: a number that can still be multiplied


class Parts(NamedTuple):
    """What is known in one way of measuring work: the `ends` (s since the start, the first is 0) of equal parts,
    `ahead` how many such parts are to come, `updates` from how many updates this is known, and for work measured by an earlier
    run `usual`, the log of the seconds that such a part would take now if this run were like that one."""

    ends: Sequence[float]
    ahead: float
    updates: int
    usual: float | None = None


class Forecast(NamedTuple):
    """`seconds` for the rest; `low` and `high` times that are the bounds within which it is in eight of ten cases."""

    seconds: float
    low: float
    high: float


def forecast(ways: Sequence[Parts]) -> Forecast:
    """The weighted geometric mean of what all predictors say. `ways`: at least one; work by items, and by an earlier run."""
    said: list[float] = []
    weights: list[float] = []
    losses: list[float] = []
    usual = 0.0
    for way in ways:
        trusts, predictions, errors = _judged(way)
        said += predictions
        losses += errors
        earned = [trust / (error + SLACK) ** SHARPNESS for trust, error in zip(trusts, errors, strict=True)]
        weights += earned
        usual += sum(earned) if way.usual is not None else 0.0
    whole = sum(weights)
    mean = sum(w * s for w, s in zip(weights, said, strict=True)) / whole
    variance = sum(w * (s - mean) ** 2 for w, s in zip(weights, said, strict=True)) / whole
    loss = sum(w * e for w, e in zip(weights, losses, strict=True)) / whole
    low, high = _margins(usual / whole, loss + sqrt(variance), ways[0])
    return Forecast(exp(min(mean, LONGEST)), exp(-low), exp(high))


def _margins(usual: float, doubt: float, way: Parts) -> tuple[float, float]:
    """Log distances to the 10% and 90% bounds. `usual`: weight of the predictors that know an earlier run; `doubt`: by how much
    the mixture was wrong at earlier moments, and by how much the predictors disagree now.

    A run that nothing is known of can always still change, however smooth it was so far: half of the upper margin is constant.
    The figures are quantile regressions over 20 kinds of jobs (docs/estimates.md).
    """
    rest, few = way.ahead / (len(way.ends) - 1 + way.ahead), 0.15 / sqrt(max(1, way.updates))
    low = usual * 0.4 * doubt + (1 - usual) * (0.3 * doubt + 0.4 * rest)
    high = usual * (0.12 + 0.5 * doubt) + (1 - usual) * (0.5 + 0.1 * doubt + 0.2 * rest)
    return low + few, high + few


def _judged(way: Parts) -> tuple[Sequence[float], list[float], list[float]]:
    """Trust in each predictor, the log of what it says now, and its mean log error at the MOMENTS before."""
    predictors = _Plain(way) if way.usual is None else _Usual(way, way.usual)
    count, ends = len(way.ends) - 1, way.ends
    errors = [0.0] * len(predictors.trusts)
    for moment in MOMENTS:
        seen = max(1, min(count - 1, round(moment * count)))
        truth = log(max(TINY, ends[count] - ends[seen]))
        for k, said in enumerate(predictors.say(seen, count - seen)):
            errors[k] += min(WORST, abs(said - truth)) / len(MOMENTS)
    return predictors.trusts, predictors.say(count, way.ahead), errors


class _Paces:
    """Durations of the parts, their logs, and running sums of both."""

    def __init__(self, way: Parts) -> None:
        ends = way.ends
        self.durations = [max(TINY, b - a) for a, b in pairwise(ends)]
        self.logs = [log(d) for d in self.durations]
        self.log_sums = sums(self.logs)
        steps = [abs(b - a) for a, b in pairwise(self.logs)]
        # The median of |difference of two normal values| is 0.954 standard deviations.
        self.noise = max(NOISE_FLOOR, median(steps) / 0.954)

    def recent(self, seen: int) -> float:
        """Log pace, the older the less: the geometric mean, which a single long item does not carry away."""
        fade = exp(-1.0 / max(0.5, RECENT * seen))
        total = weight = 0.0
        for pace in self.logs[:seen]:
            total = total * fade + pace
            weight = weight * fade + 1.0
        return total / weight


class _Plain(_Paces):
    """The predictors that know this run only."""

    trusts = (MEAN_TRUST, 1.0, 1.0, 1.0)

    def __init__(self, way: Parts) -> None:
        super().__init__(way)
        cap = OUTLIER * median(self.durations)
        capped = [min(d, cap) for d in self.durations]
        self.ends = way.ends
        self.capped_sums = sums(capped)
        self.moments = sums([k * d for k, d in enumerate(capped)])
        self.squares = sums([d * d for d in capped])

    def say(self, seen: int, ahead: float) -> list[float]:
        mean = log(max(TINY, self.ends[seen] / seen * ahead))
        way = log(max(TINY, ahead))
        return [mean, self.recent(seen) + way, self.since_change(seen) + way, log(max(TINY, self.trend(seen, ahead)))]

    def since_change(self, seen: int) -> float:
        """Log pace over the longest window into the past that agrees with every shorter one (Lepski's rule)."""
        sums, low, high = self.log_sums, float("-inf"), float("inf")
        window, best = 1, self.logs[seen - 1]
        while True:
            mean = (sums[seen] - sums[seen - window]) / window
            margin = CHANGED * self.noise / sqrt(window)
            if mean - margin > high or mean + margin < low:
                return best
            low, high, best = max(low, mean - margin), min(high, mean + margin), mean
            if window >= seen:
                return best
            window = min(seen, max(window + 1, window * 3 // 2))

    def trend(self, seen: int, ahead: float) -> float:
        """Seconds ahead if the durations go on along a straight line, as far as there is one."""
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


class _Usual(_Paces):
    """The predictors that measure work by how long it took an earlier run."""

    trusts = (USUAL_TRUST, USUAL_RECENT_TRUST)

    def __init__(self, way: Parts, usual: float) -> None:
        super().__init__(way)
        self.usual = usual
        self.few = FEW_VARIANCE / max(1, way.updates) * len(self.logs)

    def say(self, seen: int, ahead: float) -> list[float]:
        way = log(max(TINY, ahead))
        return [self.level(seen) + way, self.recent(seen) + way]

    def level(self, seen: int) -> float:
        """Log pace: the usual one, moved towards this run's median, the less the more uncertain that is beside LEVEL_VARIANCE."""
        here = median(self.logs[:seen]) - self.usual
        size = max(1, seen // 4)
        marks = [*range(0, seen, size), seen]
        batches: list[float] = [(self.log_sums[b] - self.log_sums[a]) / (b - a) for a, b in pairwise(marks)]
        mean = sum(batches) / len(batches)
        variance = sum((b - mean) * (b - mean) for b in batches) / max(1, len(batches) - 1) / len(batches) + self.few / seen
        return self.usual + here / (1.0 + variance / LEVEL_VARIANCE)


def median(values: Sequence[float]) -> float:
    """The middle value; 0 of nothing. (statistics.median is four times slower.)"""
    if not values:
        return 0.0
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def sums(values: Sequence[float]) -> list[float]:
    """The running sums, beginning with 0: one more than there are values."""
    result, total = [0.0], 0.0
    for value in values:
        total += value
        result.append(total)
    return result
