"""Gates that judge a name, not one process of it. Pure: standard library only, `now` is an argument.

What ended badly: failed, timed out, lost, or killed by someone unknown. Runs that somebody ended on purpose say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headway.gates import span
from headway.model import Kind, Severity
from headway.names import NameStats


class NameCondition(StrEnum):
    """What can be true of a name."""

    FAILING = "failing"
    CRON_MISSED = "cron_missed"


@dataclass(frozen=True, slots=True)
class NameReport:
    """One condition of a name that holds, since when (unix s), how bad, and the evidence in words."""

    name: str
    kind: Kind
    condition: NameCondition
    severity: Severity
    since: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """When a schedule last began a run, and when it last missed one: because nothing started it in time (late), or because the one
    before still went on (overlap). Unix seconds; None: never."""

    name: str
    kind: Kind
    last_run_at: float | None
    late_at: float | None
    overlapped_at: float | None


def failing(stats: NameStats, *, now: float, rate: float | None, runs: int, window: float) -> NameReport | None:
    """At least `runs` of the latest ends of the name lie within `window` (s), and a share of `rate` of those or more was bad.

    None as `rate` switches the gate off. Since the end from which on that held without a break.
    """
    ends = [end for end in stats.recent if end[0] > now - window]
    if rate is None or not _too_many(ends, rate, runs):
        return None
    bad, first = sum(failed for _, failed in ends), len(ends)
    while _too_many(ends[: first - 1], rate, runs):
        first -= 1
    reason = f"{bad} of its last {len(ends)} runs ended badly, all within {span(window)}"
    return NameReport(stats.name, stats.kind, NameCondition.FAILING, Severity.WARNING, ends[first - 1][0], reason)


def cron_missed(found: Runs, *, now: float) -> NameReport | None:
    """A run was due and did not begin, and none has begun since. Low when the one before still went on: that is its policy."""
    begun = found.last_run_at or 0.0
    if found.late_at is not None and found.late_at > begun:
        severity, at, why = Severity.WARNING, found.late_at, "nothing started it in time"
    elif found.overlapped_at is not None and found.overlapped_at > begun:
        severity, at, why = Severity.LOW, found.overlapped_at, "the one before still went on"
    else:
        return None
    last = "none has begun so far" if found.last_run_at is None else f"the last one began {span(now - found.last_run_at)} ago"
    reason = f"a run was due and did not begin, as was seen {span(now - at)} ago: {why}; {last}"
    return NameReport(found.name, found.kind, NameCondition.CRON_MISSED, severity, at, reason)


def _too_many(ends: list[tuple[float, bool]], rate: float, runs: int) -> bool:
    return len(ends) >= max(1, runs) and sum(failed for _, failed in ends) / len(ends) >= rate
