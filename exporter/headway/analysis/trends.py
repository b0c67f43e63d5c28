"""How things went over time, in steps: failures, durations, what was used, time sinks, cost. Pure; from the store, for when
Prometheus is away or must not be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from headway.analysis.history import NameKey, by_name, duration, good_durations, is_failure, is_stopped
from headway.analysis.numbers import quantile
from headway.analysis.patterns import SLOW
from headway.analysis.suggestion import LEAST_RUNS
from headway.costs import Price, cost
from headway.gates import time_sink_limit
from headway.model import Process
from headway.view import TIME_SINK_AFTER, Limits

SERIES: Final = (
    *("ended", "failed", "failure_rate", "duration_p50", "duration_p95"),
    *("cpu_cores", "memory_bytes", "time_sinks", "cost_dollars"),
)
# As many points as fit on a line of a terminal, at steps that people know.
POINTS: Final = 60
STEPS: Final = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400)
SHORTEST: Final = 600.0
LONGEST: Final = 366 * 86400.0

Series = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    """`source`: prometheus or store; `note` says why not Prometheus, or what is missing. `series` have a value for each step, which
    ends at the time of the same place in `ends` (unix s); None where nothing is known, or nothing ended. Durations in seconds."""

    source: str
    note: str | None
    step_seconds: float
    ends: Sequence[float]
    series: Series


@dataclass(frozen=True, slots=True)
class Grid:
    """Steps of a timeframe; the last one ends at `until`."""

    step: float
    ends: tuple[float, ...]

    @property
    def since(self) -> float:
        return self.ends[0] - self.step


def grid(timeframe: float, until: float) -> Grid:
    """At most 60 steps of a length that people know, which together cover the timeframe (s)."""
    step = next((float(s) for s in STEPS if timeframe / s <= POINTS), float(STEPS[-1]))
    count = max(1, round(timeframe / step + 0.49))
    return Grid(step, tuple(until - step * (count - 1 - k) for k in range(count)))


def from_history(history: Sequence[Process], where: Grid, prices: Sequence[Price] = ()) -> Series:
    """What ended in each step. CPU time counts evenly over the time a run took, as the mean number of cores; memory is the sum of
    the peaks of what ran in the step, so never less than what was used at once. What runs still is not in it; what ran within a run
    that is in it was measured with that one's tree, and is not added to it."""
    slots: list[list[Process]] = [[] for _ in where.ends]
    cores, memory = [0.0] * len(where.ends), [0.0] * len(where.ends)
    known = False
    measured = {run.id for run in history if run.usage is not None}
    for run in history:
        place = _slot(where, run.finished_at or 0.0)
        if place is not None:
            slots[place].append(run)
        outermost = run.spec.parent_id not in measured
        if run.usage is not None and outermost and run.started_at is not None and run.finished_at is not None:
            known = True
            _spread(where, run.started_at, run.finished_at, run.usage.cpu_seconds or 0.0, cores)
            for index in _touched(where, run.started_at, run.finished_at):
                memory[index] += run.usage.peak_memory_bytes or 0
    usual = {
        key: median(durations) for key, runs in by_name(history).items() if len(durations := good_durations(runs)) >= LEAST_RUNS
    }
    steps = [_step(runs, usual, prices) for runs in slots]
    found: dict[str, Sequence[float | None]] = {name: [step[name] for step in steps] for name in SERIES if name in steps[0]}
    found["cpu_cores"] = list(cores) if known else [None] * len(cores)
    found["memory_bytes"] = list(memory) if known else [None] * len(memory)
    return found


def _step(runs: Sequence[Process], usual: Mapping[NameKey, float], prices: Sequence[Price]) -> dict[str, float | None]:
    failed = sum(map(is_failure, runs))
    judged = len(runs) - sum(map(is_stopped, runs))
    durations = sorted(d for run in runs if (d := duration(run)) is not None)
    return {
        "ended": len(runs),
        "failed": failed,
        "failure_rate": failed / judged if judged else None,
        "duration_p50": quantile(durations, 0.5) if durations else None,
        "duration_p95": quantile(durations, 0.95) if durations else None,
        "time_sinks": sum(_sank(run, usual) for run in runs),
        "cost_dollars": sum(cost(run.metadata, prices) or 0.0 for run in runs),
    }


def _sank(run: Process, usual: Mapping[NameKey, float]) -> bool:
    """Took twice what was declared, or what its name usually takes in this history and long enough to be a time sink."""
    took, own = duration(run), run.spec.thresholds
    limits = Limits(
        stuck_after=None,
        time_sink_ratio=own.time_sink_ratio or SLOW,
        time_sink_after=TIME_SINK_AFTER if own.time_sink_after is None else own.time_sink_after,
        cpu_ratio=None,
        memory_ratio=None,
    )
    limit = time_sink_limit(run, limits, run.spec.expected_duration or usual.get((run.name, run.kind)))
    return took is not None and limit is not None and took >= limit


def _slot(where: Grid, at: float) -> int | None:
    index = int((at - where.since) // where.step)
    return index if 0 <= index < len(where.ends) else len(where.ends) - 1 if at == where.ends[-1] else None


def _touched(where: Grid, start: float, end: float) -> range:
    first = max(0, int((start - where.since) // where.step))
    return range(first, min(len(where.ends), int((end - where.since) // where.step) + 1))


def _spread(where: Grid, start: float, end: float, amount: float, into: list[float]) -> None:
    whole = max(end - start, 1e-9)
    for index in _touched(where, start, end):
        left = where.since + index * where.step
        part = max(0.0, min(end, left + where.step) - max(start, left)) if end > start else whole
        into[index] += amount * part / whole / where.step
