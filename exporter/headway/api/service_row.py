"""A service as the page shows it: one row, and what to type in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from headway.durations import format_duration
from headway.figures import size

MARKS: Final[Mapping[str, str]] = {"stopped": "○", "starting": "◌", "running": "●", "stopping": "◍", "error": "✗"}


def service_row(body: Mapping[str, Any], now: float) -> dict[str, Any]:
    """From the service as the API shows it."""
    status, schedule = body["status"], body["schedule"]
    return {
        "name": body["name"],
        "status": status,
        "mark": MARKS[status],
        "reasons": reasons(body),
        # Where the output and the end of the last one are, while there is no present one.
        "process_id": body["process_id"] or body["last_process_id"],
        "facts": " · ".join(part for part in (body["type"], body["group"], needs(body)) if part),
        "description": body["description"],
        "pid": body["pid"],
        "port": body["port"],
        "port_text": "" if body["port"] is None else "open" if body["port_open"] else "closed",
        "uptime": "" if body["uptime_seconds"] is None else format_duration(body["uptime_seconds"]),
        "cpu": "" if body["cpu_ratio"] is None else f"{body['cpu_ratio'] * 100:.0f}%",
        "memory": "" if body["memory_bytes"] is None else size(body["memory_bytes"]),
        "restarts": body["restarts"],
        "next": upcoming(body["next_start"] or (schedule or {}).get("next_run"), now),
        "schedule": [] if schedule is None else schedule_lines(schedule),
        "commands": commands(body),
    }


def reasons(body: Mapping[str, Any]) -> list[str]:
    found = [body["reason"]] if body["reason"] else []
    if body["outdated"]:
        found.append("runs with an older configuration than the present one")
    return found


def needs(body: Mapping[str, Any]) -> str:
    return f"needs {', '.join(body['depends_on'])}" if body["depends_on"] else ""


def schedule_lines(schedule: Mapping[str, Any]) -> list[str]:
    """When it is due, how its last run went, which runs were left out."""
    zone = f" ({schedule['time_zone']})" if schedule["time_zone"] else ""
    found = [f"due {schedule['cron']}{zone}"]
    if schedule["last_run"]:
        result = f": {schedule['last_status'].replace('_', ' ')}" if schedule["last_status"] else ""
        found.append(f"last run {moment(schedule['last_run'])}{result}")
    if schedule["missed"]:
        found.append(f"{schedule['missed']} missed")
    if schedule["overlapped"]:
        found.append(f"{schedule['overlapped']} left out, because the one before went on")
    return found


def upcoming(text: str | None, now: float) -> str:
    if text is None:
        return ""
    left = max(0.0, datetime.fromisoformat(text).timestamp() - now)
    return f"in {format_duration(round(left))}"


def moment(text: str) -> str:
    return text.split(".")[0].replace("T", " ").removesuffix("Z") + " UTC"


def commands(body: Mapping[str, Any]) -> list[str]:
    """What to type, for who would change it or see more."""
    name = body["name"]
    idle = body["status"] in ("stopped", "error") and body["pid"] is None
    found = [f"headway up {name}"] if idle else [f"headway restart {name}"]
    if not idle or body["wanted"]:
        found.append(f"headway down {name}")
    return [*found, f"headway logs {name}"]
