"""Processes for tests: short builders, and random ones that use every field."""

from __future__ import annotations

import dataclasses
from typing import Any, cast, get_type_hints

from hypothesis import strategies as st

from headway.model import (
    STATES,
    Activity,
    Done,
    Ending,
    Kind,
    OSProcess,
    Process,
    Running,
    Spec,
    State,
    Status,
    Thresholds,
    Transition,
    Usage,
    Waiting,
)
from headway.names import LastRun, NameStats
from headway.store.base import LogLine
from headway.used import Used

T0 = 1_732_000_000.0


def process(
    id: str = "p",
    state: State | None = None,
    *,
    at: float = T0,
    metadata: Any = None,
    dismissed_at: float | None = None,
    **spec: Any,
) -> Process:
    """A running process created at `at`, unless a state is given; other arguments go into its spec, `updated_at` and
    `current` into its activity."""
    activity = Activity(updated_at=spec.pop("updated_at", at), current=spec.pop("current", None))
    fields: dict[str, Any] = {"name": "job", "created_at": at} | spec
    return Process(
        id=id,
        spec=Spec(**fields),
        state=state if state is not None else Running(at),
        activity=activity,
        metadata=metadata or {},
        dismissed_at=dismissed_at,
    )


def done(id: str, finished_at: float, **more: Any) -> Process:
    return process(id, Done(more.get("at", T0), finished_at), **more)


def created(process: Process) -> Transition:
    return Transition(process.id, process.spec.created_at, None, process.status, "created")


def line(process_id: str, number: int, text: str = "hello") -> LogLine:
    return LogLine(process_id, number, T0 + number, text)


# ── random ones ─────────────────────────────────────────────────────────────────────────────────────────────────────

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
os_processes = st.builds(OSProcess, st.integers(1, 4_194_304), st.none() | numbers, st.none() | st.integers(0, 2**32))
_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    float: numbers,
    int: st.integers(-(2**31), 2**31),
    bool: st.booleans(),
    Kind: st.sampled_from(Kind),
    Thresholds: st.builds(Thresholds, stuck_after=st.none() | numbers, waiting_after=st.none() | numbers),
    str | None: st.none() | texts,
    float | None: st.none() | numbers,
    int | None: st.none() | st.integers(-(2**31), 2**31),
    OSProcess | None: st.none() | os_processes,
}


def any_of(model: type, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Instances of a dataclass with every field drawn by its type: a field that is added to the model is drawn too."""
    hints = get_type_hints(model)
    drawn: dict[str, Any] = {
        f.name: given[f.name] if f.name in given else _BY_TYPE[hints[f.name]] for f in dataclasses.fields(model)
    }
    return st.builds(model, **drawn)


_BY_TYPE[LastRun | None] = st.none() | any_of(LastRun, values=st.dictionaries(texts, numbers, max_size=3))
_BY_TYPE[Used] = any_of(Used)
_BY_TYPE[Used | None] = st.none() | any_of(Used)
_BY_TYPE[Waiting | None] = st.none() | any_of(Waiting)
_BY_TYPE[Ending | None] = st.none() | any_of(Ending)
states = st.one_of([any_of(cast(type, state)) for state in STATES.values()])
processes = any_of(
    Process,
    id=st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=64),
    spec=any_of(Spec),
    state=states,
    activity=any_of(Activity),
    metadata=st.dictionaries(texts, json_values, max_size=4),
    usage=st.none() | any_of(Usage),
)
names = any_of(
    NameStats,
    finished=st.dictionaries(st.sampled_from(Status), st.integers(0, 2**40)),
    duration_counts=st.lists(st.integers(0, 2**40), min_size=15, max_size=15).map(tuple),
    last_status=st.none() | st.sampled_from(Status),
    gate_trips=st.dictionaries(texts, st.integers(0, 2**40), max_size=3),
    project_costs=st.dictionaries(texts, numbers, max_size=3),
    good_durations=st.lists(numbers, max_size=10).map(tuple),
    shapes=st.lists(st.lists(numbers, max_size=5).map(tuple), max_size=3).map(tuple),
    recent=st.lists(st.tuples(numbers, st.booleans()), max_size=20).map(tuple),
)
