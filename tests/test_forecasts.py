"""Forecasts on runs and histories with known ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from headway.analysis.forecasts import forecasts, overrun, window
from headway.analysis.whole import analyze
from headway.estimate import Estimator
from headway.model import Done, Kind, Process
from records import T0
from test_analysis import NOW, ended, subject

WEEK = 7 * 86400.0


def at(elapsed: float, eta: float | None = None, eta_range: tuple[float, float] | None = None, **more: Any) -> Any:
    return subject("p", elapsed=elapsed, eta=eta, eta_range=eta_range, **more).view


def test_what_is_over_is_certain() -> None:
    assert overrun(at(100), 100) == (1.0, "it has already")


@pytest.mark.parametrize(("limit", "low", "high"), [(120, 0.98, 1.0), (200, 0.499, 0.501), (400, 0.09, 0.11), (2000, 0.0, 0.01)])
def test_from_the_time_left(limit: float, low: float, high: float) -> None:
    """100 s so far, probably 100 s to go, in eight of ten cases 50 to 300."""
    answer = overrun(at(100, 100, (50, 300)), limit)
    assert answer is not None and low <= answer[0] <= high


def test_earlier_runs_and_this_one_count_the_same() -> None:
    """100 s so far: as earlier runs have it 100 s to go, as this one alone has it 1000."""
    usual, alone = at(100, 100, (90, 110)), (1000.0, 900.0, 1100.0)
    for view, own, expected in ((usual, None, 0.0), (usual, alone, 0.5), (at(100, 2000, (1900, 2100)), alone, 1.0)):
        answer = overrun(view, 500, alone=own)
        assert answer is not None and answer[0] == pytest.approx(expected, abs=0.01)
        assert ("without" in answer[1]) is (own is not None)


def test_what_a_run_alone_tells() -> None:
    first = Estimator(0.0)
    for second in range(1, 101):
        first.add(second, second)
    slow, alone = Estimator(0.0, shapes=[first.shape()]), Estimator(0.0)
    for estimator in (slow, alone):
        for second in range(1, 21):
            estimator.add(4.0 * second, second)
    before = slow.eta(80.0, 100)
    eta, bounds = alone.eta(80.0, 100), alone.eta_range(80.0, 100)
    assert eta is not None and bounds is not None and slow.alone(80.0, 100) == (eta, *bounds)
    assert slow.eta(80.0, 100) == before, "and it is still asked as it was"
    assert alone.alone(80.0, 100) is None, "there is nothing else that it would have followed"


def test_from_earlier_runs_that_lasted_as_long() -> None:
    earlier = [50.0] * 90 + [200.0] * 5 + [1000.0] * 5
    answer = overrun(at(10), 500, earlier)
    assert answer is not None and answer[0] == pytest.approx(5.5 / 101)
    assert answer[1:] == ("5 of the 100 earlier runs that lasted as long",)
    later = overrun(at(60), 500, earlier)
    assert later is not None and later[0] == pytest.approx(5.5 / 11)
    assert later[1:] == ("5 of the 10 earlier runs that lasted as long",)
    beyond_all = overrun(at(2000), 5000, earlier)
    assert beyond_all == (0.5, "it is longer than all 100 earlier runs")
    assert overrun(at(10), 500, earlier[:2]) is None and overrun(at(10), 500) is None


def test_each_limit_of_each_process_the_most_probable_first() -> None:
    slow = subject("slow", elapsed=100, eta=900.0, eta_range=(700.0, 1200.0), timeout=5000.0)
    quick = subject("quick", elapsed=100, eta=50.0, eta_range=(30.0, 80.0), timeout=120.0)
    slow = replace(slow, view=replace(slow.view, expected_duration=300.0))
    found = [(one.id, one.what, one.verdict, one.limit_seconds) for one in forecasts([slow, quick], {})]
    assert found == [("slow", "time_sink", "yes", 600.0), ("quick", "timeout", "yes", 120.0), ("slow", "timeout", "no", 5000.0)]
    assert {one.reached_at for one in forecasts([quick], {})} == {NOW + 20}
    assert forecasts([subject("p", elapsed=10, timeout=100.0)], {}) == [], "nothing is known of it"


def test_memory_that_runs_out_before_the_end() -> None:
    def verdict(full_in: float, eta: float | None, eta_range: tuple[float, float] | None) -> Sequence[str]:
        one = replace(subject("p", eta=eta, eta_range=eta_range), memory_full_in=full_in)
        return [found.verdict for found in forecasts([one], {}) if found.what == "memory"]

    assert verdict(100, 1000, (600, 2000)) == ["yes"]
    assert verdict(900, 1000, (600, 2000)) == ["likely"]
    assert verdict(3000, 1000, (600, 2000)) == [], "it will be done before"
    assert verdict(3000, None, None) == ["likely"], "nobody knows when it ends"


def runs_every(gap: float, count: int, seconds: float = 60.0) -> list[Process]:
    return [moved(ended(0, seconds, kind=Kind.CRON), T0 - gap * (count - n), f"r{n}") for n in range(count)]


def moved(run: Process, start: float, id: str) -> Process:
    took = (run.finished_at or 0.0) - (run.started_at or 0.0)
    return replace(run, id=id, state=Done(start, start + took))


def test_a_window_that_is_missed() -> None:
    key = ("job", Kind.CRON)
    hourly = runs_every(3600, 10)  # the last began an hour before T0: the next is due at T0
    early, late = window(key, hourly, T0 + 300, None), window(key, hourly, T0 + 400, None)
    assert early is not None and late is not None
    assert (early.missed, early.every_seconds, early.runs) == (None, 3600.0, 10)
    assert early.start_by_at == T0 + 360 and late.missed == "start"
    running = window(key, hourly, T0 + 500, T0 + 300)
    assert running is not None and running.missed == "end", "60 s are usual, and a minute is allowed"
    in_time = window(key, hourly, T0 + 400, T0 + 300)
    assert in_time is not None and in_time.missed is None


def test_gaps_that_happened_before_are_usual() -> None:
    """A job of workdays is not missed on a Saturday."""
    days = [day for day in range(28) if day % 7 < 5]
    runs = [moved(ended(0, 60.0, kind=Kind.CRON), T0 + day * 86400.0, f"d{day}") for day in days]
    friday = T0 + days[-1] * 86400.0
    found = [window(("job", Kind.CRON), runs, friday + after * 86400.0, None) for after in (1.5, 2.5, 3.5)]
    assert [one.missed for one in found if one is not None] == [None, None, "start"]


def test_no_rhythm_no_window() -> None:
    key = ("job", Kind.CRON)
    assert window(key, runs_every(3600, 4), T0, None) is None
    wild = [moved(ended(0, 60.0, kind=Kind.CRON), T0 - WEEK + 1000.0 * n**3, f"w{n}") for n in range(8)]
    assert window(key, wild, T0 + WEEK, None) is None


def test_only_what_is_scheduled_has_a_window() -> None:
    history = runs_every(3600, 10)
    plain = [replace(run, spec=replace(run.spec, kind=Kind.TASK)) for run in history]
    assert len(analyze([], history, since=0, now=T0 + 9999).windows) == 1
    assert analyze([], plain, since=0, now=T0 + 9999).windows == []
