"""What is not as it should be among what runs now, with the evidence: what waits for a person, time sinks, bottlenecks, stuck ones,
duplicates. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headway.cleaning import brief
from headway.duplicates import originals
from headway.gates import last_activity, time_sink_limit
from headway.model import Condition, ConditionReport, Kind, Process, Severity
from headway.samples import Sample
from headway.view import View

# Below the ratio from which a time sink is one, this share of it is worth a look: 1.5 of 2.
NEARLY: Final = 0.75


class Level(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


ORDER: Final = {Level.HIGH: 0, Level.MEDIUM: 1, Level.LOW: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A process that runs. `service`: the configured service that it is; `memory_full_in`: in how many seconds it will have used up
    the memory it can have, if it goes on growing as it does; `alone`: time left and its bounds (s) as this run alone tells them,
    where the view's follow earlier runs too."""

    view: View
    service: str | None = None
    memory_full_in: float | None = None
    alone: tuple[float, float, float] | None = None

    @property
    def process(self) -> Process:
        return self.view.process

    def condition(self, condition: Condition) -> ConditionReport | None:
        return next((report for report in self.view.conditions if report.condition is condition), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """`waiting_for`: what a person is to do before it goes on."""

    id: str
    name: str
    kind: Kind
    waiting_for: str
    waiting_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSink:
    """`ratio` of the elapsed time to the expected. `severity` low: it comes near, or is only `foreseen` from the time left."""

    id: str
    name: str
    kind: Kind
    severity: Level
    ratio: float
    elapsed_seconds: float
    expected_seconds: float
    expected_runs: int | None
    eta_seconds: float | None
    foreseen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """`blocks`: who waits for it."""

    id: str
    name: str
    kind: Kind
    severity: Level
    cpu_ratio: float | None
    memory_ratio: float | None
    blocks: tuple[Blocked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """`severity` high: CPU and I/O are quiet too. `works`: whether the latest sample shows CPU or I/O in use; None where nothing is
    known of them. `evidence` in words."""

    id: str
    name: str
    kind: Kind
    severity: Level
    silent_seconds: float
    works: bool | None
    evidence: str
    last_line: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    id: str
    name: str
    started_at: float | None
    pid: int | None
    original: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """What runs more than once: the `instances`, the earliest first."""

    command: str
    cwd: str | None
    host: str | None
    instances: tuple[Instance, ...]


def waiting(subjects: Sequence[Subject]) -> list[Waits]:
    """Those that wait longest first."""
    found = [
        Waits(
            id=process.id,
            name=process.name,
            kind=process.kind,
            waiting_for=waits.what,
            waiting_seconds=max(0.0, subject.view.now - waits.since),
        )
        for subject in subjects
        if (waits := (process := subject.process).waiting) is not None and subject.condition(Condition.WAITING) is not None
    ]
    return sorted(found, key=lambda one: (-one.waiting_seconds, one.id))


def time_sinks(subjects: Sequence[Subject]) -> list[TimeSink]:
    """Highest ratio first, after the severity."""
    found = [sink for subject in subjects if (sink := _time_sink(subject)) is not None]
    return sorted(found, key=lambda sink: (ORDER[sink.severity], -sink.ratio, sink.id))


def _time_sink(subject: Subject) -> TimeSink | None:
    view, process = subject.view, subject.process
    elapsed, expected = process.elapsed(view.now), view.expected_duration
    limit = time_sink_limit(process, view.limits, expected)
    if elapsed is None or not expected or limit is None or not process.status.active:
        return None
    report = subject.condition(Condition.TIME_SINK)
    ratio = elapsed / expected
    foreseen = report is not None and report.severity is Severity.LOW
    if report is not None and not foreseen:
        severity = Level.HIGH if report.severity is Severity.CRITICAL else Level.MEDIUM
    elif foreseen or elapsed >= NEARLY * limit:
        severity = Level.LOW
    else:
        return None
    return TimeSink(
        id=process.id,
        name=process.name,
        kind=process.kind,
        severity=severity,
        ratio=ratio,
        elapsed_seconds=elapsed,
        expected_seconds=expected,
        expected_runs=view.expected_runs,
        eta_seconds=view.eta,
        foreseen=foreseen,
    )


def bottlenecks(subjects: Sequence[Subject]) -> list[Bottleneck]:
    """Those that block most first. Whom the caller may not see is not among `subjects`, and so not named."""
    found = []
    for subject in subjects:
        view = subject.view
        if subject.condition(Condition.BOTTLENECK) is None:
            continue
        waiting = [Blocked(id=o.process.id, name=o.process.name) for o in subjects if view.process.id in o.view.blocked_by]
        sample = view.sample
        found.append(
            Bottleneck(
                id=view.process.id,
                name=view.process.name,
                kind=view.process.kind,
                severity=Level.HIGH if len(waiting) > 1 else Level.MEDIUM,
                cpu_ratio=None if sample is None else sample.cpu_ratio,
                memory_ratio=None if sample is None else sample.memory_ratio,
                blocks=tuple(sorted(waiting, key=lambda one: (one.name, one.id))),
            )
        )
    return sorted(found, key=lambda one: (-len(one.blocks), one.id))


def stuck(subjects: Sequence[Subject]) -> list[Stuck]:
    """The severe first, then those that are silent longest."""
    found = []
    for subject in subjects:
        report, process = subject.condition(Condition.STUCK), subject.process
        if report is None:
            continue
        # The gate counts from the activity of children and the beginning of the watch too, which only its report knows.
        after = subject.view.limits.stuck_after or 0.0
        silent = max(0.0, subject.view.now - (report.since - after))
        last = process.activity.last_line
        found.append(
            Stuck(
                id=process.id,
                name=process.name,
                kind=process.kind,
                severity=Level.HIGH if report.severity is Severity.CRITICAL else Level.MEDIUM,
                silent_seconds=silent if last_activity(process) is not None else 0.0,
                works=works(subject.view.sample),
                evidence=brief(report.reason, 200),
                last_line=None if last is None else brief(last, 160),
            )
        )
    return sorted(found, key=lambda one: (ORDER[one.severity], -one.silent_seconds, one.id))


def works(sample: Sample | None) -> bool | None:
    """Whether CPU or I/O of its tree is in use; None when nothing is known of them."""
    if sample is None or (sample.quiet_since is None and sample.cpu_ratio is None):
        return None
    return sample.quiet_since is None


def duplicates(subjects: Sequence[Subject]) -> list[Duplicate]:
    """Those with most instances first; of whom the gate says so, as it knows who is of one program."""
    copies: dict[str, list[Process]] = {}
    firsts: dict[str, Process] = {}
    reported = {subject.process.id for subject in subjects if subject.condition(Condition.DUPLICATE) is not None}
    for duplicate, original in originals(subject.process for subject in subjects):
        if duplicate.id not in reported:
            continue
        firsts[original.id] = original
        copies.setdefault(original.id, []).append(duplicate)
    found = [
        Duplicate(
            command=brief(first.spec.command, 200),
            cwd=first.spec.cwd,
            host=first.spec.host,
            instances=(_instance(first, True), *(_instance(copy, False) for copy in copies[first.id])),
        )
        for first in firsts.values()
    ]
    return sorted(found, key=lambda one: (-len(one.instances), one.command, one.instances[0].id))


def _instance(process: Process, original: bool) -> Instance:
    pid = None if process.spec.os_process is None else process.spec.os_process.pid
    return Instance(id=process.id, name=process.name, started_at=process.started_at, pid=pid, original=original)
