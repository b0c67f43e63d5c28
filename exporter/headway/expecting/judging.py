"""Whether a run that was due has begun. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from headway.expecting.definition import Expected
from headway.services.cron import missed_between, next_due

# So long (s) before its time a run may begin: clocks of two machines, and cron that counts from the minute's start.
EARLY: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a name, in unix seconds: up to when its times were judged (`seen`), when its newest run began and of which
    type that was, how many were missed, and when the last of them was found missed."""

    seen: float
    last_run_at: float | None = None
    kind: str = "cron"
    missed: int = 0
    late_at: float | None = None


def due_at(expected: Expected, known: Known) -> float | None:
    """The first time that was not judged yet; None for a schedule that is never due again."""
    if expected.schedule is not None:
        return next_due(expected.schedule, known.seen)
    assert expected.every is not None
    return max(known.seen, known.last_run_at or 0.0) + expected.every


def begun(known: Known, at: float, kind: str) -> Known:
    """After the beginning of a run was heard of. One that began in time and was heard of too late was not missed."""
    heard_late = known.late_at is not None and known.seen - EARLY <= at <= known.late_at
    return replace(known, last_run_at=at, kind=kind, late_at=None if heard_late else known.late_at)


def judged(expected: Expected, known: Known, now: float) -> Known:
    """After the times whose grace is over. Of several only the last is judged: of the others nobody can say when no exporter was
    there to hear of their runs, and one that began since makes good for them all."""
    until = now - expected.grace
    first = due_at(expected, known)
    if first is None or first > until:
        return known
    if expected.schedule is not None:
        _, last = missed_between(expected.schedule, known.seen, until)
        assert last is not None
        in_time = known.last_run_at is not None and known.last_run_at >= last - EARLY
    else:
        assert expected.every is not None
        last, in_time = first + (until - first) // expected.every * expected.every, False
    if in_time:
        return replace(known, seen=last)
    return replace(known, seen=last, missed=known.missed + 1, late_at=now)
