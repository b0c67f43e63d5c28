"""Everything that follows from a record, its estimator and its sample at one moment: pure, nothing is stored."""

from __future__ import annotations

from headway.costs import cost
from headway.model import Kind, Status
from headway.names import NameStats
from headway.registry.entry import Entry
from headway.settings import Settings
from headway.view import View


def view_of(entry: Entry, stats: NameStats | None, settings: Settings, now: float) -> View:
    """The process as it is at `now`. Rate and time left exist only while it runs and once they are known."""
    process = entry.process
    spec, activity = process.spec, process.activity
    rate: float | None = None
    eta: float | None = None
    eta_range: tuple[float, float] | None = None
    if process.status is Status.RUNNING:
        estimator = entry.estimator
        if estimator is not None:
            rate = estimator.rate(now)
            eta = estimator.eta(now, activity.total)
            eta_range = estimator.eta_range(now, activity.total)
        if activity.rate is not None:
            rate = activity.rate
            if activity.ends_at is None and rate > 0 and activity.total is not None and activity.current is not None:
                eta, eta_range = max(0.0, activity.total - activity.current) / rate, None
        if activity.ends_at is not None:
            eta, eta_range = max(0.0, activity.ends_at - now), None
    expected, expected_runs = spec.expected_duration, None
    # How long daemons lived before says nothing of how long one should.
    if expected is None and stats is not None and spec.kind is not Kind.DAEMON:
        expected = stats.expected_duration
        expected_runs = None if expected is None else len(stats.good_durations)
    return View(
        process=process,
        now=now,
        limits=settings.limits(spec.kind, spec.name, spec.thresholds),
        rate=rate,
        eta=eta,
        eta_range=eta_range,
        expected_duration=expected,
        expected_runs=expected_runs,
        # One that waits in a queue uses nothing yet; what lives under its pid is the program that queued it.
        sample=entry.sample if process.status.active and process.status is not Status.QUEUED else None,
        conditions=entry.conditions if process.status.active else (),
        blocked_by=entry.blocked_by if process.status.active else (),
        usage=entry.usage(),
        cost=cost(process.metadata, settings.prices),
    )
