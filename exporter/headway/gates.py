"""Gates: named predicates over one process and what was read of it. Pure: standard library only, `now` is an argument.

Each gate answers None, or a :class:`ConditionReport` with the evidence in words. Limits that are None switch their gate off; at
the limit counts as beyond it. A time that lies in the future (the clock was set back) says nothing: no gate fires because of it.

The alert rules encode the same gates in PromQL. What they need to agree is here as constants, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from headway.model import Condition, ConditionReport, Kind, OSProcess, Process, Severity, Status
from headway.names import NameStats
from headway.samples import Sample
from headway.view import Limits, critical_ratio

# Of a second of wall clock, how much a process must spend ready to run but not running (run-queue delay of all its threads),
# or stalled for memory, before it counts as really waiting. 10% is the level at which a person would notice the slowdown and
# ten times what wakeups cost on a machine with idle cores.
WAITING_FROM: Final = 0.1
ZOMBIE_AFTER: Final = 300.0
MOST_TIMES: Final = 1e6  # beyond it nobody wants the figure, which may be infinite: any expected duration can be declared

# Said of a silence that began before the exporter did, or before the machine slept: only what it watched counts.
WATCHED: Final = " that the exporter watched"

_WORKING: Final = frozenset({Status.STARTING, Status.RUNNING, Status.STOPPING})
_NAMED: Final = 3  # a sentence names so many others at most, and counts the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another running tracked process on this host, as far as :func:`bottleneck` needs it.

    `cpu_wait_ratio` is :func:`cpu_wait_ratio` of its last two samples; `memory_wait_ratio` the share of time it stalls for memory
    (pressure of its cgroup, or of the host if it has none of its own), 0–1; None is unknown. `ancestors`: ids of the tracked
    processes it is nested in; their trees contain its own. `os_process`: several processes of one script share it, and what it
    waits for is nobody's fault but its own.
    """

    id: str
    name: str
    os_process: OSProcess | None = None
    cpu_wait_ratio: float | None = None
    memory_wait_ratio: float | None = None
    ancestors: frozenset[str] = frozenset()


def conditions(
    process: Process,
    *,
    now: float,
    limits: Limits,
    expected: float | None = None,
    expected_runs: int | None = None,
    sample: Sample | None = None,
    eta: float | None = None,
    child_activity_at: float | None = None,
    observable: bool | None = None,
    watching_since: float | None = None,
    neighbours: Iterable[Neighbour] = (),
    ancestors: Collection[str] = (),
    duplicate: ConditionReport | None = None,
    zombie_after: float = ZOMBIE_AFTER,
    before: Sequence[ConditionReport] = (),
) -> tuple[ConditionReport, ...]:
    """All conditions that hold, in the order of :class:`Condition`. Parameters: see the gate that takes each.

    `duplicate` is this process's part of :func:`headway.duplicates.duplicates`. `before` is the answer of the time before: a
    condition whose beginning cannot be worked out from the facts keeps the one it had.
    """
    reports = (
        stuck(
            process,
            now=now,
            limits=limits,
            sample=sample,
            child_activity_at=child_activity_at,
            observable=observable,
            watching_since=watching_since,
        ),
        time_sink(process, now=now, limits=limits, expected=expected, expected_runs=expected_runs, eta=eta),
        bottleneck(process, limits=limits, sample=sample, neighbours=neighbours, ancestors=ancestors),
        overdue(process, now=now, sample=sample),
        zombie(process, now=now, sample=sample, zombie_after=zombie_after),
        duplicate,
        waiting(process, now=now, limits=limits),
    )
    return tuple(_continued(report, before) for report in reports if report is not None)


