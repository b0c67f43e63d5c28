"""Everything that follows from a record, its estimator and its sample at one moment: pure, nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from headway.costs import cost
from headway.gates import counts
from headway.model import Kind, Spec, Status
from headway.names import NameStats
from headway.registry.entry import Entry
from headway.samples import Sample
from headway.settings import Settings
from headway.view import Limits, View

# Rate (items per second), time left and its range (s).
Pace: TypeAlias = tuple[float | None, float | None, tuple[float, float] | None]

DEEPEST: Final = 8  # generations below a process that its time left is compared with; who is its own ancestor has no end of them


def view_of(
    entry: Entry, entries: Mapping[str, Entry], stats: NameStats | None, settings: Settings, now: float, *, patient: bool = False
) -> View:
    """The process as it is at `now`; its children are among `entries`. `patient`: :meth:`headway.estimate.Estimator.figures`."""
    process = entry.process
    rate, eta, eta_range = pace_of(entry, entries, now, patient=patient)
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


def pace_of(entry: Entry, entries: Mapping[str, Entry], now: float, *, patient: bool = False) -> Pace:
    """Rate, time left and its range at `now`: only while it runs, and once they are known. What the reporter says itself counts
    before what is worked out; what is worked out is never less than a running process below it needs."""
    own = own_pace(entry, now, patient=patient)
    rate, eta, ends = own
    if not entry.children or eta is None or ends is None:  # without a range it is the reporter's own word
        return own
    longest = _needed_below(entry, entries, now, patient, DEEPEST)
    if longest is None:
        return own
    return rate, max(eta, longest[0]), (max(ends[0], longest[1]), max(ends[1], longest[2]))


def _needed_below(
    entry: Entry, entries: Mapping[str, Entry], now: float, patient: bool, deep: int
) -> tuple[float, float, float] | None:
    """The longest time left of the running processes below it, and the largest lower and upper end of their ranges (s); None where
    nothing is known of any. One that says itself when it ends answers for what is below it."""
    longest: tuple[float, float, float] | None = None
    for child_id in entry.children:
        child = entries.get(child_id)
        if child is None or child.process.state.status is not Status.RUNNING:
            continue
        _, eta, ends = own_pace(child, now, patient=patient)
        found = [] if eta is None else [(eta, *(ends or (eta, eta)))]
        if child.children and deep > 1 and (eta is None or ends is not None):
            below = _needed_below(child, entries, now, patient, deep - 1)
            if below is not None:
                found.append(below)
        for left, low, high in found:
            most = longest or (left, low, high)
            longest = max(most[0], left), max(most[1], low), max(most[2], high)
    return longest


def own_pace(entry: Entry, now: float, *, patient: bool = False) -> Pace:
    """The same from the process alone, whatever its children do."""
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
    elif activity.waiting is not None and activity.waiting.until is None:
        eta, eta_range = None, None  # nobody knows how long the person takes
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
