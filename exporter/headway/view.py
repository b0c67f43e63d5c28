"""A process and all that is derived from it at one moment: what the API answers and /metrics shows. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headway.model import ConditionReport, Process, Usage, record
from headway.samples import Sample

TIME_SINK_CRITICAL_RATIO: Final = 3.0
# A process that is measured by its earlier runs is no time sink before (s): that is how long it takes until a scrape, a look at the
# rules and the pause for what comes together have made a message of it. What is over by then needs nobody.
TIME_SINK_AFTER: Final = 10.0
# A process with a time sink limit of its own above 2 is not critical at once: critical is at least half as much again, as 3 is
# of 2.
CRITICAL_OVER_WARNING: Final = 1.5


def critical_ratio(ratio: float | None, least: float = TIME_SINK_CRITICAL_RATIO) -> float | None:
    """From which multiple of the expected duration on a time sink is critical, where it is one at all from `ratio` on."""
    return None if ratio is None else max(least, ratio * CRITICAL_OVER_WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The thresholds in force for one process, settings applied. None: this gate does not apply to it."""

    stuck_after: float | None
    time_sink_ratio: float | None
    cpu_ratio: float | None
    memory_ratio: float | None
    # From so many times the expected duration on a time sink is critical; None: worked out from `time_sink_ratio`.
    time_sink_critical_ratio: float | None = None
    # Waiting for a person for so long it needs one (s); None: nobody is told.
    waiting_after: float | None = None
    # Running for less it is no time sink, where what is expected was learned; None: no such floor.
    time_sink_after: float | None = None


@record
class View:
    """`rate` in items per second; `eta` and its range in seconds from `now`; None means unknown. `expected_runs`: on how many
    earlier runs the expected duration rests; None when it was declared."""

    process: Process
    now: float
    limits: Limits
    rate: float | None = None
    eta: float | None = None
    eta_range: tuple[float, float] | None = None
    expected_duration: float | None = None
    expected_runs: int | None = None
    sample: Sample | None = None
    conditions: tuple[ConditionReport, ...] = ()
    blocked_by: tuple[str, ...] = ()
    # What it used so far, or in all; what it cost so far in dollars, as far as that is known.
    usage: Usage | None = None
    cost: float | None = None
    # The port on which it waits for callers, where that is why its silence says nothing.
    serves: int | None = None
