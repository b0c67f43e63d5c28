"""What is usual of each name: how often it fails, how long it takes, whether that changes, and its most common errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from headway.analysis.history import NameKey, by_name, good_durations, is_failure, is_stopped
from headway.analysis.messages import ErrorGroup, groups
from headway.analysis.numbers import Trend, quantile, trend, wilson
from headway.model import Kind, Process, Status

SLOW: Final = 2.0  # times the median, as a time sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """`runs` ended in the timeframe; `stopped` of them by somebody's wish, which is neither good nor bad: the failure rate is that
    of the others, within `failure_rate_range` with 95% confidence. Durations are those of the `timed` runs that are done;
    `slow_runs` took twice the median. Seconds; None is unknown."""

    name: str
    kind: Kind
    runs: int
    done: int
    failed: int
    stopped: int
    failure_rate: float | None
    failure_rate_range: tuple[float, float] | None
    timed: int
    duration_mean: float | None
    duration_median: float | None
    duration_p95: float | None
    duration_trend: Trend | None
    slow_runs: int
    errors: tuple[ErrorGroup, ...]
    last_status: Status
    last_finished_at: float
    last_id: str

    @property
    def judged(self) -> int:
        return self.done + self.failed


def pattern(key: NameKey, runs: Sequence[Process]) -> Pattern:
    """`runs` of one name, the earliest end first, at least one."""
    name, kind = key
    failed = [run for run in runs if is_failure(run)]
    stopped = sum(map(is_stopped, runs))
    done = len(runs) - len(failed) - stopped
    judged = done + len(failed)
    durations = good_durations(runs)
    ordered = sorted(durations)
    middle = quantile(ordered, 0.5) if ordered else None
    return Pattern(
        name=name,
        kind=kind,
        runs=len(runs),
        done=done,
        failed=len(failed),
        stopped=stopped,
        failure_rate=len(failed) / judged if judged else None,
        failure_rate_range=wilson(len(failed), judged) if judged else None,
        timed=len(durations),
        duration_mean=fmean(durations) if durations else None,
        duration_median=middle,
        duration_p95=quantile(ordered, 0.95) if ordered else None,
        duration_trend=trend(durations),
        slow_runs=sum(d >= SLOW * middle for d in durations) if middle else 0,
        errors=groups(failed),
        last_status=runs[-1].status,
        last_finished_at=runs[-1].finished_at or 0.0,
        last_id=runs[-1].id,
    )


def patterns(history: Iterable[Process]) -> list[Pattern]:
    """Of every name, those with most failures first, then those with most runs."""
    found = [pattern(key, runs) for key, runs in by_name(history).items()]
    return sorted(found, key=lambda p: (-p.failed, -p.runs, p.name, p.kind))
