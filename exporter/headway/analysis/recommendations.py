"""What to do about what was found: each with its priority, the reason in numbers, and the command that carries it out. Pure.

A command is complete and acts on what it names alone. Where it needs words that only people know, they stand in capitals; a
threshold is a line for headway.yaml.
"""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final

from headway.analysis.findings import ORDER, Bottleneck, Duplicate, Level, Stuck, Subject, TimeSink, Waits
from headway.analysis.forecasts import Forecast, Window
from headway.analysis.history import NameKey
from headway.analysis.name_advice import about_names
from headway.analysis.patterns import Pattern
from headway.analysis.recommendation import Recommendation
from headway.analysis.services import ServiceFact
from headway.analysis.suggestion import exact
from headway.cleaning import brief, clean
from headway.gates import lives_in, span
from headway.model import Condition, Process, Status

MOST: Final = 30
# What to do about one that is silent and not known to hang, by whether it works.
_SILENT: Final[Mapping[bool | None, str]] = {
    True: "look at its output: it is silent, but works",
    False: "look at its output: it is silent, and rests just now",
    None: "look at its output: it is silent, and whether it works is not known",
}


def recommendations(
    *,
    subjects: Sequence[Subject],
    waiting: Sequence[Waits],
    sinks: Sequence[TimeSink],
    bottlenecks: Sequence[Bottleneck],
    stuck: Sequence[Stuck],
    duplicates: Sequence[Duplicate],
    patterns: Sequence[Pattern],
    forecasts: Sequence[Forecast],
    windows: Sequence[Window],
    services: Sequence[ServiceFact],
    lost: Sequence[Process],
    history: Mapping[NameKey, Sequence[Process]],
) -> list[Recommendation]:
    """The most urgent first; one for each process and cause. `lost`: orphaned ones that nobody dismissed."""
    owners = {subject.process.id: subject.service for subject in subjects if subject.service is not None}
    every: list[Recommendation] = list(_waiting(waiting))
    ended: set[str] = set()  # of whom the end is recommended already: the same command twice helps nobody
    for found in (
        _overdue(subjects, owners),
        _stuck(stuck, sinks, owners, housemates(subjects, {one.id for one in stuck})),
        _duplicates(duplicates),
        _sinks(sinks, owners),
    ):
        for one in found:
            if one.id is None or one.id not in ended:
                every.append(one)
                ended.add(one.id or "")
    every += _bottlenecks(bottlenecks)
    every += _forecasts(forecasts, ended)
    every += _zombies(subjects, lost)
    every += _services(services, windows)
    every += about_names(patterns, history)
    every.sort(key=lambda one: ORDER[one.priority])
    return every[:MOST]


def _end(process_id: str, owners: Mapping[str, str]) -> str:
    """What ends a process: a service would be started again, so it is restarted."""
    service = owners.get(process_id)
    return f"headway kill {process_id}" if service is None else f"headway restart {shlex.quote(service)}"


def _waiting(found: Sequence[Waits]) -> Iterator[Recommendation]:
    for one in found:
        yield Recommendation(
            priority=Level.HIGH,
            action="answer it: it waits for a person",
            about=clean(one.name),
            id=one.id,
            reason=brief(f"for {span(one.waiting_seconds)}: {one.waiting_for}", 200),
            command=f"headway show {one.id}",
        )


def _overdue(subjects: Sequence[Subject], owners: Mapping[str, str]) -> Iterator[Recommendation]:
    for subject in subjects:
        if (report := subject.condition(Condition.OVERDUE)) is not None:
            process = subject.process
            yield Recommendation(
                priority=Level.HIGH,
                action="end it: its time is over",
                about=clean(process.name),
                id=process.id,
                reason=brief(report.reason, 200),
                command=_end(process.id, owners),
            )


def housemates(subjects: Sequence[Subject], stuck: Container[str]) -> dict[str, str]:
    """By the id of each stuck one whose OS process another lives in that is not stuck: the name of that one. To end the OS process
    would end both."""
    places = [(one.process, (one.process.spec.host, lives_in(one.process.spec.os_process))) for one in subjects]
    well = {place: process.name for process, place in places if place[1] is not None and process.id not in stuck}
    return {process.id: well[place] for process, place in places if process.id in stuck and place in well}


def _stuck(
    found: Sequence[Stuck], sinks: Sequence[TimeSink], owners: Mapping[str, str], beside: Mapping[str, str]
) -> Iterator[Recommendation]:
    late = {sink.id: sink for sink in sinks if sink.severity is not Level.LOW}
    for one in found:
        dead = one.severity is Level.HIGH
        action = "end it: it does nothing" if dead else _SILENT[one.works]
        if dead and one.id in beside:
            action = f"look at its output: it does nothing, but to end it would end {clean(brief(beside[one.id], 60))} too"
        reason = one.evidence
        if one.id in late:
            reason += f"; {late[one.id].ratio:.1f}x its expected {span(late[one.id].expected_seconds)}"
        yield Recommendation(
            priority=Level.HIGH if dead or one.id in late else Level.MEDIUM,
            action=action,
            about=clean(one.name),
            id=one.id,
            reason=reason,
            command=_end(one.id, owners) if dead and one.id not in beside else f"headway output {one.id} --tail 20",
        )


def _duplicates(found: Sequence[Duplicate]) -> Iterator[Recommendation]:
    for one in found:
        first, *copies = one.instances
        yield Recommendation(
            priority=Level.MEDIUM,
            action=f"end the later {'one' if len(copies) == 1 else len(copies)}: the same runs already",
            about=clean(first.name),
            id=copies[0].id,
            reason=f"{len(one.instances)} run {one.command!r} in {one.cwd or 'the same folder'}; {first.id} was first",
            command=f"headway kill {' '.join(copy.id for copy in copies)}",
        )


