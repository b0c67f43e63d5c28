"""How long the rest of a job takes, from how long equal parts of it took so far. Pure: standard library only.

Two predictors look at the durations of these parts: one goes on at the pace since it last changed, the other along the trend. If
the job ran before, a third knows how long each part took then. None is best for every job, so each is asked what it would have said
at two earlier moments of this very run; the errors it would have made decide its weight. docs/estimates.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, count, pairwise
from math import exp, inf, log, sqrt
from operator import mul, sub
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

# The range: distances of its bounds in logs, 10% and 90% quantiles of log(true / said), each a straight line over what is known at
# run time. Fitted by quantile regression (Koenker and Bassett 1978) on made-up and real runs, then rounded (bench/eta_range.py);
# HIGH_REST by hand.
# Of one who sees this run only: the more is ahead, the more can become faster;
LOW_AHEAD: Final = 0.38  # for each log of the whole against what is done,
LOW_SPREAD: Final = 0.44  # for each log by which equal parts differed;
HIGH: Final = 0.4  # and any run can become slower, however smooth it was,
HIGH_REST: Final = 0.3  # the more so if all is still ahead,
HIGH_ERROR: Final = 0.62  # for each log by which it would have been wrong before,
HIGH_FEW: Final = 1.3  # divided by the root of the number of updates.
# Of one who believes an earlier run: what this run's parts differ by, measured by that run, is how far it is from its shape.
KNOWN_LOW: Final = 0.1
KNOWN_LOW_SPREAD: Final = 0.3
KNOWN_LOW_FEW: Final = 0.2
KNOWN_HIGH: Final = 0.12
KNOWN_HIGH_SPREAD: Final = 0.62
KNOWN_HIGH_FEW: Final = 0.3
DEPARTED: Final = 1.0  # added to LOW_AHEAD where there is an earlier run, as far as it is not believed
WIDEST: Final = 3.0  # log distance of a bound: twenty times as long or as short

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
    ways, past = _Durations(work.ends), _past(work.ends)
    opinions = [_judged(work, past, ways.since_change), _judged(work, past, ways.trend)]
    apart = 0.0
    if usual is not None:
        level = _Level(usual.ends, log(_bounded(usual_pace)), updates)
        opinions.append(_judged(usual, _past(usual.ends), level.say, USUAL_TRUST))
        apart = _spread(level.logs)
    whole = sum([weight for _, _, weight in opinions])
    mean = sum([said * weight for said, _, weight in opinions]) / whole
    error = sum([error * weight for _, error, weight in opinions]) / whole
    known = None if usual is None else opinions[-1].weight / whole
    low, high = _margins(work, error, _spread(ways.logs), known, apart, 1 / sqrt(max(1, updates)))
    return Forecast(min(LONGEST, exp(mean)), exp(-low), exp(high))


def _margins(work: Parts, error: float, spread: float, known: float | None, apart: float, few: float) -> tuple[float, float]:
    """Log distances to the 10% and 90% bounds.

    `error`: by how much the mixture would have been wrong at earlier moments; `spread` of the logs of equal parts of the work, and
    `apart`, that of parts which took an earlier run equally long; `known`: the weight of who believes that run, None without one.
    """
    done, ahead = len(work.ends) - 1, _bounded(work.ahead)
    k = known or 0.0
    per_ahead = LOW_AHEAD if known is None else LOW_AHEAD + DEPARTED
    low = (1 - k) * (per_ahead * log(1 + ahead / done) + LOW_SPREAD * spread)
    low += k * (KNOWN_LOW + KNOWN_LOW_SPREAD * apart + KNOWN_LOW_FEW * few)
    high = (1 - k) * (HIGH + HIGH_REST * ahead / (done + ahead) + HIGH_ERROR * error + HIGH_FEW * few)
    high += k * (KNOWN_HIGH + KNOWN_HIGH_SPREAD * apart + KNOWN_HIGH_FEW * few)
    return min(WIDEST, low), min(WIDEST, high)


def _past(ends: Sequence[float]) -> list[tuple[int, float]]:
    """The MOMENTS: how many parts were seen, and what the rest of them took then (log s)."""
    last = ends[-1]
    return [(seen, log(_bounded(last - ends[seen]))) for seen in _looks(len(ends) - 1)]


@cache
def _looks(parts: int) -> tuple[int, ...]:
    return tuple(max(1, min(parts - 1, round(moment * parts))) for moment in MOMENTS)


def _judged(way: Parts, past: Sequence[tuple[int, float]], say: Say, trust: float = 1.0) -> _Opinion:
    count, error = len(way.ends) - 1, 0.0
    for seen, rest in past:
        off = abs(say(seen, count - seen) - rest)
        error += off if off < WORST else WORST
    error /= len(past)
    return _Opinion(say(count, _bounded(way.ahead)), error, trust / (error + SLACK) ** SHARPNESS)


class _Durations:
    """The predictors that know this run only."""

    def __init__(self, ends: Sequence[float]) -> None:
        durations = _lengths(ends)
        self.logs = list(map(log, durations))
        # The median of |difference of two normal values| is 0.954 standard deviations.
        self.noise = max(NOISE_FLOOR, median(list(map(abs, map(sub, self.logs[1:], self.logs)))) / 0.954)
        cap = OUTLIER * median(durations)
        capped = durations if max(durations) <= cap else [d if d < cap else cap for d in durations]
        # Running sums, which begin with 0.
        self.capped_sums: list[float] = [0.0, *accumulate(capped)]
        self.moments: list[float] = [0.0, *accumulate(map(mul, count(), capped))]
        self.squares: list[float] = [0.0, *accumulate(map(mul, capped, capped))]

    def since_change(self, seen: int, ahead: float) -> float:
        """At the median pace of the longest window into the past that agrees with every shorter one (Lepski's rule)."""
        logs, noise = self.logs, CHANGED * self.noise
        low, high, pace = -inf, inf, 0.0
        window = LEAST_WINDOW if seen > LEAST_WINDOW else seen
        while True:
            ordered, half = sorted(logs[seen - window : seen]), window // 2
            middle = ordered[half] if window % 2 else (ordered[half - 1] + ordered[half]) / 2
            margin = noise / sqrt(window)
            if middle - margin > high or middle + margin < low:
                break
            pace = middle
            if window == seen:
                break
            if middle - margin > low:
                low = middle - margin
            if middle + margin < high:
                high = middle + margin
            window = window * 2 if window * 2 < seen else seen
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
        self.logs = list(map(log, _lengths(ends)))
        self.log_sums = [0.0, *accumulate(self.logs)]
        self.few = FEW_VARIANCE / max(1, updates) * len(self.logs)

    def say(self, seen: int, ahead: float) -> float:
        """At the usual pace moved towards this run's median, the less the more uncertain that is beside LEVEL_VARIANCE."""
        ordered, half, sums = sorted(self.logs[:seen]), seen // 2, self.log_sums
        here = (ordered[half] if seen % 2 else (ordered[half - 1] + ordered[half]) / 2) - self.usual
        means = [(sums[end] - sums[start]) / (end - start) for start, end in _batches(seen)]
        count = len(means)
        mean = sum(means) / count
        off = [m - mean for m in means]
        variance: float = sum(map(mul, off, off)) / max(1, count - 1) / count + self.few / seen
        return self.usual + here / (1.0 + variance / LEVEL_VARIANCE) + log(ahead)


@cache
def _batches(seen: int) -> tuple[tuple[int, int], ...]:
    """The first so many parts in four or five, as (first, behind the last)."""
    return tuple(pairwise([*range(0, seen, max(1, seen // 4)), seen]))


def _lengths(ends: Sequence[float]) -> list[float]:
    """Of the parts that end there; none is too small for a logarithm."""
    durations: list[float] = list(map(sub, ends[1:], ends))
    if min(durations) < TINY or max(durations) > LONGEST:
        return [_bounded(duration) for duration in durations]
    return durations


def _spread(logs: Sequence[float]) -> float:
    """Their standard deviation, at most WORST."""
    mean = sum(logs) / len(logs)
    off = [x - mean for x in logs]
    return min(WORST, sqrt(sum(map(mul, off, off)) / len(logs)))


def _bounded(number: float) -> float:
    return TINY if number < TINY else LONGEST if number > LONGEST else number


def median(values: Sequence[float]) -> float:
    """The middle value; 0 of nothing. (statistics.median is four times slower.)"""
    if not values:
        return 0.0
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
