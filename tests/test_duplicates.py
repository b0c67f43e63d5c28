"""Duplicates: who runs the same command in the same folder, and who does not count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gate_cases import LIMITS, START, process
from headway.duplicates import ancestors_of, duplicates
from headway.gates import (
    conditions,
)
from headway.model import (
    Condition,
    ConditionReport,
    Done,
    OSProcess,
    Process,
    Queued,
    Running,
    Severity,
    State,
    Stopping,
)


def twin(id: str, started: float, **fields: Any) -> Process:
    return process(id, state=Running(started), **{"command": "make all", "cwd": "/src", "host": "h", **fields})


def test_the_later_of_two_is_the_duplicate() -> None:
    found = duplicates([twin("b", START + 75), twin("a", START)])
    assert list(found) == ["b"]
    assert found["b"] == ConditionReport(
        Condition.DUPLICATE,
        Severity.WARNING,
        START + 75,
        "same command and directory as build (a), which started 75 s earlier and still runs",
        ("a",),
        "same command and directory as another process, which started 75 s earlier and still runs",
    )
    assert conditions(twin("b", START + 75), now=START + 80, limits=LIMITS, duplicate=found["b"]) == (found["b"],)


@pytest.mark.parametrize("other", [{"command": "make one"}, {"cwd": "/other"}, {"host": "i"}, {"command": None}])
def test_something_else_is_no_duplicate(other: dict[str, Any]) -> None:
    assert duplicates([twin("a", START), twin("b", START + 1, **other)]) == {}
    assert duplicates([twin("a", START, **other), twin("b", START + 1)]) == {}


@pytest.mark.parametrize("state", [Queued(), Stopping(START, START + 1), Done(START, START + 1)])
def test_what_does_not_run_is_no_duplicate(state: State) -> None:
    idle = process("b", state=state, command="make all", cwd="/src", host="h")
    assert duplicates([twin("a", START), idle]) == {}


def test_workers_and_nested_records_are_no_duplicates() -> None:
    assert duplicates([twin("a", START), twin("b", START + 1, parent_id="a")]) == {}
    assert duplicates([twin("a", START, parent_id="x"), twin("b", START + 1, parent_id="x")]) == {}
    assert duplicates([twin("a", START), process("m", parent_id="a"), twin("b", START + 1, parent_id="m")]) == {}
    found = [
        replace(twin(id, START, name=name), metadata={"discovered_by": "pm2"}) for id, name in (("a", "api-0"), ("b", "api-1"))
    ]
    assert duplicates(found) == {}
    assert list(duplicates([found[0], replace(found[1], spec=found[0].spec)])) == ["b"], "of one name they are"
    same = {"os_process": OSProcess(7, 1.0, 4)}
    assert duplicates([twin("a", START, **same), twin("b", START + 1, **same)]) == {}
    assert list(duplicates([twin("a", START, **same), twin("b", START + 1, os_process=OSProcess(8, 1.0, 4))])) == ["b"]


def test_whom_one_program_brought_forth_are_no_duplicates() -> None:
    family = [twin("a", START), twin("b", START + 1), twin("z", START + 2)]
    assert list(duplicates(family, lambda one, other: "z" not in (one.id, other.id))) == ["z"]


def test_a_stranger_among_many_workers_is_found() -> None:
    workers = [twin(f"w{i}", START + i, parent_id="pool") for i in range(50)]
    assert list(duplicates([*workers, twin("z", START + 99)])) == ["z"]


def test_ancestors_end_at_a_cycle() -> None:
    assert list(ancestors_of("a", {"a": "b", "b": "c", "c": "a"})) == ["b", "c"]
    assert list(ancestors_of("a", {"a": "a"})) == []


def test_those_that_wait_for_their_turn_in_one_group_were_asked_for() -> None:
    """`headway run --at-most 2 --group encode`, ten times the same worker."""
    lined = [replace(twin(id, START + n, group="encode"), metadata={"at_most": 2}) for n, id in enumerate("ab")]
    assert duplicates(lined) == {}
    elsewhere = replace(twin("c", START + 2, group="other"), metadata={"at_most": 2})
    by_hand = twin("d", START + 3, group="encode")
    assert list(duplicates([*lined, elsewhere])) == ["c"]
    assert list(duplicates([*lined, by_hand])) == ["d"]
