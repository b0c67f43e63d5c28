"""Everything that follows from a record, its estimator and its sample at one moment: pure, nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headway.costs import cost
from headway.gates import counts
from headway.model import Kind, Spec, Status
from headway.names import NameStats
from headway.registry.entry import Entry
from headway.samples import Sample
from headway.settings import Settings
from headway.view import Limits, View


def view_of(entry: Entry, stats: NameStats | None, settings: Settings, now: float, *, patient: bool = False) -> View:
    """The process as it is at `now`. `patient`: see :meth:`headway.estimate.Estimator.figures`."""
    process = entry.process
    rate, eta, eta_range = pace_of(entry, now, patient=patient)
    expected, expected_runs = expected_of(process.spec, stats)
    active = process.state.status.active
    # By place: this runs for each process at each page, and for each answer.
    return View(
        process,
        now,
        limits_of(entry, settings),
        rate,
        eta,
        eta_range,
        expected,
        expected_runs,
        sample_of(entry),
        entry.conditions if active else (),
        entry.blocked_by if active else (),
        entry.usage(),
        cost(process.metadata, settings.prices),
        serves_of(entry),
    )


def expected_of(spec: Spec, stats: NameStats | None) -> tuple[float | None, int | None]:
    """How long it should take (s), and on how many earlier runs that rests; None where it was declared, and where nobody knows."""
    # How long daemons lived before says nothing of how long one should.
    if spec.expected_duration is not None or stats is None or spec.kind is Kind.DAEMON:
        return spec.expected_duration, None
    expected = stats.expected_duration
    return expected, None if expected is None else len(stats.good_durations)


def pace_of(entry: Entry, now: float, *, patient: bool = False) -> tuple[float | None, float | None, tuple[float, float] | None]:
    """Rate (items per second), time left and its range (s) at `now`: only while it runs, and once they are known. What the reporter
    says itself counts before what is worked out."""
    process = entry.process
    activity, estimator = process.activity, entry.estimator
    if process.state.status is not Status.RUNNING:
        return None, None, None
    rate: float | None = None
    eta: float | None = None
    eta_range: tuple[float, float] | None = None
    if estimator is not None:
        rate, eta, eta_range = estimator.figures(now, activity.total, patient=patient)
    if activity.rate is not None:
        rate = activity.rate
        if activity.ends_at is None and rate > 0 and activity.total is not None and activity.current is not None:
            eta, eta_range = max(0.0, activity.total - activity.current) / rate, None
    if activity.ends_at is not None:
        eta, eta_range = max(0.0, activity.ends_at - now), None
    return rate, eta, eta_range


def sample_of(entry: Entry) -> Sample | None:
    """The last look at it while it is active. One that waits in a queue uses nothing yet; what lives under its pid is the program
    that queued it."""
    status = entry.process.state.status
    return entry.sample if status.active and status is not Status.QUEUED else None


def limits_of(entry: Entry, settings: Settings) -> Limits:
    """The thresholds in force for it. The settings never change while an exporter runs."""
    spec = entry.process.spec
    if entry.limits is None or entry.limits[0] is not spec:
        entry.limits = spec, settings.limits(spec.kind, spec.name, spec.thresholds)
    return entry.limits[1] if entry.serves is None or serves_of(entry) is None else replace(entry.limits[1], stuck_after=None)


def serves_of(entry: Entry) -> int | None:
    """The port of a server, whose silence says nothing; None for others, and once it says how far it is, or its limit is set."""
    process = entry.process
    if entry.serves is None or process.status.ended or counts(process) or process.spec.thresholds.stuck_after is not None:
        return None
    return entry.serves


def seen_by(user: str, view: View, entries: Mapping[str, Entry]) -> View:
    """The view without names and ids of processes of others: what they keep busy, and whom they wait for, is told all the same."""

    def theirs(process_id: str) -> bool:
        entry = entries.get(process_id)
        return entry is not None and entry.process.spec.user == user

    if not view.blocked_by and not any(report.about for report in view.conditions):
        return view
    told = (
        report if all(map(theirs, report.about)) else replace(report, reason=report.apart, about=()) for report in view.conditions
    )
    return replace(view, conditions=tuple(told), blocked_by=tuple(filter(theirs, view.blocked_by)))
