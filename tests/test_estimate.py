"""Rate and time left: known cases worked out by hand, and what must hold for any history."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from estimated import SLOW_END, START, job, known, shape_of
from headway.estimate import PATIENT, Estimator
from headway.shape import SHARES

# ── what is not known is absent ─────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_known_before_progress_or_without_a_total() -> None:
    estimator = Estimator(START)
    assert estimator.rate(START + 10) is None
    assert estimator.eta(START + 10, 100) is None
    assert estimator.eta_range(START + 10, 100) is None
    assert estimator.shape() == ()
    estimator.add(START + 10, 5)
    assert estimator.eta(START + 10, None) is None
    assert estimator.rate(START + 10) == 0.5


def test_one_update_is_enough_for_a_first_guess() -> None:
    estimator = Estimator(START)
    estimator.add(START + 10, 5)
    assert estimator.eta(START + 10, 20) == pytest.approx(30.0)


def test_a_steady_job() -> None:
    estimator, now = job([0.5] * 400)
    assert estimator.rate(START + now) == pytest.approx(2.0)
    assert estimator.eta(START + now, 1000) == pytest.approx(300.0, rel=0.01)
    low, high = estimator.eta_range(START + now, 1000) or (0.0, 0.0)
    assert low < 300.0 < high


@pytest.mark.parametrize(("start", "gap"), [(0.05, 1.0), (30.0, 60.0)])
def test_a_first_update_that_tells_what_was_there_before_does_not_make_it_fast(start: float, gap: float) -> None:
    estimator = Estimator(START)
    for k in range(50):
        estimator.add(START + start + gap * k, 500 + k)
        if k > 3:
            now = START + start + gap * k
            assert estimator.rate(now) == pytest.approx(1 / gap, rel=0.02), k
            assert estimator.eta(now, 600) == pytest.approx((100 - k) * gap, rel=0.1), k


def test_a_first_update_that_only_came_late_counts() -> None:
    estimator = Estimator(START)
    for k in range(21):
        estimator.add(START + 10 + k, 10 + k)
    assert estimator.eta(START + 30, 60) == pytest.approx(30.0)


@pytest.mark.parametrize("total", [400, 399, 0, -5])
def test_nothing_left(total: float) -> None:
    estimator, now = job([0.5] * 400)
    assert estimator.eta(START + now + 99, total) == 0.0
    assert estimator.eta_range(START + now + 99, total) == (0.0, 0.0)


def test_items_done_before_a_resumed_run_do_not_make_it_fast() -> None:
    estimator = Estimator(START, initial=900)
    for k in range(1, 51):
        estimator.add(START + 2 * k, 900 + k)
    assert estimator.rate(START + 100) == pytest.approx(0.5)
    assert estimator.eta(START + 100, 1000) == pytest.approx(100.0, rel=0.01)
    assert estimator.shape() == ()


def test_a_total_that_changes_counts_at_once() -> None:
    estimator, now = job([1.0] * 100)
    first = known(estimator.eta(START + now, 200))
    assert estimator.eta(START + now, 400) == pytest.approx(3 * first)
    assert estimator.eta(START + now, 150) == pytest.approx(first / 2)


def test_the_pace_of_late_counts() -> None:
    slower, now = job([0.1] * 500 + [1.0] * 100)
    assert 0.7 < known(slower.eta(START + now, 700)) / 100.0 < 1.1
    faster, now = job([1.0] * 100 + [0.1] * 500)
    assert 0.9 < known(faster.eta(START + now, 1100)) / 50.0 < 1.5


def test_a_trend_goes_on() -> None:
    estimator, now = job(0.1 + 0.001 * k for k in range(500))
    ahead = sum(0.1 + 0.001 * k for k in range(500, 1000))
    assert estimator.eta(START + now, 1000) == pytest.approx(ahead, rel=0.1)


def test_a_single_stall_is_no_new_pace() -> None:
    estimator, now = job([0.2] * 500 + [60.0] + [0.2] * 20)
    assert estimator.eta(START + now, 1021) == pytest.approx(100.0, rel=0.2)


# ── silence, clocks, pauses ─────────────────────────────────────────────────────────────────────────────────────────


def test_silence_makes_it_longer_and_never_negative() -> None:
    estimator, now = job([1.0] * 100)
    left = [known(estimator.eta(START + now + silent, 200)) for silent in (0, 2, 10, 60, 600, 6000)]
    assert left == sorted(left)
    assert left[-1] > 3000
    rates = [known(estimator.rate(START + now + silent)) for silent in (0, 2, 10, 600, 6000)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0.0


def test_time_runs_down_between_rare_updates_and_grows_when_one_is_late() -> None:
    estimator, now = job([3600.0] * 2)
    at = [known(estimator.eta(START + now + silent, 4)) for silent in (0, 1800, 3600, 7200, 36000)]
    assert at[0] == pytest.approx(7200.0)
    assert at[1] == pytest.approx(5400.0)
    assert at[2] == pytest.approx(5400.0)  # the hour is over: half of the silence again, and the other hour
    assert at[3] == pytest.approx(7200.0)
    assert at[4] > 20_000


@pytest.mark.parametrize("silent", [5.0, 33.0, 60.0, 3600.0, 86_400.0])
def test_a_stuck_process_never_shows_the_time_left_of_before(silent: float) -> None:
    estimator, now = job([0.1] * 600)
    before = known(estimator.eta(START + now, 930))
    assert before == pytest.approx(33.0, rel=0.01)
    for k in range(1, 11):  # however often it is asked meanwhile
        earlier, later = (known(estimator.eta(START + now + silent * share, 930)) for share in (k / 11, (k + 1) / 11))
        assert later > earlier
    assert known(estimator.eta(START + now + silent, 930)) > before + 0.4 * silent
    low, high = estimator.eta_range(START + now + silent, 930) or (0.0, 0.0)
    assert low < known(estimator.eta(START + now + silent, 930)) < high


def flushed(seconds: int, jitter: float) -> Iterable[tuple[float, float]]:
    """(s, items done) of a job of 10 items a second that reports at about 1 Hz."""
    random_ = random.Random(7)
    for second in range(1, seconds + 1):
        t = second + random_.uniform(-jitter, jitter)
        yield t, math.floor(10 * t)


@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.25])
def test_the_rate_of_a_steady_job_is_steady_between_its_updates(jitter: float) -> None:
    estimator, read = Estimator(START), 0.0
    for t, done in flushed(1200, jitter):
        while read < t:
            if read > 5:
                assert estimator.rate(START + read) == pytest.approx(10.0, rel=0.15), read
            read += 0.13
        estimator.add(START + t, done)


@pytest.mark.parametrize("item", [0.21, 0.55, 0.9, 0.97, 1.1, 1.59, 2.5, 7.0])
def test_the_rate_of_a_steady_job_stands_still_though_an_update_tells_one_item_or_two(item: float) -> None:
    """A reporter sends once a second; 0.9 s an item is once one item, then two."""
    estimator, seen = Estimator(START), []
    for second in range(1, 180):
        estimator.add(START + second, float(int(second / item + 1e-9)))
        if second > 5 * max(item, 3):
            seen.append(known(estimator.rate(START + second + 0.5)) * item)
    assert min(seen) > 0.9 and max(seen) < 1.1


def test_the_rate_of_a_job_with_few_items_follows_within_seconds() -> None:
    """What makes up for updates of one item or two must not look back over minutes, nor at what was there already."""
    estimator = Estimator(START)
    for second in range(1, 60):
        estimator.add(START + second, 500.0 + second)  # 501 in the first second
        if second > 6:
            assert estimator.rate(START + second) == pytest.approx(1.0)
    for second in range(60, 80):
        estimator.add(START + second, 559.0 + 0.25 * (second - 59))
    assert estimator.rate(START + 79) == pytest.approx(0.25)
    rates = [known(estimator.rate(START + 79 + silent)) for silent in (0, 1, 4, 10, 20)]
    assert rates[0] == rates[1] > rates[2] > rates[3] > rates[4] == 0.0


def test_the_rate_falls_when_an_update_is_late_and_ends_at_zero() -> None:
    estimator = Estimator(START)
    for t, done in flushed(100, 0.0):
        estimator.add(START + t, done)
    rates = [known(estimator.rate(START + 100 + silent)) for silent in (0, 0.5, 1, 2, 4, 8, 20)]
    assert rates[0] == rates[1] == rates[2] == pytest.approx(10.0)
    assert all(b < a for a, b in pairwise(rates[2:]))
    assert rates[-1] == 0.0


def test_the_rate_of_the_first_few_updates_is_over_all_the_time() -> None:
    estimator = Estimator(START)
    estimator.add(START + 3, 1)
    estimator.add(START + 9, 2)
    assert estimator.rate(START + 9) == pytest.approx(2 / 9)
    assert estimator.rate(START + 75) == pytest.approx(2 / 75, rel=0.2)
    assert known(estimator.rate(START + 750)) < known(estimator.rate(START + 75)) / 5


def test_the_rate_of_few_slow_items_stands_between_them() -> None:
    estimator = Estimator(START)
    for minute in range(1, 31):
        estimator.add(START + 60 * minute, minute)
        for later in range(0, 60, 7):
            assert estimator.rate(START + 60 * minute + later) == pytest.approx(1 / 60)
    assert known(estimator.rate(START + 1800 + 180)) < 0.5 / 60
    assert estimator.rate(START + 1800 + 600) == 0.0


def test_a_long_preparation_does_not_make_silence_usual() -> None:
    estimator = Estimator(START)
    for second in range(1, 41):
        estimator.add(START + 300 + second, 10 * second)
    rates = [known(estimator.rate(START + 340 + silent)) for silent in (0, 1, 2, 10, 40)]
    assert rates[0] == rates[1] == pytest.approx(10.0)
    assert rates[1] > rates[2] > rates[3] > rates[4] == 0.0


def test_updates_that_come_in_bundles() -> None:
    estimator = Estimator(START)
    for minute in range(1, 21):
        for k in range(100):
            estimator.add(START + 60 * minute + k / 1000, 100 * (minute - 1) + k + 1)
    assert estimator.rate(START + 1200 + 50) == pytest.approx(100 / 60, rel=0.15)


def test_the_usual_gap_follows_a_job_whose_items_become_long() -> None:
    estimator, now = job([1.0] * 600 + [60.0] * 30)
    late = [known(estimator.eta(START + now + silent, 640)) for silent in (0, 30, 55)]
    assert late[0] > late[1]  # the next item is not due yet: time runs down
    assert known(estimator.rate(START + now + 55)) == pytest.approx(1 / 60, rel=0.1)


def test_what_was_answered_is_not_answered_again_when_something_changed() -> None:
    estimator, now = job([1.0] * 100)
    before = known(estimator.eta(START + now, 200))
    assert known(estimator.eta(START + now, 300)) > 1.9 * before
    assert known(estimator.eta(START + now, 200)) == before
    estimator.add(START + now, 150)
    assert known(estimator.eta(START + now, 200)) < before
    later = known(estimator.eta(START + now + 60, 200))
    estimator.pause(START + now)
    assert known(estimator.eta(START + now + 60, 200)) < later
    estimator.resume(START + now)
    assert known(estimator.eta(START + now + 60, 200)) == later


def test_a_clock_that_is_set_back() -> None:
    estimator, now = job([1.0] * 100)
    before = known(estimator.eta(START + now, 200))
    assert estimator.eta(START - 86_400, 200) == pytest.approx(before)
    assert known(estimator.rate(START - 86_400)) > 0
    for k in range(1, 51):
        estimator.add(START + now - 3600 + k, 100 + k)
    assert estimator.rate(START + now - 3550) == pytest.approx(1.0, rel=0.1)
    assert estimator.eta(START + now - 3550, 200) == pytest.approx(50.0, rel=0.1)


def test_crossing_updates_are_no_clock_change() -> None:
    estimator = Estimator(START)
    for t, done in [(10.0, 10), (9.9, 11), (12.0, 12)]:
        estimator.add(START + t, done)
    assert estimator.rate(START + 12) == pytest.approx(1.0)


def test_a_pause_never_was() -> None:
    paused, straight = Estimator(START), Estimator(START)
    for k in range(1, 61):
        straight.add(START + k, k)
        paused.add(START + k + (1000 if k > 30 else 0), k)
        if k == 30:
            paused.pause(START + 30)
            paused.pause(START + 31)
            assert paused.eta(START + 900, 100) == straight.eta(START + 30, 100)
            paused.resume(START + 1030)
            paused.resume(START + 1031)
    assert paused.rate(START + 1060) == straight.rate(START + 60)
    assert paused.eta(START + 1060, 100) == straight.eta(START + 60, 100)


def test_of_updates_close_together_the_last_counts_whoever_asks_in_between() -> None:
    asked, unasked = Estimator(START), Estimator(START)
    for k in range(1, 5001):
        t = START + 0.013 * k
        for estimator in (asked, unasked):
            estimator.add(t, k)
        if k % 7 == 0:
            asked.eta(t, 10_000)
    now = START + 0.013 * 5000
    assert unasked.rate(now) == pytest.approx(known(asked.rate(now)), rel=0.02)
    assert unasked.rate(now) == pytest.approx(1 / 0.013, rel=0.02)
    assert unasked.eta(now, 5001) == pytest.approx(0.013, rel=0.05)
    assert unasked.eta(now, 5000) == 0.0
    assert unasked.shape()[-1] == pytest.approx(65.0)


def test_figures_are_what_is_asked_one_by_one() -> None:
    estimator, now = job([1.0] * 100)
    for moment in (START + now, START + now + 0.3, START + now + 77, START):
        together = estimator.figures(moment, 200)
        assert together == (estimator.rate(moment), estimator.eta(moment, 200), estimator.eta_range(moment, 200))


def test_who_is_patient_takes_the_last_forecast_until_somebody_wants_to_know() -> None:
    (patient, now), (other, _) = job([1.0] * 50), job([1.0] * 50)
    now += START
    assert patient.figures(now, 100, patient=True) == other.figures(now, 100), "the first forecast is made whoever asks"
    for estimator in (patient, other):
        estimator.add(now + 4, 51)
        estimator.add(now + 8, 52)  # four times as slow as was said
    assert patient.figures(now + 8, 100, patient=True)[1] == pytest.approx(48.0), "what was said, for what is left"
    assert patient.due
    assert other.eta(now + 8, 100) != pytest.approx(48.0, rel=0.02)
    assert patient.figures(now + 8, 100) == other.figures(now + 8, 100) == patient.figures(now + 8, 100, patient=True)
    assert not patient.due
    for estimator in (patient, other):
        estimator.add(now + 8 + PATIENT, 53)
    at = now + 8 + PATIENT
    assert patient.figures(at, 100, patient=True) == other.figures(at, 100) and not patient.due, "patience has an end"


def tenths(seconds: float) -> tuple[Estimator, float]:
    """Ten items a second, told one by one, and the time of the last update that counted."""
    estimator = Estimator(START)
    heard = START
    for k in range(1, round(10 * seconds) + 1):
        t = START + k / 10
        heard = t if t >= estimator.calm_until(heard) else heard
        estimator.add(t, k)
    return estimator, heard


def test_the_older_a_job_the_longer_only_the_last_update_counts() -> None:
    for seconds, least, most in ((5, 0.05, 0.05), (60, 0.2, 0.5), (7200, 0.5, 0.5)):
        estimator, heard = tenths(seconds)
        assert least - 1e-6 <= estimator.calm_until(heard) - heard <= most + 1e-6


def test_what_is_told_in_between_counts_for_who_is_not_patient() -> None:
    estimator, heard = tenths(60)
    other, _ = tenths(60)
    for one in (estimator, other):
        one.add(heard + 0.6, 620)  # counts, and tells nothing else until 0.2 s later
        one.figures(heard + 0.6, 1000)
    before = estimator.figures(heard + 0.6, 1000, patient=True)
    estimator.add(heard + 0.7, 660)
    rate, left, bounds = estimator.figures(heard + 0.7, 1000, patient=True)
    assert rate == before[0] and left == pytest.approx(known(before[1]) - 0.1)
    assert bounds is not None and before[2] is not None and bounds[1] == pytest.approx(before[2][1] - 0.1)
    assert known(estimator.figures(heard + 0.7, 1000)[1]) < known(left) - 1, "40 items more are done"
    for done, patient_says in ((1000, 0.0), (1001, 0.0)):
        other.add(heard + 0.7, done)
        assert other.figures(heard + 0.7, 1000, patient=True)[1] == patient_says, "the end is told to everybody"


@pytest.mark.parametrize("done", [300, 10])
def test_a_count_that_falls_is_told_to_everybody(done: int) -> None:
    (patient, heard), (other, _) = tenths(60), tenths(60)
    for one in (patient, other):
        one.add(heard + 0.6, 620)
        one.figures(heard + 0.6, 1000)
        one.add(heard + 0.7, done)
    assert patient.figures(heard + 0.7, 1000, patient=True) == other.figures(heard + 0.7, 1000)


def test_what_is_told_in_a_pause_is_no_time_worked() -> None:
    (paused, heard), (straight, _) = tenths(60), tenths(60)
    paused.pause(heard + 0.1)
    paused.add(heard + 0.15, 605)
    straight.add(heard + 0.1, 605)
    assert paused.figures(heard + 900, 1000) == straight.figures(heard + 0.1, 1000)


def test_a_slow_first_moment_is_forgotten_within_the_next() -> None:
    """20 in each of the first four tenths of a second, then 100: 1,000 a second."""
    estimator, done = Estimator(START), 0.0
    for tenth in range(1, 49):
        done += 20 if tenth <= 4 else 100
        now = START + tenth / 10
        estimator.add(now, done)
        left = estimator.eta(now, 40_000)
        if tenth >= 8:
            assert left == pytest.approx((40_000 - done) / 1000, rel=0.05)


# ── a count that goes back ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_count_that_begins_anew() -> None:
    estimator, now = job([0.1] * 1000)
    estimator.add(START + now + 1, 0)
    assert estimator.eta(START + now + 5, 100) is None
    assert estimator.rate(START + now + 5) is None
    for k in range(1, 21):
        estimator.add(START + now + 1 + 3 * k, k)
    assert estimator.rate(START + now + 61) == pytest.approx(1 / 3)
    assert estimator.eta(START + now + 61, 100) == pytest.approx(240.0, rel=0.01)
    assert estimator.shape() == ()


def test_a_correction_keeps_the_history() -> None:
    estimator, now = job([1.0] * 100)
    estimator.add(START + now, 98)
    assert estimator.eta(START + now, 200) == pytest.approx(102.0, rel=0.05)
    assert len(estimator.shape()) == SHARES + 1


# ── earlier runs ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_shape_is_when_each_share_of_the_work_was_done() -> None:
    shape = shape_of([0.5] * 640)
    assert (len(shape), shape[0]) == (SHARES + 1, 640)
    assert shape[1:] == pytest.approx([5.0 * k for k in range(1, SHARES + 1)], rel=0.02)


def test_with_an_earlier_run_time_left_is_known_from_the_start() -> None:
    estimator = Estimator(START, shapes=(shape_of(SLOW_END),))
    assert estimator.eta(START, 1000) == pytest.approx(290.0, rel=0.02)
    assert estimator.eta(START + 30, 1000) == pytest.approx(260.0, rel=0.02)
    assert estimator.eta(START, 2000) == pytest.approx(580.0, rel=0.02)
    assert estimator.rate(START + 30) is None
    resumed = Estimator(START, initial=900, shapes=(shape_of(SLOW_END),))
    assert resumed.eta(START, 1000) == pytest.approx(200.0, rel=0.05)


def test_an_earlier_run_foretells_what_this_one_cannot_show_yet() -> None:
    without, now = job(SLOW_END, until=45.0)
    knowing, now = job(SLOW_END, [shape_of(SLOW_END)], until=45.0)
    assert without.eta(START + now, 1000) == pytest.approx(55.0, rel=0.05)
    assert knowing.eta(START + now, 1000) == pytest.approx(245.0, rel=0.05)


def test_a_slower_machine_scales_the_earlier_run() -> None:
    knowing, now = job([3 * d for d in SLOW_END], [shape_of(SLOW_END)], until=135.0)
    assert knowing.eta(START + now, 1000) == pytest.approx(735.0, rel=0.1)


def test_a_run_that_departs_from_the_earlier_one_is_believed() -> None:
    other = shape_of([0.5 * 0.99**k for k in range(1000)])  # faster and faster
    knowing, now = job([0.2] * 1000, [other], until=140.0)
    assert knowing.eta(START + now, 1000) == pytest.approx(60.0, rel=0.15)


def test_of_several_runs_an_accident_is_not_believed_and_a_usual_last_step_is() -> None:
    steady = [0.1] * 990 + [10.0] * 10
    accident = [0.1] * 500 + [200.0] + [0.1] * 489 + [10.0] * 10
    shapes = [shape_of(accident), shape_of(steady), shape_of(steady)]
    knowing, now = job(steady, shapes, until=30.0)
    assert knowing.eta(START + now, 1000) == pytest.approx(169.0, rel=0.1)
    knowing, now = job(steady, shapes[:1], until=30.0)
    assert known(knowing.eta(START + now, 1000)) < 230.0


@pytest.mark.parametrize("shape", [(), (1.0,), (0.0,) * (SHARES + 1), (10.0,) + (0.0,) * SHARES, (10.0,) * 7])
def test_a_shape_that_says_nothing_is_ignored(shape: tuple[float, ...]) -> None:
    with_it, now = job([1.0] * 50, [shape])
    without, _ = job([1.0] * 50)
    assert with_it.eta(START + now, 100) == without.eta(START + now, 100)


# ── the benchmark ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_benchmark_beats_its_peers_on_two_runs_of_each_kind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from bench.eta import main

    main(["--seeds", "2", "--workers", "1", "--seconds", "4", "--running", "20", "--results", str(tmp_path)])
    result = json.loads((tmp_path / "eta.json").read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    assert set(result["mean_error"]) == {"headway", "headway, 1 earlier run", "tqdm", "rich", "plain mean"}
    assert result["of_tqdm"]["headway"] <= 1.0
    assert result["of_tqdm"]["headway, 1 earlier run"] <= 0.7
    assert set(result["scrape_microseconds"]) == set(result["range_coverage"])
    # The same runs each time. A range twenty times as wide as this would hold everything.
    for part, least in ((result, 0.8), (result["resumed"], 0.75), (result["recorded"], 0.7), (result["recorded_slower"], 0.65)):
        assert all(share >= least for share in part["range_coverage"].values()), part["range_coverage"]
        assert all(share >= least - 0.05 for share in part["range_coverage_in_time"].values()), part["range_coverage_in_time"]
    assert result["range_width"]["headway"] < 4.5
    assert result["range_width"]["headway, 1 earlier run"] < 2.5
    assert set(result["recorded"]["error"]) == {
        "compress",
        "compress_mixed",
        "tests",
        "compile",
        "unittest",
        "pages",
        "bytecode",
        "commits",
        "rows",
        "sweep",
        "database",
    }
    for part in ("resumed", "recorded", "recorded_slower"):
        assert set(result[part]["mean_error"]) == set(result["mean_error"])


def test_the_fit_of_the_range_is_near_the_factors_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from bench import eta_range

    rows = [row for row in eta_range.gathered(range(5000, 5001)) if not row.knowing]
    known, off = np.array([row.high for row in rows]), np.array([row.off for row in rows])
    factors = eta_range.fitted(known, off, np.ones(len(rows)))
    assert (factors >= 0).all()
    assert (off <= known @ factors).mean() == pytest.approx(0.9, abs=0.02)
    assert (off <= known @ np.array(list(eta_range.HIGH.values()))).mean() == pytest.approx(0.9, abs=0.1)
