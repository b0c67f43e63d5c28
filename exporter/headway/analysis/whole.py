"""The analysis: what is slow, why, and what to do. Composes the others. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from headway.analysis import findings
from headway.analysis.findings import Bottleneck, Duplicate, Stuck, Subject, TimeSink, Waits
from headway.analysis.forecasts import Forecast, Window, forecasts, window
from headway.analysis.history import by_name
from headway.analysis.patterns import Pattern, patterns
from headway.analysis.recommendation import Recommendation
from headway.analysis.recommendations import lost_of, recommendations
from headway.analysis.services import ServiceFact
from headway.analysis.spending import Spending, spending
from headway.costs import Price
from headway.model import Kind, Process

PATTERNS: Final = 50
FORECASTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """`history_runs` ended between `since_at` and `until_at`; `history_complete` is false where there were more than are looked at,
    the newest. Times are unix seconds, lists are in order of importance."""

    since_at: float
    until_at: float
    active: int
    history_runs: int
    history_complete: bool
    waiting: Sequence[Waits]
    time_sinks: Sequence[TimeSink]
    bottlenecks: Sequence[Bottleneck]
    stuck: Sequence[Stuck]
    duplicates: Sequence[Duplicate]
    forecasts: Sequence[Forecast]
    windows: Sequence[Window]
    patterns: Sequence[Pattern]
    costs: Spending
    recommendations: Sequence[Recommendation]


def analyze(
    subjects: Sequence[Subject],
    history: Sequence[Process],
    *,
    since: float,
    now: float,
    complete: bool = True,
    services: Sequence[ServiceFact] = (),
    prices: Sequence[Price] = (),
) -> Analysis:
    """`subjects`: what runs, `history`: what ended; both as far as the caller may see them."""
    runs = by_name(history)
    every = patterns(history)
    scheduled = {service.name for service in services if service.cron is not None}
    active = {(s.process.name, s.process.kind): s.process.started_at for s in subjects if s.process.started_at is not None}
    stopped = {service.name for service in services if not service.wanted}
    windows = [
        found
        for key, ended in runs.items()
        if (key[1] is Kind.CRON or key[0] in scheduled) and key[0] not in stopped
        if (found := window(key, ended, now, active.get(key))) is not None
    ]
    waiting = findings.waiting(subjects)
    sinks, stuck = findings.time_sinks(subjects), findings.stuck(subjects)
    bottlenecks, duplicates = findings.bottlenecks(subjects), findings.duplicates(subjects)
    foreseen = forecasts(subjects, runs)
    todo = recommendations(
        subjects=subjects,
        waiting=waiting,
        sinks=sinks,
        bottlenecks=bottlenecks,
        stuck=stuck,
        duplicates=duplicates,
        patterns=every,
        forecasts=foreseen,
        windows=windows,
        services=services,
        lost=lost_of(history),
        history=runs,
    )
    return Analysis(
        since_at=since,
        until_at=now,
        active=len(subjects),
        history_runs=len(history),
        history_complete=complete,
        waiting=waiting,
        time_sinks=sinks,
        bottlenecks=bottlenecks,
        stuck=stuck,
        duplicates=duplicates,
        forecasts=foreseen[:FORECASTS],
        windows=windows,
        patterns=every[:PATTERNS],
        costs=spending([*history, *(subject.process for subject in subjects)], prices),
        recommendations=todo,
    )
