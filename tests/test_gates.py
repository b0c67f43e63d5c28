"""Gates at their limits, their sentences, and what must hold for any history."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate_cases import LIMITS, OFF, START, process, sample, the
from headway.gates import (
    Neighbour,
    bottleneck,
    can_observe,
    conditions,
    expected_duration,
    overdue,
    span,
    stuck,
    time_sink,
    waiting,
    zombie,
)
from headway.model import (
    Condition,
    Done,
    Kind,
    OSProcess,
    Paused,
    Queued,
    Running,
    Severity,
    Starting,
    State,
    Stopping,
    Waiting,
)
from headway.names import NameStats
from headway.samples import Sample

# ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

WAITS = Waiting("permission to use Bash", START + 10)


@pytest.mark.parametrize(("lasts", "fires"), [(59.999, False), (60.0, True), (300.0, True), (-5.0, False)])
def test_waiting_from_its_limit_on(lasts: float, fires: bool) -> None:
    found = waiting(process(waiting=WAITS), now=START + 10 + lasts, limits=LIMITS)
    assert (found is not None) is fires
    if found is not None:
        assert (found.condition, found.severity, found.since) == (Condition.WAITING, Severity.WARNING, START + 70)


def test_waiting_says_for_what_and_how_long() -> None:
    found = the(waiting(process(waiting=WAITS), now=START + 310, limits=LIMITS))
    assert found.reason == "waits for a person for 5 min: permission to use Bash"


def test_waiting_at_once_or_never() -> None:
    waits = process(waiting=WAITS)
    assert the(waiting(waits, now=START + 10, limits=replace(LIMITS, waiting_after=0.0))).since == START + 10
    assert waiting(waits, now=START + 9999, limits=OFF) is None


@pytest.mark.parametrize("state", [Queued(), Starting(START), Paused(START, START + 1), Stopping(START, START + 1)])
def test_only_the_running_wait_for_a_person(state: State) -> None:
    assert waiting(process(state=state, waiting=WAITS), now=START + 9999, limits=LIMITS) is None


def test_who_has_ended_or_goes_on_waits_for_nobody() -> None:
    assert process(state=Done(START, START + 20), waiting=WAITS).waiting is None
    assert process(waiting=replace(WAITS, until=START + 20)).waiting is None
    assert process(waiting=WAITS).waiting is WAITS


def test_who_waits_for_a_person_is_not_stuck_and_neither_is_it_the_moment_it_goes_on() -> None:
    waits = process(last_output_at=START, waiting=WAITS)
    assert stuck(process(last_output_at=START), now=START + 9999, limits=LIMITS) is not None
    assert stuck(waits, now=START + 9999, limits=LIMITS) is None
    on = process(last_output_at=START, waiting=replace(WAITS, until=START + 9000))
    assert stuck(on, now=START + 9059.9, limits=LIMITS) is None
    assert the(stuck(on, now=START + 9060, limits=LIMITS)).since == START + 9060


# ── stuck ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("silence", "fires"), [(59.999, False), (60.0, True), (60.001, True)])
def test_stuck_from_the_limit_on(silence: float, fires: bool) -> None:
    found = stuck(process(last_output_at=START + 10), now=START + 10 + silence, limits=LIMITS)
    assert (found is not None) is fires
    if found is not None:
        assert (found.condition, found.severity, found.since) == (Condition.STUCK, Severity.WARNING, START + 70)


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        ({"last_output_at": START}, "output"),
        ({"last_progress_at": START, "current": 1.0}, "progress"),
        ({"last_output_at": START, "last_progress_at": START}, "output or progress"),
        ({"total": 10.0}, "output or progress"),
    ],
)
def test_stuck_says_what_is_missing(seen: dict[str, Any], word: str) -> None:
    assert the(stuck(process(**seen), now=START + 75, limits=LIMITS)).reason == f"no {word} for 75 s; CPU and I/O unknown"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": Kind.TASK}, True),
        ({"kind": Kind.TASK, "total": 10.0}, False),
        ({"kind": Kind.TASK, "current": 1.0}, False),
        ({"kind": Kind.DAEMON}, False),
        ({"kind": Kind.CRON}, False),
    ],
)
def test_stuck_says_what_to_do_with_what_only_waits(fields: dict[str, Any], said: bool) -> None:
    found = the(stuck(process(last_output_at=START, **fields), now=START + 75, limits=LIMITS)).reason
    assert found.endswith("; if it waits by nature: type daemon, or a longer stuck_after") is said


@pytest.mark.parametrize(("quiet", "severity"), [(59.999, Severity.WARNING), (60.0, Severity.CRITICAL)])
def test_stuck_is_critical_when_the_tree_is_quiet_as_long(quiet: float, severity: Severity) -> None:
    now = START + 75
    found = the(stuck(process(last_output_at=START), now=now, limits=LIMITS, sample=sample(now, quiet_since=now - quiet)))
    assert found.severity is severity
    assert found.since == START + 60
    assert found.reason == f"no output for 75 s; CPU and I/O quiet for {int(quiet)} s"


def test_a_spinning_process_is_stuck_at_warning() -> None:
    now = START + 500
    found = the(stuck(process(last_output_at=START), now=now, limits=LIMITS, sample=sample(now, cpu_ratio=0.984)))
    assert (found.severity, found.reason) == (Severity.WARNING, "no output for 8 min; CPU at 0.98 of a core meanwhile")


def test_an_old_sample_is_no_evidence_for_the_time_after_it() -> None:
    found = the(stuck(process(last_output_at=START), now=START + 200, limits=LIMITS, sample=sample(START + 30, quiet_since=START)))
    assert (found.severity, found.reason) == (Severity.WARNING, "no output for 3 min; CPU and I/O quiet for 30 s")


def test_a_silent_parent_with_a_busy_child_is_alive() -> None:
    parent = process(last_output_at=START)
    assert stuck(parent, now=START + 300, limits=LIMITS, child_activity_at=START + 240.5) is None
    assert stuck(parent, now=START + 300.5, limits=LIMITS, child_activity_at=START + 240.5) is not None


def test_nothing_observable_is_never_stuck_unless_its_output_is_captured() -> None:
    silent = process()
    assert not can_observe(silent)
    assert stuck(silent, now=START + 9999, limits=LIMITS) is None
    assert stuck(silent, now=START + 60, limits=LIMITS, observable=True) is not None
    assert stuck(process(last_output_at=START), now=START + 9999, limits=LIMITS, observable=False) is None


@pytest.mark.parametrize(
    "state", [Queued(), Starting(START), Paused(START, START + 1), Stopping(START, START + 1), Done(START, START + 2)]
)
def test_only_the_running_can_be_stuck(state: State) -> None:
    assert stuck(process(state=state, last_output_at=START), now=START + 9999, limits=LIMITS) is None


def test_stuck_switched_off() -> None:
    assert stuck(process(last_output_at=START), now=START + 9999, limits=OFF) is None


def test_silence_counts_from_when_the_exporter_watches() -> None:
    held = process(last_output_at=START)
    assert stuck(held, now=START + 5000, limits=LIMITS, watching_since=START + 4950) is None
    found = the(stuck(held, now=START + 5020, limits=LIMITS, watching_since=START + 4950))
    assert (found.since, found.reason) == (START + 5010, "no output for 70 s that the exporter watched; CPU and I/O unknown")
    later = process(last_output_at=START + 4950)
    said = the(stuck(later, now=START + 5020, limits=LIMITS, watching_since=START + 4950)).reason
    assert said == "no output for 70 s; CPU and I/O unknown", "all of it was watched"


def test_who_hangs_is_found_after_the_clock_was_set_back() -> None:
    """What was seen last lies in the future then; silence counts from the moment the clock jumped."""
    back = START - 86_400
    held = process(last_output_at=START)
    assert stuck(held, now=back + 59, limits=LIMITS, watching_since=back) is None
    assert the(stuck(held, now=back + 60, limits=LIMITS, watching_since=back)).since == back + 60


def test_a_process_that_was_paused_is_given_time_when_it_goes_on() -> None:
    resumed = process(state=Running(START, resumed_at=START + 500), last_output_at=START)
    assert stuck(resumed, now=START + 559, limits=LIMITS) is None
    assert the(stuck(resumed, now=START + 560, limits=LIMITS)).since == START + 560


def test_the_dead_are_not_silent() -> None:
    held, now = process(last_output_at=START), START + 500
    assert stuck(held, now=now, limits=LIMITS, sample=sample(now, zombie_since=START + 10)) is None
    assert stuck(held, now=now, limits=LIMITS, sample=sample(now, alive=False)) is None


def test_a_clock_set_back_fires_nothing() -> None:
    back = START - 86_400
    held = process(last_output_at=START, timeout=5.0)
    read = sample(START, quiet_since=START - 100, zombie_since=START)
    assert conditions(held, now=back, limits=LIMITS, expected=1.0, sample=read) == ()


# ── time sink ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("elapsed", "severity", "reason"),
    [
        (19.999, None, ""),
        (20.0, Severity.WARNING, "2.0x its usual 10 s"),
        (29.999, Severity.WARNING, "2.9x its usual 10 s"),
        (30.0, Severity.CRITICAL, "3.0x its usual 10 s"),
        (35.0, Severity.CRITICAL, "3.5x its usual 10 s"),
    ],
)
def test_time_sink_levels(elapsed: float, severity: Severity | None, reason: str) -> None:
    found = time_sink(process(), now=START + elapsed, limits=LIMITS, expected=10.0)
    if severity is None:
        assert found is None
    else:
        assert (the(found).severity, the(found).reason, the(found).since) == (severity, reason, START + 20)


def test_time_sink_says_on_how_many_runs_the_usual_rests() -> None:
    found = the(time_sink(process(), now=START + 35, limits=LIMITS, expected=10.0, expected_runs=7))
    assert found.reason == "3.5x its usual 10 s, usual from 7 earlier runs"
    declared = process(expected_duration=10.0)
    assert the(time_sink(declared, now=START + 35, limits=LIMITS, expected=10.0)).reason == "3.5x its expected 10 s"


@pytest.mark.parametrize(("elapsed", "severity"), [(24.9, Severity.WARNING), (25.0, Severity.CRITICAL)])
def test_the_critical_limit_in_force_decides(elapsed: float, severity: Severity) -> None:
    limits = replace(LIMITS, time_sink_critical_ratio=2.5)
    assert the(time_sink(process(), now=START + elapsed, limits=limits, expected=10.0)).severity is severity


def test_time_sink_names_a_declared_expectation() -> None:
    found = the(time_sink(process(expected_duration=10.0), now=START + 20, limits=LIMITS, expected=10.0))
    assert found.reason == "2.0x its expected 10 s"


@pytest.mark.parametrize(("elapsed", "severity"), [(0.2, None), (9.999, None), (10.0, Severity.CRITICAL)])
def test_a_job_of_milliseconds_is_no_time_sink_for_a_moment(elapsed: float, severity: Severity | None) -> None:
    limits = replace(LIMITS, time_sink_after=10.0)
    found = time_sink(process(), now=START + elapsed, limits=limits, expected=0.05)
    assert (found and found.severity, found and found.since) == (severity, severity and START + 10)
    foreseen = time_sink(process(), now=START + 4, limits=limits, expected=0.05, eta=elapsed - 4)
    assert (foreseen is not None) is (severity is not None)
    declared = time_sink(process(expected_duration=0.05), now=START + elapsed, limits=limits, expected=0.05)
    assert the(declared).severity is Severity.CRITICAL, "who declares it means it"


def test_above_its_floor_the_expected_duration_decides() -> None:
    limits = replace(LIMITS, time_sink_after=10.0)
    levels = [time_sink(process(), now=START + t, limits=limits, expected=4.0) for t in (9.9, 10.0, 11.9, 12.0)]
    assert [r and r.severity for r in levels] == [None, Severity.WARNING, Severity.WARNING, Severity.CRITICAL]
    assert time_sink(process(), now=START + 19.9, limits=limits, expected=10.0) is None


@pytest.mark.parametrize(("eta", "fires"), [(9.999, False), (10.0, True), (None, False)])
def test_time_sink_foreseen(eta: float | None, fires: bool) -> None:
    found = time_sink(process(), now=START + 10, limits=LIMITS, expected=10.0, eta=eta)
    assert (found is not None) is fires
    if found is not None:
        assert (found.severity, found.since) == (Severity.LOW, START + 10)
        assert found.reason == "foreseen: 10 s so far and 10 s to go make 2.0x its usual 10 s"


def test_a_foreseen_time_sink_keeps_the_moment_it_was_first_foreseen() -> None:
    first = conditions(process(), now=START + 10, limits=LIMITS, expected=10.0, eta=15.0)
    later = conditions(process(), now=START + 15, limits=LIMITS, expected=10.0, eta=9.0, before=first)
    real = conditions(process(), now=START + 25, limits=LIMITS, expected=10.0, eta=9.0, before=later)
    assert [r.since for r in (*first, *later, *real)] == [START + 10, START + 10, START + 20]


def test_a_limit_of_its_own_moves_critical_with_it() -> None:
    patient = replace(LIMITS, time_sink_ratio=4.0)
    levels = [time_sink(process(), now=START + t, limits=patient, expected=10.0) for t in (39.9, 40.0, 59.9, 60.0)]
    assert [r and r.severity for r in levels] == [None, Severity.WARNING, Severity.WARNING, Severity.CRITICAL]


@pytest.mark.parametrize("expected", [None, 0.0, -1.0])
def test_no_expectation_no_time_sink(expected: float | None) -> None:
    assert time_sink(process(), now=START + 9999, limits=LIMITS, expected=expected, eta=9999.0) is None


def test_time_sink_needs_a_run_that_works() -> None:
    for state in (Queued(), Paused(START, START + 1), Done(START, START + 2)):
        assert time_sink(process(state=state), now=START + 9999, limits=LIMITS, expected=1.0) is None
    assert time_sink(process(), now=START + 9999, limits=OFF, expected=1.0) is None


def test_expected_duration_is_declared_or_the_median_of_three_good_ends() -> None:
    two = NameStats(name="build", kind=Kind.TASK, good_durations=(10.0, 30.0))
    assert expected_duration(process(), None) is None
    assert expected_duration(process(), two) is None
    assert expected_duration(process(), replace(two, good_durations=(10.0, 30.0, 20.0))) == 20.0
    assert expected_duration(process(expected_duration=7.0), two) == 7.0


# ── overdue, zombie ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("elapsed", "fires"), [(29.999, False), (30.0, True), (45.0, True)])
def test_overdue_at_its_timeout(elapsed: float, fires: bool) -> None:
    assert (overdue(process(timeout=30.0), now=START + elapsed) is not None) is fires


@pytest.mark.parametrize("expected", [5e-324, 1e-300, 1e-9])
def test_a_declared_duration_of_next_to_nothing(expected: float) -> None:
    found = the(time_sink(process(), now=START + 60, limits=LIMITS, expected=expected))
    assert found.reason == "over 1,000,000x its usual 0 s" and found.severity is Severity.CRITICAL
    foreseen = the(time_sink(process(), now=START, limits=LIMITS, expected=expected, eta=60.0))
    assert "over 1,000,000x" in foreseen.reason


def test_overdue_says_by_how_much() -> None:
    found = the(overdue(process(timeout=30.0), now=START + 45))
    assert (found.severity, found.since) == (Severity.CRITICAL, START + 30)
    assert found.reason == "running for 45 s, 15 s past its timeout of 30 s"


def test_overdue_needs_a_living_process_with_a_timeout() -> None:
    late = START + 9999
    assert overdue(process(), now=late) is None
    assert overdue(process(timeout=30.0), now=late, sample=sample(late, alive=False)) is None
    assert overdue(process(timeout=30.0, state=Queued()), now=late) is None
    assert overdue(process(timeout=30.0, state=Done(START, START + 60)), now=late) is None
    assert overdue(process(timeout=30.0, state=Paused(START, START + 1)), now=late) is not None


@pytest.mark.parametrize(("age", "fires"), [(299.999, False), (300.0, True)])
def test_zombie_after_five_minutes(age: float, fires: bool) -> None:
    found = zombie(process(), now=START + age, sample=sample(START + age, zombie_since=START))
    assert (found is not None) is fires
    if found is not None:
        assert (found.severity, found.since) == (Severity.WARNING, START + 300)


def test_who_may_have_been_reaped_since_is_no_zombie() -> None:
    """An old sample says nothing of the time after it."""
    assert zombie(process(), now=START + 900, sample=sample(START + 200, zombie_since=START)) is None


def test_zombie_says_which() -> None:
    found = the(zombie(process(os_process=OSProcess(42)), now=START + 360, sample=sample(START + 360, zombie_since=START)))
    assert found.reason == "its OS process (pid 42) ended 6 min ago and was not reaped by its parent"
    assert zombie(process(), now=START + 9999, sample=sample(START)) is None
    assert zombie(process(), now=START + 9999, sample=None) is None
    assert zombie(process(), now=START + 10, sample=sample(START + 10, zombie_since=START), zombie_after=10.0) is not None


# ── all together ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_several_conditions_at_once_in_a_fixed_order() -> None:
    now = START + 1000
    held = process(last_output_at=START, timeout=100.0, expected_duration=50.0)
    waiting = [Neighbour(id="n", name="t", cpu_wait_ratio=0.5)]
    last = (Condition.TIME_SINK, Condition.BOTTLENECK, Condition.OVERDUE)
    for zombie_since, expected in ((None, (Condition.STUCK, *last)), (START, (*last, Condition.ZOMBIE))):
        read = sample(now, quiet_since=START, cpu_ratio=0.9, zombie_since=zombie_since)
        found = conditions(held, now=now, limits=LIMITS, expected=50.0, sample=read, neighbours=waiting)
        assert tuple(r.condition for r in found) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.0009, "0 s"),
        (0.05, "50 ms"),
        (0.0079, "7 ms"),
        (0.57, "0.5 s"),
        (9.99, "9.9 s"),
        (10, "10 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (12_600, "3.5 h"),
        (172_799, "47.9 h"),
        (172_800, "2 d"),
        (181_440, "2.1 d"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


times = st.floats(min_value=-1e6, max_value=1e6)


@given(
    now=times,
    started=times,
    output=st.none() | times,
    progress=st.none() | times,
    child=st.none() | times,
    quiet=st.none() | times,
    stuck_after=st.floats(min_value=0.001, max_value=1e5),
)
def test_stuck_exactly_when_nothing_happened_for_the_limit(
    now: float,
    started: float,
    output: float | None,
    progress: float | None,
    child: float | None,
    quiet: float | None,
    stuck_after: float,
) -> None:
    held = process(state=Running(started), last_output_at=output, last_progress_at=progress)
    found = stuck(
        held,
        now=now,
        limits=replace(LIMITS, stuck_after=stuck_after),
        sample=sample(now, quiet_since=quiet),
        child_activity_at=child,
    )
    silent = all(t is None or now - t >= stuck_after for t in (started, output, progress, child))
    assert (found is not None) is (silent and (output is not None or progress is not None))
    if found is not None:
        assert (found.severity is Severity.CRITICAL) is (quiet is not None and now - quiet >= stuck_after)


@given(
    now=times,
    started=times,
    expected=st.none() | st.floats(min_value=1e-3, max_value=1e6),
    eta=st.none() | st.floats(min_value=0, max_value=1e6),
    timeout=st.none() | st.floats(min_value=1e-3, max_value=1e6),
    cpu=st.none() | st.floats(min_value=0, max_value=64),
    wait=st.none() | st.floats(min_value=0, max_value=64),
    zombie_since=st.none() | times,
)
def test_every_report_can_be_shown_and_nothing_fires_when_switched_off(
    now: float,
    started: float,
    expected: float | None,
    eta: float | None,
    timeout: float | None,
    cpu: float | None,
    wait: float | None,
    zombie_since: float | None,
) -> None:
    held = process(state=Running(started), last_output_at=started, timeout=timeout)
    read = sample(now, cpu_ratio=cpu, zombie_since=zombie_since)
    near = [Neighbour(id="n", name="t", cpu_wait_ratio=wait)]
    found = conditions(held, now=now, limits=LIMITS, expected=expected, sample=read, eta=eta, neighbours=near)
    for report in found:
        assert math.isfinite(report.since)
        assert report.since <= now + 1e-6
        assert report.reason
        assert "-" not in report.reason
        assert "nan" not in report.reason
    off = conditions(held, now=now, limits=OFF, expected=expected, sample=read, eta=eta, neighbours=near)
    assert {r.condition for r in off} <= {Condition.OVERDUE, Condition.ZOMBIE}


@pytest.mark.parametrize(
    ("other", "blocked"),
    [(OSProcess(10, 1000.01), False), (OSProcess(11, 1000.0), True), (OSProcess(10, 1000.0, 7), True), (None, True)],
)
def test_tasks_of_one_program_do_not_block_each_other(other: OSProcess | None, blocked: bool) -> None:
    """However exactly the create time of their common OS process was read."""
    busy = Sample(at=1100.0, alive=True, cpu_ratio=0.95)
    waiting = [Neighbour(id="other", name="t", os_process=other, cpu_wait_ratio=0.5)]
    found = bottleneck(process(os_process=OSProcess(10, 1000.0)), limits=LIMITS, sample=busy, neighbours=waiting)
    assert (found is not None) == blocked