def _sinks(found: Sequence[TimeSink], owners: Mapping[str, str]) -> Iterator[Recommendation]:
    for one in found:
        if one.severity is Level.LOW:
            continue
        left = "" if one.eta_seconds is None else f"; {span(one.eta_seconds)} to go"
        whence = "" if one.expected_runs is None else f" (from {one.expected_runs} runs)"
        # Who is nearly done is not ended: what it did would be lost.
        soon = one.eta_seconds is not None and one.eta_seconds < one.elapsed_seconds / 2
        yield Recommendation(
            priority=Level.HIGH if one.severity is Level.HIGH and not soon else Level.MEDIUM,
            action="wait: it is slow, but more than two thirds done" if soon else "see whether it is worth going on, else end it",
            about=clean(one.name),
            id=one.id,
            reason=f"{one.ratio:.1f}x its expected {span(one.expected_seconds)}{whence}{left}",
            command=f"headway show {one.id}" if soon else _end(one.id, owners),
        )


def _bottlenecks(found: Sequence[Bottleneck]) -> Iterator[Recommendation]:
    for one in found:
        names = [clean(blocked.name) for blocked in one.blocks]
        whom = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "others"
        takes = [f"{one.cpu_ratio:.2f} of a core"] if one.cpu_ratio is not None else []
        takes += [f"{one.memory_ratio:.0%} of the memory"] if one.memory_ratio is not None else []
        yield Recommendation(
            priority=one.severity,
            action="let others go first: stop it for a while (headway resume lets it go on)",
            about=clean(one.name),
            id=one.id,
            reason=f"takes {' and '.join(takes) or 'too much'} while {whom} must wait",
            command=f"headway pause {one.id}",
        )


def _forecasts(found: Sequence[Forecast], ended: set[str]) -> Iterator[Recommendation]:
    for one in found:
        if one.verdict == "no" or one.probability == 1.0 or one.id in ended:
            continue
        chance = "" if one.probability is None else f"{one.probability:.0%} probable, from {one.basis}"
        if one.what == "memory":
            yield Recommendation(
                priority=Level.HIGH,
                action="stop it before the memory is used up",
                about=clean(one.name),
                id=one.id,
                reason=f"{one.basis}: none is left before it ends",
                command=f"headway pause {one.id}",
            )
        elif one.what == "timeout" and one.limit_seconds is not None:
            yield Recommendation(
                priority=Level.MEDIUM if one.verdict == "yes" else Level.LOW,
                action="give it more time, or end it now",
                about=clean(one.name),
                id=one.id,
                reason=f"it will pass its timeout of {span(one.limit_seconds)}: {chance}",
                command=f"headway report update {one.id} --timeout {exact(2 * one.limit_seconds)}",
            )
        elif one.limit_seconds is not None:
            yield Recommendation(
                priority=Level.LOW,
                action="see what slows it",
                about=clean(one.name),
                id=one.id,
                reason=f"it will take longer than {span(one.limit_seconds)}, a time sink: {chance}",
                command=f"headway show {one.id}",
            )


def _zombies(subjects: Sequence[Subject], lost: Sequence[Process]) -> Iterator[Recommendation]:
    zombies = [subject for subject in subjects if subject.condition(Condition.ZOMBIE) is not None]
    if not zombies and not lost:
        return
    over = [*(zombie.process for zombie in zombies), *lost]
    names = {clean(process.name) for process in over}
    counts = [f"{len(lost)} orphaned"] if lost else []
    counts += [f"{len(zombies)} zombie"] if zombies else []
    yield Recommendation(
        priority=Level.LOW,
        action="take what is over out of the active view",
        about=names.pop() if len(names) == 1 else f"{len(over)} processes",
        id=over[0].id if len(over) == 1 else None,
        reason=f"{' and '.join(counts)}: {'it' if len(over) == 1 else 'they'} will not say more",
        command="headway cleanup",
    )


def _services(services: Iterable[ServiceFact], windows: Iterable[Window]) -> Iterator[Recommendation]:
    failing = {one.name for one in services if one.wanted and (one.status == "error" or one.gave_up)}
    for service in services:
        # One that lacks another which is failing is started as soon as that runs: what to do is said of the other.
        if service.name in failing and failing.isdisjoint(service.waits_for):
            yield Recommendation(
                priority=Level.HIGH,
                action="find out why it fails (headway logs), then start the service again",
                about=service.name,
                id=None,
                reason=brief(service.reason or "it is in error", 200),
                command=f"headway up {shlex.quote(service.name)}",
            )
    configured = {service.name for service in services if service.kept}
    for one in windows:
        if one.missed is None:
            continue
        name = shlex.quote(clean(one.name))
        late = "did not start" if one.missed == "start" else "has not ended"
        yield Recommendation(
            priority=Level.MEDIUM,
            action="see why the scheduled run is missing" if one.missed == "start" else "see why the scheduled run goes on",
            about=clean(one.name),
            id=None,
            reason=f"it runs every {span(one.every_seconds)} ({one.runs} runs) and {late} in its usual time",
            command=f"headway up {name}"
            if one.missed == "start" and one.name in configured
            else f"headway ps --all --name {name} --limit 5",
        )


def lost_of(processes: Iterable[Process]) -> list[Process]:
    return [process for process in processes if process.status is Status.ORPHANED and process.dismissed_at is None]
