"""Verdicts about real processes: the quick part of the corpus (`python -m bench.verdicts`), and the judge that compares."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The corpus is no installed package: it works from the clone.
sys.path.insert(0, str(Path(__file__).parent.parent))
from bench.scenarios import SCENARIOS
from bench.scenarios.judging import judge
from bench.scenarios.theatre import Theatre
from bench.scenarios.timeline import Timeline
from bench.scenarios.truth import GATES, May, Must, Scenario, Verdict, When
from bench.verdicts import main, table

from serving import started_in

ATTEMPTS = 3


def test_the_quick_part_of_the_corpus_is_judged_right(tmp_path: Path) -> None:
    """Where the machine was too busy for a truth to come about, there is nothing to judge, and it is tried again."""
    found: dict[str, Verdict] = {}
    quick = [scenario for scenario in SCENARIOS if scenario.quick]
    for attempt in range(ATTEMPTS):
        left = [scenario for scenario in quick if scenario.name not in found or found[scenario.name].void]
        if left:
            with Theatre(
                tmp_path / str(attempt), len(left), lambda scenario, verdict: found.update({scenario.name: verdict})
            ) as on:
                on.play(left)
    assert {name: verdict.wrong for name, verdict in found.items() if verdict.wrong} == {}
    assert len(found) == len(quick) >= 10
    assert list(started_in(tmp_path)) == [], "something was left behind"


def test_the_corpus_is_large_enough_and_every_gate_occurs(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(SCENARIOS) == len({scenario.name for scenario in SCENARIOS}) >= 40
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    for gate in GATES:
        assert f"{gate} (" in listed


# ── the judge ───────────────────────────────────────────────────────────────────────────────────────────────────────

MARKS = {"started": [100.0], "silent": [102.0], "over": [120.0]}
CLAIM = Must(gate="stuck", severity="critical", since=When(mark="silent", plus=6), until=When(mark="over"), within=5)


def said(*spans: tuple[str, str, float, float | None]) -> Timeline:
    """(gate, severity, from, to)"""
    timeline = Timeline()
    for at in [100 + n / 5 for n in range(151)]:
        held = {(gate, severity): "why" for gate, severity, begin, end in spans if begin <= at and (end is None or at < end)}
        timeline.add(at, held)
    return timeline


def judged(timeline: Timeline, *must: Must, may: tuple[May, ...] = ()) -> Verdict:
    scenario = Scenario(name="s", about="", play=lambda stage: None, must=must, may=may)
    return judge(scenario, MARKS, {"": timeline}, 125.0)


@pytest.mark.parametrize(
    ("spans", "missed", "false_alarms"),
    [
        ([("stuck", "critical", 108.2, 120.4)], 0, 0),
        ([("stuck", "warning", 108.2, 110.0), ("stuck", "critical", 110.0, 120.4)], 0, 0),
        ([], 1, 0),
        ([("stuck", "critical", 114.0, 120.4)], 1, 0),  # too late
        ([("stuck", "critical", 108.2, 113.0)], 1, 0),  # it went away
        ([("stuck", "critical", 105.0, 120.4)], 1, 1),  # before its time
        ([("stuck", "warning", 108.2, 120.4)], 1, 1),  # of another severity
        ([("stuck", "critical", 108.2, None)], 0, 1),  # after its time
        ([("stuck", "critical", 108.2, 120.4), ("overdue", "critical", 110.0, 111.0)], 0, 1),  # another gate
    ],
)
def test_the_judge(spans: list[tuple[str, str, float, float | None]], missed: int, false_alarms: int) -> None:
    verdict = judged(said(*spans), CLAIM)
    assert (sum(verdict.missed.values()), sum(verdict.false_alarms.values())) == (missed, false_alarms), verdict.wrong
    assert verdict.good is (missed + false_alarms == 0)


def test_what_may_be_said_is_neither_missed_nor_a_false_alarm() -> None:
    may = May(gate="overdue", since=When(plus=5), until=When(plus=9))
    assert judged(said(("overdue", "critical", 105.0, 108.0)), may=(may,)).good
    assert not judged(said(("overdue", "critical", 103.0, 108.0)), may=(may,)).good
    assert judged(said(), may=(may,)).good


def test_precision_and_recall() -> None:
    right = Verdict(held={"stuck": 3}, silent={"stuck": 5})
    wrong = Verdict(held={"stuck": 1}, missed={"stuck": 4}, false_alarms={"stuck": 1})
    text, rows = table({"a": right, "b": wrong})
    assert (rows["stuck"]["precision"], rows["stuck"]["recall"], rows["stuck"]["rightly_silent"]) == (0.8, 0.5, 5)
    assert rows["zombie"]["precision"] == rows["zombie"]["recall"] == 1.0 and "stuck" in text
