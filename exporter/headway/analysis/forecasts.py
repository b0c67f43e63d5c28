"""What will probably happen: past the timeout, a time sink, out of memory, a scheduled run that is missing. Pure.

How probable it is that a run takes longer than a limit follows from its time left and the range of it, which holds eight of ten
ends: beyond either bound lies a tenth. Without an estimate it follows from the earlier runs of its name that took at least as long
as this one has by now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from headway.analysis.findings import Subject
from headway.analysis.history import NameKey, good_durations
from headway.analysis.numbers import beyond, quantile, smoothed
from headway.estimate import BEFORE_PROGRESS
from headway.gates import time_sink_limit
from headway.model import Kind, Process
from headway.view import View

YES: Final = 0.9
LIKELY: Final = 0.5
LEAST_RUNS: Final = 3
# A window is known from so many runs on; it is late by this share of what is usual, and never by less than a minute.
WINDOW_RUNS: Final = 5
SLACK: Final = 0.1
LEAST_SLACK: Final = 60.0
IRREGULAR: Final = 0.5  # median distance of the gaps from their median, as a share of it, from which on there is no rhythm


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """`what`: timeout, time_sink or memory. `verdict`: yes (from 0.9 on), likely (from 0.5 on) or no. `limit_seconds` since the
    start, reached at `reached_at` (unix s) if it still runs then; None for memory. `basis` in words."""

    id: str
    name: str
    kind: Kind
    what: str
    verdict: str
    probability: float | None
    limit_seconds: float | None
    reached_at: float
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When runs of a scheduled name usually start and end, from `runs`. `missed`: start or end, where that has passed."""

    name: str
    kind: Kind
    runs: int
    every_seconds: float
    start_by_at: float | None
    end_by_at: float
    missed: str | None


def verdict(probability: float) -> str:
    return "yes" if probability >= YES else "likely" if probability >= LIKELY else "no"


def overrun(
    view: View, limit: float, earlier: Sequence[float] = (), alone: tuple[float, float, float] | None = None
) -> tuple[float, str] | None:
    """How probable it is that the run takes longer than `limit` seconds in all, and from what that follows; None when nothing is
    known. `earlier`: durations of good runs of its name. `alone`: see :class:`headway.analysis.findings.Subject`.

    An earlier run is believed for long, which makes the best time left and a late alarm; who knows this run only alarms early,
    and often for nothing. The mean of both is nearer to what comes true than either's alarm (bench/forecast.py).
    """
    elapsed = view.process.elapsed(view.now)
    if elapsed is None:
        return None
    if elapsed >= limit:
        return 1.0, "it has already"
    if view.eta is not None:
        low, high = view.eta_range or (view.eta * BEFORE_PROGRESS[0], view.eta * BEFORE_PROGRESS[1])
        probability = beyond(limit - elapsed, view.eta, low, high)
        if alone is None:
            return probability, "time left and its range"
        return (probability + beyond(limit - elapsed, *alone)) / 2, "time left and its range, with earlier runs and without"
    if len(earlier) < LEAST_RUNS:
        return None
    lasted = [duration for duration in earlier if duration >= elapsed]
    hits = sum(duration > limit for duration in lasted)
    if not lasted:
        return smoothed(0, 0), f"it is longer than all {len(earlier)} earlier runs"
    return smoothed(hits, len(lasted)), f"{hits} of the {len(lasted)} earlier runs that lasted as long"


def forecasts(subjects: Sequence[Subject], history: Mapping[NameKey, Sequence[Process]]) -> list[Forecast]:
    """Of every process with a timeout or an expected duration, the most probable first; and of memory that will be used up."""
    found = []
    for subject in subjects:
        view, process = subject.view, subject.process
        started = process.started_at
        if started is None or not process.status.active:
            continue
        earlier = good_durations(history.get((process.name, process.kind), ()))
        sink = time_sink_limit(process, view.limits, view.expected_duration)
        limits = [("timeout", process.spec.timeout), ("time_sink", sink)]
        for what, limit in limits:
            answer = None if not limit else overrun(view, limit, earlier, subject.alone)
            if limit and answer is not None:
                probability, basis = answer
                found.append(_forecast(process, what, probability, limit, started + limit, basis))
        if (full_in := subject.memory_full_in) is not None:
            left = view.eta_range if view.eta_range is not None else (view.eta, view.eta)
            if left[1] is None or full_in < left[1]:
                sure = left[0] is not None and full_in < left[0]
                basis = "its memory grows by a straight line" + ("" if view.eta is None else ", and its time left")
                found.append(_forecast(process, "memory", YES if sure else LIKELY, None, view.now + full_in, basis, sure))
    return sorted(found, key=lambda one: (-(one.probability or LIKELY), one.reached_at, one.id, one.what))


def _forecast(
    process: Process, what: str, probability: float, limit: float | None, at: float, basis: str, sure: bool | None = None
) -> Forecast:
    return Forecast(
        id=process.id,
        name=process.name,
        kind=process.kind,
        what=what,
        verdict=verdict(probability),
        # A straight line has no probability: the memory verdict is from the order of two times alone.
        probability=probability if sure is None else None,
        limit_seconds=limit,
        reached_at=at,
        basis=basis,
    )


def window(key: NameKey, runs: Sequence[Process], now: float, active_since: float | None) -> Window | None:
    """`runs` that ended, the earliest first; `active_since`: the start of the run that goes on now. None where there is no rhythm.

    The gaps that happened before are usual: a job of workdays is not missed on a Saturday.
    """
    starts = sorted(run.started_at for run in runs if run.started_at is not None)
    durations = sorted(good_durations(runs))
    if len(starts) < WINDOW_RUNS or len(durations) < LEAST_RUNS:
        return None
    gaps = [b - a for a, b in pairwise(starts)]
    every = median(gaps)
    if every <= 0 or median(abs(gap - every) for gap in gaps) > IRREGULAR * every:
        return None
    longest, usual = max(gaps), quantile(durations, 0.95)
    start_by = starts[-1] + longest + max(LEAST_SLACK, SLACK * every)
    if active_since is not None:
        end_by = active_since + usual + max(LEAST_SLACK, SLACK * usual)
        missed = "end" if now > end_by else None
    else:
        end_by = start_by + usual + max(LEAST_SLACK, SLACK * usual)
        missed = "start" if now > start_by else None
    return Window(
        name=key[0],
        kind=key[1],
        runs=len(starts),
        every_seconds=every,
        start_by_at=None if active_since is not None else start_by,
        end_by_at=end_by,
        missed=missed,
    )
