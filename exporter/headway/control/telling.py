"""From the outcomes of an action to its report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headway.control.report import Hit, Miss, Report, signal_name
from headway.ending.base import Outcome
from headway.model import OSProcess, Process
from headway.registry.entry import Entry


def describe(report: Report, plan: Sequence[Outcome], reached: Iterable[Process], entries: Mapping[str, Entry]) -> None:
    """What an action would do; `reached` are the processes that it would end."""
    for outcome in plan:
        tell_left(report, outcome)
        if outcome.barred is None and outcome.refused is None:
            report.killed.append(hit(outcome, entries, None))
    add_nested(report, plan, reached)
    report.survivors = []


def tell(report: Report, outcomes: Sequence[Outcome], over: Iterable[Process], entries: Mapping[str, Entry]) -> None:
    """What an action did; `over` are the processes whose OS process was seen to end."""
    for outcome in outcomes:
        tell_left(report, outcome)
        if outcome.barred is None and outcome.refused is None and outcome.root_ended:
            report.killed.append(hit(outcome, entries, outcome.signal))
    add_nested(report, outcomes, over)


def tell_left(report: Report, outcome: Outcome) -> None:
    """Who was left alone or lives on."""
    process_id, root = id_of(outcome.key), outcome.root
    if outcome.barred is not None:
        report.skipped.append(Miss(id=process_id, pid=root.pid, reason=outcome.barred))
    elif outcome.refused is not None:
        report.failed.append(Miss(id=process_id, pid=root.pid, reason=outcome.refused))
    elif not outcome.root_ended and outcome.survivors and not report.dry_run:
        reason = next((left.reason for left in outcome.survivors if left.process.pid == root.pid), "it did not end")
        report.failed.append(Miss(id=process_id, pid=root.pid, reason=reason))
    report.skipped += [Miss(id=process_id, pid=left.process.pid, reason=left.reason) for left in outcome.spared]
    report.survivors += [Miss(id=process_id, pid=left.process.pid, reason=left.reason) for left in outcome.survivors]


def hit(outcome: Outcome, entries: Mapping[str, Entry], signal: int | None) -> Hit:
    entry = entries.get(outcome.key)
    return Hit(
        id=id_of(outcome.key),
        name=None if entry is None else entry.process.name,
        pid=outcome.root.pid,
        status=None if entry is None else entry.process.status.value,
        signal=signal_name(signal),
        os_processes=len(outcome.ended) or len(outcome.members),
        gone=outcome.gone,
    )


def add_nested(report: Report, outcomes: Sequence[Outcome], processes: Iterable[Process]) -> None:
    """Those that end because their OS process belongs to the tree of another; its OS processes are counted there."""
    told = {outcome.key for outcome in outcomes}
    signals = {pid: number for outcome in outcomes for pid, number in outcome.signals.items()}
    for process in processes:
        pid = pid_of(process)
        if process.id not in told and pid is not None:
            signal, status = signal_name(signals.get(pid)), process.status.value
            report.killed.append(Hit(id=process.id, name=process.name, pid=pid, status=status, signal=signal, os_processes=0))
    report.killed_count = len(report.killed)


def id_of(key: str) -> str | None:
    """The process of a target; None for an OS process that is not tracked."""
    return None if key.startswith("pid:") else key


def pid_of(process: Process) -> int | None:
    return None if process.spec.os_process is None else process.spec.os_process.pid


def root_of(process: Process) -> OSProcess:
    """Of one that is known to have an OS process."""
    assert process.spec.os_process is not None
    return process.spec.os_process
