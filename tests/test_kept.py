"""Answers from kept bytes are the answers: whatever changes in a process, its view or its children is in the next one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest

from headway.api.answers import summary
from headway.api.kept import summary_bytes
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
)
from headway.registry.entry import Entry
from headway.registry.logs import LogTail
from headway.samples import Sample
from headway.view import Limits, View
from records import T0

TEXT = 'half % done, 100 %b \x00 " \\ ünï'
SPEC = Spec(name="job", kind=Kind.TASK, created_at=T0)
ACTIVITY = Activity(updated_at=T0 + 1, current=3.0, total=10.0, unit="rows", last_line="line 1")
PROCESS = Process(id="p", spec=SPEC, state=Running(T0), activity=ACTIVITY, metadata={"a": 1})
LIMITS = Limits(stuck_after=60, time_sink_ratio=2, cpu_ratio=0.8, memory_ratio=0.7)
VIEW = View(process=PROCESS, now=T0 + 5, limits=LIMITS, rate=0.5, eta=14.0, eta_range=(10.0, 20.0))

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
    State: [Done(T0, T0 + 3, 0), Failed(T0, T0 + 4, 1, None, TEXT)],
    Limits: [Limits(stuck_after=None, time_sink_ratio=3, cpu_ratio=0.8, memory_ratio=0.7)],
    tuple[float, float] | None: [(1.0, 2.5), None],
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


def views() -> Iterator[View]:
    yield from variants(VIEW, "process")
    records = [
        *variants(PROCESS, "id", "spec", "activity", "metadata"),
        *(dataclasses.replace(PROCESS, spec=spec) for spec in variants(SPEC)),
        *(dataclasses.replace(PROCESS, activity=activity) for activity in variants(ACTIVITY)),
        *(dataclasses.replace(PROCESS, metadata=metadata) for metadata in ({"a": True}, {"a": 1.0}, {"a": TEXT}, {})),
    ]
    for record in records:
        yield dataclasses.replace(VIEW, process=record)


def entry() -> Entry:
    return Entry(PROCESS, LogTail(10, 1000), None, T0)


def whole(view: View, children: list[str]) -> str:
    """Spelled out, because in Python 1 and true are equal."""
    return repr(json.loads(json.dumps(summary(view, children))))


@pytest.mark.parametrize("view", list(views()))
def test_a_change_is_in_the_next_answer_and_its_return_in_the_one_after(view: View) -> None:
    one = entry()
    for shown in (VIEW, view, VIEW, view):
        assert repr(json.loads(summary_bytes(one, shown, one.children))) == whole(shown, [])


def test_children_come_and_go() -> None:
    one = entry()
    for children in (set(), {"b", "a"}, {"a"}, {"c"}, set()):
        one.children = children
        assert repr(json.loads(summary_bytes(one, VIEW, one.children))) == whole(VIEW, sorted(children))
    one.children.add("d")
    assert json.loads(summary_bytes(one, VIEW, one.children))["children"] == ["d"], "in place too"


def test_what_stays_is_not_written_again() -> None:
    one = entry()
    summary_bytes(one, VIEW, one.children)
    kept = one.shown
    moved = dataclasses.replace(
        PROCESS, activity=dataclasses.replace(ACTIVITY, current=4.0, updated_at=T0 + 9, last_line=TEXT, seq=3)
    )
    summary_bytes(one, dataclasses.replace(VIEW, process=moved, now=T0 + 9, rate=None, eta=1.0, eta_range=None), one.children)
    assert kept is not None and one.shown is kept