def stuck(
    process: Process,
    *,
    now: float,
    limits: Limits,
    sample: Sample | None = None,
    child_activity_at: float | None = None,
    observable: bool | None = None,
    watching_since: float | None = None,
) -> ConditionReport | None:
    """Running, and neither output nor progress here or in a tracked child for `limits.stuck_after`.

    Critical when CPU and I/O of its tree were quiet for the same time; CPU use alone is no progress and stays a warning.
    `child_activity_at`: the latest start, output, progress or end of any tracked descendant. `observable`: whether output or
    progress of it could be seen at all, without which silence says nothing; None works it out from what was seen so far (give
    True when its output is captured). `watching_since`: since when the exporter watches without a gap; after its own restart,
    or when the machine was suspended, silence counts from there. One whose OS process has ended is not silent but dead; for the
    silence of one that waits for a person there is a reason.
    """
    if process.status is not Status.RUNNING or limits.stuck_after is None or process.waiting is not None:
        return None
    if sample is not None and (not sample.alive or sample.zombie_since is not None):
        return None
    if not (can_observe(process) if observable is None else observable):
        return None
    last = last_activity(process, child_activity_at, inf if watching_since is None else now)
    if last is None:
        return None
    seen = ""
    if watching_since is not None and (last > now or last < watching_since):
        last, seen = watching_since, WATCHED
    silence = now - last
    if silence < limits.stuck_after:
        return None
    quiet = 0.0
    if sample is not None and sample.quiet_since is not None:
        quiet = min(now, sample.at) - sample.quiet_since  # what was seen: an old sample says nothing of the time after it
    severity = Severity.CRITICAL if quiet >= limits.stuck_after else Severity.WARNING
    reason = f"no {_watched(process)} for {span(silence)}{seen}; {_evidence(sample, quiet)}{_advice(process)}"
    return ConditionReport(Condition.STUCK, severity, last + limits.stuck_after, reason)


def can_observe(process: Process) -> bool:
    """Whether output or progress was seen or promised, so that its absence means something."""
    activity = process.activity
    seen = (activity.last_output_at, activity.last_progress_at, activity.current, activity.total)
    return any(value is not None for value in seen)


def counts(process: Process) -> bool:
    """Whether it ever said how far it is, or how far it has to go."""
    activity = process.activity
    return activity.current is not None or activity.total is not None or activity.last_progress_at is not None


def last_activity(process: Process, child_activity_at: float | None = None, now: float = inf) -> float | None:
    """When it last did something that can be seen (unix s): start, output, progress, a child's activity. None before the start.

    Being resumed counts: while it was paused, or waited for a person, it could do nothing. What lies after `now` is of before the
    clock was set back, and counts only where nothing else is known.
    """
    started = process.started_at
    if started is None:
        return None
    seen = (process.resumed_at, process.activity.last_output_at, process.activity.last_progress_at, child_activity_at)
    known = [t for t in (started, *seen) if t is not None]
    return max((t for t in known if t <= now), default=max(known))


def expected_duration(process: Process, stats: NameStats | None) -> float | None:
    """Seconds it should take: declared, else what its name usually takes; None when nobody knows."""
    declared = process.spec.expected_duration
    if declared is not None:
        return declared
    return None if stats is None else stats.expected_duration


def time_sink_limit(process: Process, limits: Limits, expected: float | None) -> float | None:
    """Seconds after which it is a time sink; None where nothing is expected of it, or the gate is off.

    What was learned from earlier runs counts from `limits.time_sink_after` on, so that a job of milliseconds is not called one for
    a moment; who declares how long it should take means it, however short that is.
    """
    ratio = limits.time_sink_ratio
    if ratio is None or expected is None or expected <= 0:
        return None
    learned = process.spec.expected_duration is None
    return max(ratio * expected, limits.time_sink_after or 0.0) if learned else ratio * expected


def time_sink(
    process: Process,
    *,
    now: float,
    limits: Limits,
    expected: float | None,
    expected_runs: int | None = None,
    eta: float | None = None,
) -> ConditionReport | None:
    """Running for `limits.time_sink_ratio` times as long as `expected` (s, :func:`expected_duration`), and for long enough
    (:func:`time_sink_limit`): a warning.

    Critical at `limits.time_sink_critical_ratio`. Low when it is only foreseen: elapsed and `eta` (s) together reach the limit.
    `expected_runs`: on how many earlier runs the expectation rests.
    """
    limit, started = time_sink_limit(process, limits, expected), process.started_at
    if limit is None or expected is None or started is None or process.status not in _WORKING:
        return None
    elapsed = max(0.0, now - started)
    usual = f"{'usual' if process.spec.expected_duration is None else 'expected'} {span(expected)}"
    if process.spec.expected_duration is None and expected_runs is not None:
        usual += f", usual from {expected_runs} earlier runs"
    if elapsed >= limit:
        critical = limits.time_sink_critical_ratio or critical_ratio(limits.time_sink_ratio) or 0.0
        severity = Severity.CRITICAL if elapsed >= critical * expected else Severity.WARNING
        reason = f"{_times(elapsed / expected)} its {usual}"
        return ConditionReport(Condition.TIME_SINK, severity, started + limit, reason)
    if eta is None or elapsed + eta < limit:
        return None
    whole = f"{_times((elapsed + eta) / expected)} its {usual}"
    reason = f"foreseen: {span(elapsed)} so far and {span(eta)} to go make {whole}"
    return ConditionReport(Condition.TIME_SINK, Severity.LOW, now, reason)


