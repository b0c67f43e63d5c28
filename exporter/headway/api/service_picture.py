"""A service as the API shows it."""

from __future__ import annotations

from typing import Any

from headway.api.answers import timestamp
from headway.model import Process
from headway.registry.entry import Entry
from headway.services.phase import Phase
from headway.services.supervisor import Supervisor
from headway.services.unit import Unit


def picture(supervisor: Supervisor, unit: Unit) -> dict[str, Any]:
    """Times as RFC 3339 text, durations in seconds, null for what is not known."""
    service, known, now = unit.service, unit.remembered, supervisor.registry.clock()
    process = unit.process
    entry: Entry | None = None if process is None else supervisor.registry.entries.get(process.id)
    os_process = None if process is None else process.spec.os_process
    sample = None if entry is None else entry.sample
    reason = unit.reason
    if unit.phase is Phase.RUNNING and process is not None and process.status == "paused":
        reason = "paused"
    return {
        "name": unit.name,
        "status": unit.phase.value,
        "status_code": unit.phase.code,
        "reason": reason or None,
        "since": timestamp(unit.since),
        "wanted": unit.wanted,
        "gave_up": unit.gave_up,
        "settled": unit.settled,
        "type": service.kind.value,
        "group": service.group,
        "description": service.description,
        "depends_on": list(service.depends_on),
        "process_id": known.process_id,
        "last_process_id": known.last_process_id,
        "pid": None if os_process is None or process is None or process.status.ended else os_process.pid,
        "uptime_seconds": None if unit.ready_at is None else max(0.0, now - _began(process, unit.ready_at)),
        "cpu_ratio": None if sample is None else sample.cpu_ratio,
        "memory_bytes": None if sample is None else sample.resident_bytes,
        "port": service.port,
        "port_open": unit.port_open,
        "health": None if service.health is None or unit.ready_at is None else unit.health or "ok",
        "restarts": known.restarts,
        "failures": known.failures,
        "next_start": timestamp(unit.again_at),
        "outdated": unit.outdated,
        "schedule": _schedule(supervisor, unit),
    }


def _began(process: Process | None, ready_at: float) -> float:
    """When its process began, which an exporter that was started since took over."""
    return ready_at if process is None or process.started_at is None else process.started_at


def _schedule(supervisor: Supervisor, unit: Unit) -> dict[str, Any] | None:
    schedule, known = unit.service.schedule, unit.remembered
    if schedule is None:
        return None
    next_run = supervisor.next_run(unit)
    stats = supervisor.registry.totals.names.get((unit.name, unit.service.kind))
    return {
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "overlap": schedule.overlap.value,
        "missed_policy": schedule.missed.value,
        "next_run": timestamp(next_run),
        "last_run": timestamp(known.last_run_at),
        "last_status": None if stats is None or stats.last_status is None else stats.last_status.value,
        "missed": known.missed,
        "overlapped": known.overlapped,
    }
