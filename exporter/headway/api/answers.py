"""A process as JSON: the one place that decides names, units and order of the fields of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import floor
from typing import Any, Final, NamedTuple

from headway.model import Process, Usage
from headway.name_gates import NameReport
from headway.samples import Sample
from headway.store.base import LogLine
from headway.view import View


class Moving(NamedTuple):
    """What nearly every update changes, and every sample, and time alone does; everything else of an answer stays for long. Times
    are RFC 3339. In the order in which they are written."""

    current: Any
    ratio: Any
    rate: Any
    eta_seconds: Any
    eta_range: Any
    elapsed_seconds: Any
    updated_at: Any
    last_output_at: Any
    last_progress_at: Any
    os_state: Any
    cpu_ratio: Any
    memory_bytes: Any
    cpu_seconds: Any
    peak_memory_bytes: Any
    proportional_memory_bytes: Any
    log_tail: Any


def _new_timestamp(at: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC with milliseconds."""
    if at is None:
        return None
    whole = floor(at)
    micros = round((at - whole) * 1e6)  # as datetime rounds, which then cuts off what is below a millisecond
    return f"{_second(whole)}.{micros // 1000:03d}Z" if micros < 1_000_000 else f"{_second(whole + 1)}.000Z"


# For times that are written again and again; those of an update are new, and to remember them would take longer.
timestamp: Final = lru_cache(maxsize=1024)(_new_timestamp)


@lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def moving(
    process: Process,
    now: float,
    rate: float | None,
    eta: float | None,
    eta_range: tuple[float, float] | None,
    sample: Sample | None,
    usage: Usage | None,
) -> Moving:
    """`rate` in items per second, the others in seconds from `now`."""
    activity = process.activity
    updated_at, last_progress_at, line = activity.updated_at, activity.last_progress_at, activity.last_line
    updated = _new_timestamp(updated_at)
    state, cpu_ratio, resident, proportional = (
        (None, None, None, None)
        if sample is None
        else (sample.state, sample.cpu_ratio, sample.resident_bytes, sample.proportional_bytes)
    )
    return Moving(
        activity.current,
        process.progress_ratio,
        None if rate is None else rate * 60.0,
        eta,
        eta_range,
        process.elapsed(now),
        updated,
        timestamp(activity.last_output_at),
        updated if last_progress_at == updated_at else timestamp(last_progress_at),
        state,
        cpu_ratio,
        resident,
        None if usage is None else usage.cpu_seconds,
        None if usage is None else usage.peak_memory_bytes,
        proportional,
        [] if line is None else [line],
    )


def summary(view: View, children: Sequence[str], moves: Moving | None = None) -> dict[str, Any]:
    """One process as it stands in a list: `log_tail` holds the last line, `children` the ids. `moves`: what to write for what
    changes all the time, if not that of the view."""
    process = view.process
    spec, activity = process.spec, process.activity
    moves = moves or moving(process, view.now, view.rate, view.eta, view.eta_range, view.sample, view.usage)
    os_process = spec.os_process
    return {
        "id": process.id,
        "name": spec.name,
        "type": spec.kind,
        "status": process.status,
        "stage": activity.stage,
        "progress": {
            "current": moves.current,
            "total": activity.total,
            "unit": activity.unit,
            "initial": activity.initial,
            "ratio": moves.ratio,
        },
        "rate": moves.rate,
        "eta_seconds": moves.eta_seconds,
        "eta_range": moves.eta_range,
        "elapsed_seconds": moves.elapsed_seconds,
        "conditions": [
            {
                "name": report.condition,
                "severity": report.severity,
                "since": timestamp(report.since),
                "reason": report.reason,
            }
            for report in view.conditions
        ],
        "blocked_by": list(view.blocked_by),
        "summary": activity.summary,
        "error": process.error,
        "exit_code": process.exit_code,
        "signal": process.signal,
        "created_at": timestamp(spec.created_at),
        "started_at": timestamp(process.started_at),
        "updated_at": moves.updated_at,
        "finished_at": timestamp(process.finished_at),
        "dismissed_at": timestamp(process.dismissed_at),
        "last_output_at": moves.last_output_at,
        "last_progress_at": moves.last_progress_at,
        "user": spec.user,
        "project": spec.project,
        "task": spec.task,
        "attempt": spec.attempt,
        "agent": spec.agent,
        "group": spec.group,
        "parent_id": spec.parent_id,
        "children": list(children),
        "host": spec.host,
        "pid": None if os_process is None else os_process.pid,
        "create_time": None if os_process is None else os_process.create_time,
        "os_state": moves.os_state,
        "command": spec.command,
        "description": spec.description,
        "cwd": spec.cwd,
        "executor": spec.executor,
        "cancellable": spec.cancellable,
        "cancel_requested": process.cancel_requested_at is not None,
        "expected_duration": view.expected_duration,
        "timeout": spec.timeout,
        "thresholds": {
            "stuck_after": view.limits.stuck_after,
            "time_sink_ratio": view.limits.time_sink_ratio,
            "time_sink_after": view.limits.time_sink_after,
            "cpu_ratio": view.limits.cpu_ratio,
            "memory_ratio": view.limits.memory_ratio,
        },
        "serves_port": view.serves,
        "cpu_ratio": moves.cpu_ratio,
        "memory_bytes": moves.memory_bytes,
        "cpu_seconds": moves.cpu_seconds,
        "peak_memory_bytes": moves.peak_memory_bytes,
        "cost_dollars": view.cost,
        "proportional_memory_bytes": moves.proportional_memory_bytes,
        "metadata": process.metadata,
        "log_tail": moves.log_tail,
    }


def line(entry: LogLine) -> dict[str, Any]:
    return {"number": entry.number, "at": timestamp(entry.at), "text": entry.text}


def name_report(report: NameReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "type": report.kind,
        "condition": report.condition,
        "severity": report.severity,
        "since": timestamp(report.since),
        "reason": report.reason,
    }


def totals(processes: Sequence[Process]) -> dict[str, Any]:
    """What a process and everything below it come to: counts by status, and sums of what their metadata says they cost."""
    by_status: dict[str, int] = {}
    tokens: dict[str, float] = {}
    cost = 0.0
    priced = False
    for process in processes:
        by_status[process.status] = by_status.get(process.status, 0) + 1
        used = process.metadata.get("tokens")
        if isinstance(used, Mapping):
            for direction, count in used.items():
                if isinstance(count, int | float) and not isinstance(count, bool):
                    tokens[direction] = tokens.get(direction, 0) + count
        price = process.metadata.get("cost_dollars")
        if isinstance(price, int | float) and not isinstance(price, bool):
            cost, priced = cost + price, True
    ended = sum(1 for process in processes if process.status.ended)
    return {
        "processes": len(processes),
        "ended": ended,
        "by_status": by_status,
        "tokens": tokens,
        "cost_dollars": cost if priced else None,
    }