def cpu_wait_ratio(before: Sample | None, after: Sample) -> float | None:
    """Seconds of run-queue delay per second between two samples of one tree; None when either is unknown or out of order."""
    if before is None or before.cpu_wait_seconds is None or after.cpu_wait_seconds is None or after.at <= before.at:
        return None
    return max(0.0, after.cpu_wait_seconds - before.cpu_wait_seconds) / (after.at - before.at)


def bottleneck(
    process: Process,
    *,
    limits: Limits,
    sample: Sample | None,
    neighbours: Iterable[Neighbour] = (),
    ancestors: Collection[str] = (),
) -> ConditionReport | None:
    """At least `limits.cpu_ratio` of a core or `limits.memory_ratio` of the memory, while other tracked processes wait for it.

    `neighbours`: the other running processes on this host; `ancestors`: ids of those that this one is nested in (they share
    its CPU time and are not blocked by it). Since: the sample that shows it.
    """
    if sample is None:
        return None
    causes, names = [], []
    by_cpu, by_memory = blocks(process, limits=limits, sample=sample, neighbours=neighbours, ancestors=ancestors)
    if by_cpu:
        causes.append(f"CPU at {sample.cpu_ratio:.2f} of a core")
        names += by_cpu
    if by_memory:
        causes.append(f"memory at {sample.memory_ratio:.0%} of what there is")
        names += [n for n in by_memory if n not in by_cpu]
    if not names:
        return None
    shown = ", ".join(n.name for n in names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    longest = max((n.cpu_wait_ratio or 0.0 for n in by_cpu), default=0.0)
    waits = f" (up to {longest:.2f} s per second)" if by_cpu else ""
    verb = "waits" if len(names) == 1 else "wait"
    reason, apart = (
        f"{' and '.join(causes)} while {who} {verb} for it{waits}" for who in (shown, f"{len(names)} other{'s' * (len(names) > 1)}")
    )
    return ConditionReport(Condition.BOTTLENECK, Severity.WARNING, sample.at, reason, tuple(n.id for n in names), apart)


def blocks(
    process: Process,
    *,
    limits: Limits,
    sample: Sample | None,
    neighbours: Iterable[Neighbour] = (),
    ancestors: Collection[str] = (),
) -> tuple[list[Neighbour], list[Neighbour]]:
    """Whom it keeps from the CPU and whom from memory, the longest waiting first. Parameters as for :func:`bottleneck`."""
    if sample is None or not sample.alive or process.status not in _WORKING:
        return [], []
    cpu = limits.cpu_ratio is not None and sample.cpu_ratio is not None and sample.cpu_ratio >= limits.cpu_ratio
    memory = limits.memory_ratio is not None and sample.memory_ratio is not None and sample.memory_ratio >= limits.memory_ratio
    if not cpu and not memory:
        return [], []
    own = lives_in(process.spec.os_process)
    others = [
        n
        for n in neighbours
        if n.id != process.id
        and n.id not in ancestors
        and process.id not in n.ancestors
        and (own is None or lives_in(n.os_process) != own)
    ]
    by_cpu = [n for n in others if cpu and (n.cpu_wait_ratio or 0.0) >= WAITING_FROM]
    by_memory = [n for n in others if memory and (n.memory_wait_ratio or 0.0) >= WAITING_FROM]
    by_cpu.sort(key=lambda n: (-(n.cpu_wait_ratio or 0.0), n.id))
    by_memory.sort(key=lambda n: (-(n.memory_wait_ratio or 0.0), n.id))
    return by_cpu, by_memory


def lives_in(os_process: OSProcess | None) -> tuple[int, int | None] | None:
    """What is equal of two tracked processes that live in the same OS process: create times of the same one differ a
    little, by when they were read, and no two that are alive have the same pid."""
    return None if os_process is None else (os_process.pid, os_process.pid_namespace)


def overdue(process: Process, *, now: float, sample: Sample | None = None) -> ConditionReport | None:
    """Past its timeout and alive. The status timed_out comes only after it was ended for it."""
    timeout, started = process.spec.timeout, process.started_at
    if timeout is None or started is None or not process.status.active or (sample is not None and not sample.alive):
        return None
    elapsed = now - started
    if elapsed < timeout:
        return None
    reason = f"running for {span(elapsed)}, {span(elapsed - timeout)} past its timeout of {span(timeout)}"
    return ConditionReport(Condition.OVERDUE, Severity.CRITICAL, started + timeout, reason)


def zombie(process: Process, *, now: float, sample: Sample | None, zombie_after: float = ZOMBIE_AFTER) -> ConditionReport | None:
    """Its OS process has ended, and its parent has not reaped it for `zombie_after` seconds."""
    if sample is None or sample.zombie_since is None:
        return None
    lasts = min(now, sample.at) - sample.zombie_since  # what was seen: it may have been reaped since
    if lasts < zombie_after:
        return None
    pid = f" (pid {process.spec.os_process.pid})" if process.spec.os_process is not None else ""
    reason = f"its OS process{pid} ended {span(lasts)} ago and was not reaped by its parent"
    return ConditionReport(Condition.ZOMBIE, Severity.WARNING, sample.zombie_since + zombie_after, reason)


def waiting(process: Process, *, now: float, limits: Limits) -> ConditionReport | None:
    """Running, and waiting for a person, as it says itself, for `limits.waiting_after`."""
    found = process.waiting
    if found is None or limits.waiting_after is None or process.status is not Status.RUNNING:
        return None
    lasts = now - found.since
    if lasts < limits.waiting_after:
        return None
    reason = f"waits for a person for {span(lasts)}: {found.what}"
    return ConditionReport(Condition.WAITING, Severity.WARNING, found.since + limits.waiting_after, reason)


def span(seconds: float) -> str:
    """A duration in a sentence, in one unit and never more than it was: "7 ms", "75 s", "12 min", "3.5 h", "2.1 d"."""
    if 0.001 <= seconds < 0.1:
        return f"{int(seconds * 1000)} ms"
    if seconds < 10:
        return f"{int(max(0.0, seconds) * 10) / 10:g} s"
    if seconds < 120:
        return f"{int(seconds)} s"
    if seconds < 7200:
        return f"{int(seconds / 60)} min"
    return f"{int(seconds / 360) / 10:g} h" if seconds < 172_800 else f"{int(seconds / 8640) / 10:g} d"


def _times(ratio: float) -> str:
    if ratio > MOST_TIMES:
        return f"over {MOST_TIMES:,.0f}x"
    return f"{int(ratio * 10 + 1e-9) / 10:.1f}x"


def _watched(process: Process) -> str:
    """What is missing: that of output and progress which was seen before, or both."""
    output = process.activity.last_output_at is not None
    progress = process.activity.last_progress_at is not None
    return "output or progress" if output is progress else "output" if output else "progress"


def _advice(process: Process) -> str:
    """What to do where it may be idle by nature: nobody said what sort of work it is, and it never said how far it is."""
    return (
        "" if process.kind is not Kind.TASK or counts(process) else "; if it waits by nature: type daemon, or a longer stuck_after"
    )


def _evidence(sample: Sample | None, quiet: float) -> str:
    if sample is None or (sample.quiet_since is None and sample.cpu_ratio is None):
        return "CPU and I/O unknown"
    if sample.quiet_since is not None:
        return f"CPU and I/O quiet for {span(quiet)}"
    return f"CPU at {sample.cpu_ratio:.2f} of a core meanwhile"


def _continued(report: ConditionReport, before: Sequence[ConditionReport]) -> ConditionReport:
    """`report` with the beginning it had, if it holds for the moment only and held before."""
    if report.condition is not Condition.BOTTLENECK and report.severity is not Severity.LOW:
        return report
    for earlier in before:
        if earlier.condition is report.condition and earlier.since < report.since:
            return replace(report, since=earlier.since)
    return report
