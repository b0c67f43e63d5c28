"""What must hold for rate, time left and range, whatever the history."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimated import SLOW_END, START, job, shape_of
from headway import estimate
from headway.estimate import POINTS, Estimator
from headway.forecast import LEAST_PARTS, PARTS, Forecast, Parts, forecast
from headway.shape import SHARES


def test_points_stay_bounded_and_spread_over_the_run() -> None:
    estimator, now = job([0.01] * 60_000)
    estimator.rate(START + now)  # takes in what was told last
    times = estimator._times
    assert POINTS / 4 < len(times) <= POINTS
    gaps = [b - a for a, b in pairwise(times)]
    assert max(gaps) < 4 * now / POINTS * 2
    assert (times[0], times[-1]) == (START, START + now)


def test_forecasts_are_made_anew_rarely_and_soon_after_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(work: Parts, *rest: Any) -> Forecast:
        made.append(second)
        return forecast(work, *rest)

    monkeypatch.setattr(estimate, "forecast", counted)
    estimator, done, slower_from = Estimator(START), 0, math.inf
    for second in range(1, 3601):
        done += 10 if second < slower_from else 2
        estimator.add(START + second, done)
        if second % 2 == 0:
            estimator.eta(START + second, 40_000)
        if slower_from == math.inf and made and made[-1] > 2000:
            slower_from = made[-1] + 60
    assert len([second for second in made if second < slower_from]) < 50
    assert any(slower_from < second < slower_from + 150 for second in made)


def test_the_range_is_narrower_with_an_earlier_run() -> None:
    plain, now = job([0.5] * 400)
    knowing, _ = job([0.5] * 400, [shape_of([0.5] * 1000)])
    low, high = plain.eta_range(START + now, 1000) or (0.0, 0.0)
    known_low, known_high = knowing.eta_range(START + now, 1000) or (0.0, 0.0)
    assert low < known_low < 300.0 < known_high < high


def assert_it_widens(ranges: list[tuple[float, float, float]]) -> None:
    """`ranges`: (s of silence, lower end, upper end), in the order of their times."""
    for (before, low, high), (after, later_low, later_high) in pairwise(ranges):
        assert later_low <= low * (1 + 1e-6)
        assert later_high / later_low >= high / low * (1 - 1e-6)
        # The latest end that was said never becomes earlier. A unix time is exact to a quarter of a microsecond.
        assert later_high + after >= (high + before) * (1 - 1e-6) - 1e-6


@pytest.mark.parametrize("shapes", [(), (shape_of(SLOW_END),)])
@pytest.mark.parametrize("durations", [[30.0, 35.0, 25.0], [0.1] * 400, []])
def test_the_range_widens_while_nothing_arrives(durations: list[float], shapes: tuple[tuple[float, ...], ...]) -> None:
    estimator, now = job(durations, shapes)
    said = [(silent, estimator.eta_range(START + now + silent, 1000)) for silent in range(0, 4000, 7)]
    assert_it_widens([(silent, *bounds) for silent, bounds in said if bounds is not None])
    last = said[-1][1]
    assert (last is None) is (not durations and not shapes)
    assert last is None or last[1] > 2000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.001, 1e4), min_size=1, max_size=30),
    st.lists(st.floats(0, 1e5), min_size=2, max_size=8).map(sorted),
    st.floats(1.01, 50),
)
def test_any_range_widens_with_silence_and_holds_what_is_said(durations: list[float], silences: list[float], more: float) -> None:
    estimator, now = job(durations)
    ranges = []
    for silent in silences:
        _, eta, bounds = estimator.figures(START + now + silent, len(durations) * more)
        assert eta is not None
        assert bounds is not None
        assert 0 < bounds[0] <= eta <= bounds[1]
        ranges.append((silent, *bounds))
    assert_it_widens(ranges)


def test_a_run_that_was_wrong_before_is_less_sure() -> None:
    steady, now = job([0.5] * 400)
    jumpy, then = job([0.1, 0.9] * 40 + [0.2] * 120 + [1.0] * 40 + [0.1] * 80 + [2.0] * 40)
    widths = []
    for estimator, at in ((steady, now), (jumpy, then)):
        low, high = estimator.eta_range(START + at, 1000) or (1.0, 1.0)
        widths.append(high / low)
    assert widths[1] > 1.5 * widths[0]


def test_far_from_the_earlier_run_is_less_sure() -> None:
    widths = []
    for durations in ([0.5] * 400, ([0.1] * 40 + [1.5] * 40) * 5):
        estimator, now = job(durations, [shape_of([0.5] * 1000)])
        low, high = estimator.eta_range(START + now, 1000) or (1.0, 1.0)
        widths.append(high / low)
    assert widths[1] > 1.3 * widths[0]


@pytest.mark.parametrize("seed", range(3))
def test_eight_of_ten_ends_are_within_the_range(seed: int) -> None:
    random_ = random.Random(seed)
    inside = 0
    for _ in range(100):
        durations = [random_.lognormvariate(0, 0.6) for _ in range(60)]
        estimator, now = job(durations[:30])
        low, high = estimator.eta_range(START + now, 60) or (0.0, 0.0)
        inside += low <= sum(durations[30:]) <= high
    assert inside >= 80


counts = st.integers(0, 200).map(float) | st.sampled_from([0.0, 5e-324, 1e-300, 1.0, 1e300, 1.7e308]) | st.floats(0, 1e308)
gaps = st.floats(-5000, 5000) | st.sampled_from([0.0, 1e-9, 1.0, 86_400.0, -86_400.0, 1e8, -1e8, 1e15])
totals = st.none() | st.floats(-10, 1e308) | st.sampled_from([0.0, 5e-324, 100.0, 1.7e308])
earlier_runs = st.tuples(counts, st.lists(counts, min_size=SHARES, max_size=SHARES).map(sorted)).map(lambda s: (s[0], *s[1]))
events = st.tuples(st.sampled_from(["add"] * 8 + ["pause", "resume"]), gaps, counts, totals, gaps)


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=40), st.none() | counts, st.lists(earlier_runs, max_size=3))
def test_any_history_gives_sensible_figures(
    steps: list[tuple[str, float, float, float | None, float]], initial: float | None, shapes: list[tuple[float, ...]]
) -> None:
    estimator, now = Estimator(START, initial, shapes), START
    for what, gap, done, total, later in steps:
        now += gap
        if what == "add":
            estimator.add(now, done)
        else:
            getattr(estimator, what)(now)
        for moment in (now, now + later):
            rate, eta, bounds = estimator.rate(moment), estimator.eta(moment, total), estimator.eta_range(moment, total)
            assert rate is None or 0 <= rate < math.inf
            assert (eta is None) is (bounds is None)
            if eta is not None and bounds is not None:
                assert 0 <= bounds[0] <= eta <= bounds[1] < math.inf
        assert len(estimator._times) == len(estimator._dones) <= POINTS
    assert len(estimator.shape()) in (0, SHARES + 1)


@given(
    st.lists(st.floats(min_value=0, max_value=1e6), min_size=LEAST_PARTS, max_size=PARTS), st.floats(min_value=1e-6, max_value=1e6)
)
def test_a_forecast_is_a_positive_number(durations: list[float], ahead: float) -> None:
    ends = [0.0]
    for duration in durations:
        ends.append(ends[-1] + duration)
    found = forecast(Parts(ends, ahead), len(durations), Parts(ends, ahead))
    assert 0 <= found.seconds < math.inf
    assert 0 < found.low <= 1 <= found.high


def test_a_forecast_scales_with_the_clock() -> None:
    ends = [0.0, 1.0, 2.2, 3.1, 4.4, 5.2, 6.3, 7.1, 8.4]
    one = forecast(Parts(ends, 4.0), 8, Parts(ends, 4.0), 1.0)
    ten = forecast(Parts([10 * end for end in ends], 4.0), 8, Parts([10 * end for end in ends], 4.0), 10.0)
    assert ten.seconds == pytest.approx(10 * one.seconds)
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))
