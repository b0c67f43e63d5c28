"""Answers from kept bytes are the answers: whatever changes in a process, its view or its children is in the next one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest

from headway.api.answers import summary
from headway.api.kept import summary_bytes
from headway.estimate import Estimator
from headway.model import (
    Activity,
    Condition,
    ConditionReport,
    Done,
    Failed,
    Kind,
    OSProcess,
    Process,
    Running,
    Severity,
    Spec,
    State,
    Thresholds,
    Usage,
    Waiting,
)
from headway.names import NameStats
from headway.registry.entry import Entry
from headway.registry.logs import LogTail
from headway.registry.registry import Registry
from headway.samples import Sample
from headway.settings import Settings
from records import T0
from registry_world import HOST, Clock, HandWriter

TEXT = 'half % done, 100 %b \x00 " \\ ünï'
SPEC = Spec(name="job", kind=Kind.TASK, created_at=T0)
ACTIVITY = Activity(updated_at=T0 + 1, current=3.0, total=10.0, unit="rows", last_line="line 1")
PROCESS = Process(id="p", spec=SPEC, state=Running(T0), activity=ACTIVITY, metadata={"a": 1})

# Another value for a field of this type.
OTHER: dict[Any, list[Any]] = {
    str: [TEXT],
    str | None: [TEXT, None],
    float: [T0 + 77.25],
    float | None: [T0 + 77.25, 0.0, None],
    int: [7],
    int | None: [7, 0, None],
    bool: [True, False],
    Kind: [Kind.CRON],
    OSProcess | None: [OSProcess(7, 8.5), None],
    Thresholds: [Thresholds(stuck_after=5)],
    Usage | None: [Usage(cpu_seconds=1.5, peak_memory_bytes=9), Usage(), None],
    Waiting | None: [Waiting(TEXT, T0), Waiting("answer", T0 + 1), Waiting("answer", T0, T0 + 1), None],
    State: [Done(T0, T0 + 3, 0), Failed(T0, T0 + 4, 1, None, TEXT)],
    tuple[str, ...]: [("q",), ()],
    tuple[ConditionReport, ...]: [(ConditionReport(Condition.STUCK, Severity.WARNING, T0, TEXT),), ()],
    Sample | None: [Sample(at=T0, alive=True, cpu_ratio=0.5, resident_bytes=9), Sample(at=T0 + 2, alive=True, cpu_ratio=0.7), None],
}


def variants(value: Any, *leave: str) -> Iterator[Any]:
    """The value with each of its fields changed, one at a time."""
    hints = get_type_hints(type(value))
    for field in dataclasses.fields(value):
        if field.name not in leave:
            for other in OTHER[hints[field.name]]:
                yield dataclasses.replace(value, **{field.name: other})


def records() -> list[Process]:
    return [
        *variants(PROCESS, "id", "spec", "activity", "metadata"),
        *(dataclasses.replace(PROCESS, spec=spec) for spec in variants(SPEC)),
        *(dataclasses.replace(PROCESS, activity=activity) for activity in variants(ACTIVITY)),
        *(dataclasses.replace(PROCESS, metadata=metadata) for metadata in ({"a": True}, {"a": 1.0}, {"a": TEXT}, {})),
    ]


# What an answer is made of beside the record.
BESIDE: dict[str, list[Any]] = {
    "sample": [*OTHER[Sample | None], Sample(at=T0, alive=True, state="S", cpu_seconds=2.5, proportional_bytes=4)],
    "conditions": OTHER[tuple[ConditionReport, ...]],
    "blocked_by": OTHER[tuple[str, ...]],
    "peak_memory_bytes": [2**40],
}


class Shown:
    """An entry in a registry of its own, and its answers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.now = T0 + 5
        self.registry = Registry(Settings(), HandWriter(), HOST, self.clock)
        self.entry = Entry(PROCESS, LogTail(10, 1000), Estimator(T0), T0)

    def answer(self, user: str | None = None) -> str:
        return repr(json.loads(summary_bytes(self.registry, self.entry, user, self.entry.children)))

    def whole(self, user: str | None = None) -> str:
        """Spelled out, because in Python 1 and true are equal."""
        view = self.registry.view(self.entry, self.clock.now, user, patient=True)
        return repr(json.loads(json.dumps(summary(view, sorted(self.entry.children)))))


@pytest.mark.parametrize("record", records())
def test_a_change_is_in_the_next_answer_and_its_return_in_the_one_after(record: Process) -> None:
    one = Shown()
    for one.entry.process in (PROCESS, record, PROCESS, record):
        assert one.answer() == one.whole()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BESIDE.items() for value in values])
def test_what_stands_beside_the_record_too(name: str, value: Any) -> None:
    one = Shown()
    before = getattr(one.entry, name)
    for each in (before, value, before, value):
        setattr(one.entry, name, each)
        assert one.answer() == one.whole()


def test_time_progress_and_the_history_of_the_name_are_in_it() -> None:
    one = Shown()
    seen = {one.answer()}
    one.registry.totals.names["job", Kind.TASK] = NameStats(name="job", kind=Kind.TASK, good_durations=(5.0, 6.0, 7.0))
    for step in range(1, 4):
        assert one.entry.estimator is not None
        one.entry.estimator.add(T0 + 5 + step, 3.0 + step)
        one.clock.now += 2.0
        seen.add(one.answer())
        assert one.answer() == one.whole()
    assert len(seen) == 4 and "'expected_duration': 6.0" in one.answer()


def test_the_answer_to_a_reporter_leaves_forecasts_to_who_looks() -> None:
    one = Shown()
    estimator = one.entry.estimator
    assert estimator is not None
    done = 0.0
    for seconds in (*range(1, 31), 36, 42):  # then six times as slow
        done += 1
        estimator.add(T0 + 5 + seconds, done)
        one.clock.now = T0 + 5 + seconds
        one.entry.process = dataclasses.replace(PROCESS, activity=dataclasses.replace(ACTIVITY, current=done, total=100.0))
        one.answer()
    assert estimator.due
    one.registry.view(one.entry, one.clock.now)
    assert not estimator.due


def test_children_come_and_go() -> None:
    one = Shown()
    for children in (set(), {"b", "a"}, {"a"}, {"c"}, set()):
        one.entry.children = children
        assert one.answer() == one.whole()
    one.entry.children.add("d")
    assert "'children': ['d']" in one.answer(), "in place too"


def test_others_are_not_named_to_who_sees_one_user_only() -> None:
    one = Shown()
    one.entry.blocked_by = ("theirs",)
    assert "theirs" in one.answer() and "theirs" not in one.answer("me") and "theirs" in one.answer()
    assert one.answer("me") == one.whole("me")


def test_what_stays_is_not_written_again() -> None:
    one = Shown()
    one.answer()
    kept = one.entry.shown
    activity = dataclasses.replace(ACTIVITY, current=4.0, updated_at=T0 + 9, last_line=TEXT, seq=3)
    one.entry.process = dataclasses.replace(PROCESS, activity=activity)
    one.entry.seen(Sample(at=T0 + 8, alive=True, cpu_ratio=0.5, resident_bytes=9))
    one.clock.now += 4.0
    assert one.answer() == one.whole()
    assert kept is not None and one.entry.shown is kept
