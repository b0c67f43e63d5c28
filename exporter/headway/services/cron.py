"""When a schedule is due. Pure but for the table of time zones.

The expressions are read by cronsim, which treats the changes of the clock as Debian's cron does: what is due at a fixed time in the
hour that is left out runs right after it, what is due in the hour that comes twice runs once, and what runs every hour or minute
runs as often as hours and minutes come.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from headway.forms import Raw
from headway.services.definition import Schedule

WORDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# Of the times that were missed so many are counted, not more: a schedule of every minute and a machine that was off for a year.
MOST_COUNTED: Final = 10_000


def read_cron(raw: Raw) -> str:
    """The expression, with single spaces. Raises ValueError, also for one that is never due."""
    from cronsim import CronSim, CronSimError

    if not isinstance(raw, str):
        raise ValueError("not one text")
    words = WORDS.get(raw.strip().lower(), raw).split()
    if len(words) != 5:
        raise ValueError(f"{len(words)} fields")
    expression = " ".join(words)
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(str(error)) from None
    except StopIteration:
        raise ValueError("it is never due") from None
    return expression


def read_zone(raw: Raw) -> str:
    """Raises ValueError."""
    try:
        return ZoneInfo(str(raw)).key
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder of the table is an OSError
        raise ValueError("not a time zone") from None


def zone_of(schedule: Schedule) -> tzinfo | None:
    """None: the machine's own, where each time has its own offset."""
    return None if schedule.time_zone is None else ZoneInfo(schedule.time_zone)


def due_after(schedule: Schedule, after: float) -> Iterator[float]:
    """The times (unix s) at which it is due after that one, the next first; ends where the calendar does."""
    from cronsim import CronSim

    start = datetime.fromtimestamp(after, zone_of(schedule) or local_zone())
    for due in CronSim(schedule.cron, start):
        at = due.timestamp()
        if at > after:
            yield at


def next_due(schedule: Schedule, after: float) -> float | None:
    return next(due_after(schedule, after), None)


def missed_between(schedule: Schedule, after: float, until: float) -> tuple[int, float | None]:
    """How many times were due in (after, until], and the last of them."""
    count, last = 0, None
    for at in due_after(schedule, after):
        if at > until or count >= MOST_COUNTED:
            break
        count, last = count + 1, at
    return count, last


def local_zone() -> tzinfo:
    """The machine's time zone with its changes of the clock; one with the present offset where its name cannot be found out."""
    import os
    from pathlib import Path

    name = os.environ.get("TZ", "").lstrip(":")
    try:
        if not name:
            target = str(Path("/etc/localtime").resolve())
            name = target.partition("zoneinfo/")[2]
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return datetime.now().astimezone().tzinfo or UTC
