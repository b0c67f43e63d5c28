"""Gates of names at their limits, what counts as a bad end, and who keeps what was found."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import requests

from headway import Client
from headway.cli.exits import Exit
from headway.cli.ps import in_short
from headway.metrics.host import HealthMetrics
from headway.metrics.page import Format
from headway.model import Cancelled, Done, Failed, Killed, Kind, Orphaned, Severity, State, TimedOut
from headway.name_gates import NameCondition, NameReport, Runs, cron_missed, failing
from headway.names import OTHER, RECENT_ENDS_KEPT, NameStats, ended_badly
from headway.registry.named import NameWatch
from headway.settings import ThresholdRule
from records import T0, process
from registry_world import World, in_loop
from running import RunningExporter
from waiting import wait_until

NAME = NameStats(name="nightly", kind=Kind.CRON)
DAY = 86_400.0


def judged(ends: str, now: float = T0 + 1000, **given: Any) -> NameReport | None:
    """`ends`: one letter each, b for bad, ten seconds apart from T0 on."""
    stats = replace(NAME, recent=tuple((T0 + 10 * n, letter == "b") for n, letter in enumerate(ends)))
    return failing(stats, now=now, **{"rate": 0.5, "runs": 4, "window": DAY, **given})


@pytest.mark.parametrize(
    ("ends", "fires"),
    [("", False), ("bbb", False), ("bbbb", True), ("ggbb", True), ("gggb", False), ("gbgbg", False), ("gbgbgb", True)],
)
def test_failing_from_its_share_and_its_number_of_runs_on(ends: str, fires: bool) -> None:
    assert (judged(ends) is not None) is fires


def test_failing_says_how_many_and_since_when() -> None:
    found = judged("gbgbbg")
    assert found == NameReport(
        "nightly", Kind.CRON, NameCondition.FAILING, Severity.WARNING, T0 + 30, "3 of its last 6 runs ended badly, all within 24 h"
    )


def test_it_holds_since_the_end_from_which_on_it_held_without_a_break() -> None:
    broken = judged("bbbbgggggbb")  # half of 8, but less than half of 9
    assert broken is not None and broken.since == T0 + 90


def test_what_ended_before_the_window_does_not_count() -> None:
    assert judged("bbbbbb", now=T0 + DAY + 19.9) is not None
    assert judged("bbbbbb", now=T0 + DAY + 20.0) is None, "three are left"


@pytest.mark.parametrize(
    ("state", "bad"),
    [
        (Done(T0, T0 + 9), False),
        (Failed(T0, T0 + 9), True),
        (TimedOut(T0, T0 + 9), True),
        (Orphaned(T0, T0 + 9), True),
        (Killed(T0, T0 + 9), True),
        (Killed(T0, T0 + 9, requested=True), None),
        (Cancelled(T0, T0 + 9), None),
    ],
)
def test_what_somebody_ended_on_purpose_says_nothing(state: State, bad: bool | None) -> None:
    ended = process(state=state)
    assert ended_badly(ended) is bad
    assert NAME.with_end(ended).recent == (() if bad is None else ((T0 + 9, bad),))


def test_the_latest_ends_are_kept_and_those_before_a_time_forgotten() -> None:
    stats = NAME
    for n in range(RECENT_ENDS_KEPT + 5):
        stats = stats.with_end(process(state=Done(T0, T0 + n)))
    assert [at for at, _ in stats.recent] == [T0 + n for n in range(5, RECENT_ENDS_KEPT + 5)]
    assert [at for at, _ in stats.since(T0 + 22).recent] == [T0 + 23, T0 + 24]
    assert stats.since(T0) is stats


def runs(**given: Any) -> Runs:
    return Runs(**{"name": "backup", "kind": Kind.CRON, "last_run_at": T0, "late_at": None, "overlapped_at": None, **given})


def test_a_missed_run_counts_until_the_next_one_begins() -> None:
    assert cron_missed(runs(), now=T0 + 999) is None
    assert cron_missed(runs(late_at=T0), now=T0 + 999) is None, "a late run was made up for at once"
    found = cron_missed(runs(late_at=T0 + 60), now=T0 + 90)
    assert found is not None
    assert (found.condition, found.severity, found.since) == (NameCondition.CRON_MISSED, Severity.WARNING, T0 + 60)
    assert found.reason == (
        "a run was due and did not begin, as was seen 30 s ago: nothing started it in time; the last one began 90 s ago"
    )
    assert cron_missed(runs(late_at=T0 + 60, last_run_at=T0 + 61), now=T0 + 90) is None


def test_what_its_policy_left_out_is_of_low_severity() -> None:
    found = cron_missed(runs(overlapped_at=T0 + 60, last_run_at=None), now=T0 + 90)
    assert found is not None and found.severity is Severity.LOW
    assert found.reason.endswith("the one before still went on; none has begun so far")
    both = cron_missed(runs(overlapped_at=T0 + 60, late_at=T0 + 30), now=T0 + 90)
    assert both is not None and (both.severity, both.since) == (Severity.WARNING, T0 + 30)


# ── who keeps what was found ────────────────────────────────────────────────────────────────────────────────────────


def run_of(world: World, n: int, status: str, name: str = "nightly") -> None:
    process_id = f"{name}-{n}".replace(" ", "-")
    world.create(id=process_id, name=name)
    world.update(process_id, status=status)


@in_loop
async def test_names_are_judged_anew_when_a_run_ends_and_when_it_grows_old() -> None:
    world = World(failure_rate_runs=3, failure_rate_window=3600.0)
    missed = [Runs(name="backup", kind=Kind.CRON, last_run_at=None, late_at=world.clock() - 1, overlapped_at=None)]
    named = NameWatch(world.registry, lambda: missed)

    def found() -> list[tuple[str, str]]:
        named.evaluate()
        return [(report.name, report.condition) for report in world.registry.totals.reports]

    assert found() == [("backup", "cron_missed")]
    missed.clear()
    for n in range(3):
        assert found() == []
        run_of(world, n, "failed")
        world.clock.now += 100
    assert found() == [("nightly", "failing")]
    world.registry.totals.news()
    world.clock.now += 3400
    assert found() == [], "the first has grown too old"
    assert [stats.recent for stats in world.registry.totals.news()] == [world.registry.totals.names["nightly", Kind.TASK].recent]


@in_loop
async def test_a_name_may_have_a_threshold_of_its_own_or_none() -> None:
    rules = (ThresholdRule({"failure_rate": 1.0}, kind=Kind.TASK), ThresholdRule({"failure_rate": None}, name="flaky*"))
    world = World(failure_rate_runs=2, threshold_rules=rules)
    for n, status in enumerate(("failed", "done", "failed", "failed")):
        run_of(world, n, status, "flaky thing")
        run_of(world, n, status, "half")
        run_of(world, n, "failed", "whole")
    NameWatch(world.registry).evaluate()
    assert [report.name for report in world.registry.totals.reports] == ["whole"]
    assert world.registry.totals.failure_rates == {
        ("flaky thing", Kind.TASK): math.inf,
        ("half", Kind.TASK): 1.0,
        ("whole", Kind.TASK): 1.0,
    }


def test_thresholds_of_their_own_are_metrics() -> None:
    own = HealthMetrics()
    own.watch_names(tuple, lambda: {("flaky", "task"): math.inf, ("half", "cron"): 1.0})
    page = own.page(Format.TEXT).decode()
    assert 'headway_name_failure_ratio_threshold{kind="task",name="flaky"} +Inf\n' in page
    assert 'headway_name_failure_ratio_threshold{kind="cron",name="half"} 1.0\n' in page


@in_loop
async def test_names_beyond_the_limit_are_not_judged_together() -> None:
    world = World(max_names=1, failure_rate_runs=2)
    for n in range(4):
        run_of(world, n, "done", "first")
        run_of(world, n, "failed", f"other {n}")
    NameWatch(world.registry).evaluate()
    assert world.registry.totals.names[OTHER, Kind.TASK].recent and world.registry.totals.reports == ()


def test_a_failing_name_is_told_by_api_page_metrics_and_command_line(exporter: RunningExporter) -> None:
    client = Client(exporter.url, exporter.key)
    for _ in range(4):
        client.update(client.create("import <b>", "cron")["id"], status="failed")
    found = wait_until(lambda: client.stats()["names"], 30, "the exporter's next look")
    assert [(one["name"], one["type"], one["condition"], one["severity"]) for one in found] == [
        ("import <b>", "cron", "failing", "warning")
    ]
    page = client.metrics()
    assert 'headway_recent_runs{name="import <b>",kind="cron",outcome="bad"} 4' in page
    assert 'headway_name_condition{condition="failing",kind="cron",name="import <b>"} 1.0' in page
    shown = requests.get(f"{exporter.url}/attention", timeout=30).text
    text = re.sub(r"<[^>]*>", "", shown)
    assert "failing import &lt;b&gt; cron 4 of its last 4 runs ended badly, all within 24 h" in text
    environ = {"HEADWAY_URL": exporter.url, "HEADWAY_KEY": exporter.key, "PATH": "/usr/bin:/bin"}
    said = subprocess.run([sys.executable, "-m", "headway", "ps"], env=environ, capture_output=True, text=True, timeout=30)
    assert said.stderr == "headway: import <b> (cron): failing: 4 of its last 4 runs ended badly, all within 24 h\n"
    for _ in range(4):
        client.update(client.create("load", "cron")["id"], status="failed")
    wait_until(lambda: len(client.stats()["names"]) == 2, 30, "the exporter's next look")

    def ps(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headway", "ps", *args], env=environ, capture_output=True, text=True, timeout=30
        )

    assert ps().stderr == "headway: 2 names keep failing: headway ps --names says which, and why\n", "one line, however many"
    lines = ps("--names").stdout.splitlines()
    assert re.fullmatch(r"NAME +TYPE +WHAT +WHY", lines[0]) and sorted(line.split("  ")[0] for line in lines[1:]) == [
        "import <b>",
        "load",
    ]
    assert all("failing" in line and "4 of its last 4 runs" in line for line in lines[1:])
    assert json.loads(ps("--names", "--json").stdout) == client.stats()["names"]
    assert ps("--names", "--all").returncode == Exit.USAGE


def test_names_in_short() -> None:
    failing_name = {"name": "a", "type": "cron", "condition": "failing", "reason": "because"}
    missed = {**failing_name, "condition": "cron_missed"}
    assert in_short([missed]) == "a (cron): cron missed: because"
    more = ": headway ps --names says which, and why"
    assert in_short([failing_name, missed]) == f"1 name keeps failing, 1 schedule missed a run{more}"
    assert in_short([missed] * 2) == f"2 schedules missed a run{more}"


@in_loop
async def test_what_is_usual_says_on_how_many_runs_it_rests() -> None:
    world = World()
    for n in range(5):
        world.create(id=f"run-{n}", name="nightly", started_age=10 + n)
        world.update(f"run-{n}", status="done")
    for process_id, declared, runs in (("usual", {}, 5), ("declared", {"expected_duration": 9}, None)):
        world.create(id=process_id, name="nightly", **declared)
        assert world.registry.view(world.registry.entries[process_id]).expected_runs == runs
    world.clock.now += 48
    world.watch.evaluate()
    (report,) = world.registry.entries["usual"].conditions
    assert report.reason == "4.0x its usual 12 s, usual from 5 earlier runs"
