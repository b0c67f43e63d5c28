"""Processes, samples and limits of the tests of gates."""

from __future__ import annotations

from typing import Any

from headway.model import (
    Activity,
    ConditionReport,
    Kind,
    Process,
    Running,
    Spec,
    State,
)
from headway.samples import Sample
from headway.view import Limits

START = 1000.0
LIMITS = Limits(stuck_after=60.0, time_sink_ratio=2.0, cpu_ratio=0.8, memory_ratio=0.7, waiting_after=60.0)
OFF = Limits(stuck_after=None, time_sink_ratio=None, cpu_ratio=None, memory_ratio=None)


def process(id: str = "p1", state: State | None = None, **fields: Any) -> Process:
    """A running process of START; `fields` go to spec or activity, wherever they belong."""
    activity = {k: fields.pop(k) for k in list(fields) if k in Activity.__dataclass_fields__}
    spec = {"name": "build", "kind": Kind.PIPELINE, "created_at": START, **fields}
    return Process(id=id, spec=Spec(**spec), state=state or Running(START), activity=Activity(**{"updated_at": START, **activity}))


def sample(at: float, **fields: Any) -> Sample:
    return Sample(at=at, **{"alive": True, **fields})


def the(report: ConditionReport | None) -> ConditionReport:
    assert report is not None
    return report
