"""A process and all that is derived from it at one moment: what the API answers and /metrics shows. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from headway.model import ConditionReport, Process
from headway.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The thresholds in force for one process, settings applied. None: this gate does not apply to it."""

    stuck_after: float | None
    time_sink_ratio: float | None
    cpu_ratio: float | None
    memory_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`rate` in items per second; `eta` and its range in seconds from `now`; None means unknown."""

    process: Process
    now: float
    limits: Limits
    rate: float | None = None
    eta: float | None = None
    eta_range: tuple[float, float] | None = None
    expected_duration: float | None = None
    sample: Sample | None = None
    conditions: tuple[ConditionReport, ...] = ()
    blocked_by: tuple[str, ...] = ()
