"""A process as JSON: the one place that decides names, units and order of the fields of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import floor
from typing import Any, Final

import msgspec
from msgspec import structs

from headway.model import Process, Usage
from headway.name_gates import NameReport
from headway.samples import Sample
from headway.store.base import LogLine
from headway.view import View


class Progress(msgspec.Struct, gc=False):
    """`ratio` of 0 to 1."""

    current: float | None
    total: float | None
    unit: str | None
    initial: float | None
    ratio: float | None


class Moving(msgspec.Struct, gc=False):
    """What nearly every update changes, and every sample, and time alone does, in the order in which it is written, between what
    comes first and all else; those stay for long. Times are RFC 3339, `rate` is items per minute."""

    progress: Progress
    rate: float | None
    eta_seconds: float | None
    eta_range: tuple[float, float] | None
    elapsed_seconds: float | None
    updated_at: str | None
    last_output_at: str | None
    last_progress_at: str | None
    log_tail: list[str]
    os_state: str | None = None
    cpu_ratio: float | None = None
    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    proportional_memory_bytes: int | None = None


def _new_timestamp(at: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC with milliseconds."""
    if at is None:
        return None
    whole = floor(at)
    millis = round((at - whole) * 1e6) // 1000  # as datetime rounds, which then cuts off what is below a millisecond
    return _second(whole) + _MILLIS[millis] if millis < 1000 else f"{_second(whole + 1)}.000Z"


_MILLIS: Final = tuple(f".{millis:03d}Z" for millis in range(1000))

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
    updated_at, last_output_at, last_progress_at = activity.updated_at, activity.last_output_at, activity.last_progress_at
    updated, line = _new_timestamp(updated_at), activity.last_line
    # By place: this runs for each answer to an update.
    found = Moving(
        Progress(activity.current, activity.total, activity.unit, activity.initial, process.progress_ratio),
        None if rate is None else rate * 60.0,
        eta,
        eta_range,
        process.elapsed(now),
        updated,
        None if last_output_at is None else timestamp(last_output_at),
        updated if last_progress_at == updated_at else timestamp(last_progress_at),
        [] if line is None else [line],
    )
    if sample is not None:
        found.os_state, found.cpu_ratio = sample.state, sample.cpu_ratio
        found.memory_bytes, found.proportional_memory_bytes = sample.resident_bytes, sample.proportional_bytes
    if usage is not None:
        found.cpu_seconds, found.peak_memory_bytes = usage.cpu_seconds, usage.peak_memory_bytes
    return found


def summary(view: View, children: Sequence[str]) -> dict[str, Any]:
    """One process as it stands in a list: `log_tail` holds the last line, `children` the ids."""
    process = view.process
    moves = structs.asdict(moving(process, view.now, view.rate, view.eta, view.eta_range, view.sample, view.usage))
    moves["progress"] = structs.asdict(moves["progress"])
    return first(process) | moves | rest(view, children)


def first(process: Process) -> dict[str, Any]:
    """What an answer begins with."""
    return {
        "id": process.id,
        "name": process.spec.name,
        "type": process.spec.kind,
        "status": process.status,
        "stage": process.activity.stage,
    }


def rest(view: View, children: Sequence[str]) -> dict[str, Any]:
    """What follows after all that moves."""
    process = view.process
    spec, activity, waiting = process.spec, process.activity, process.waiting
    os_process = spec.os_process
    return {
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
        "waiting_for": None if waiting is None else waiting.what,
        "waiting_since": None if waiting is None else timestamp(waiting.since),
        "summary": activity.summary,
        "error": process.error,
        "exit_code": process.exit_code,
        "signal": process.signal,
        "created_at": timestamp(spec.created_at),
        "started_at": timestamp(process.started_at),
        "finished_at": timestamp(process.finished_at),
        "dismissed_at": timestamp(process.dismissed_at),
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
            "waiting_after": view.limits.waiting_after,
        },
        "serves_port": view.serves,
        "cost_dollars": view.cost,
        "metadata": process.metadata,
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
