"""When a run of a name is due that somebody else starts: cron, a timer, a person. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headway.durations import format_duration
from headway.services.definition import Schedule

NAME_MAX: Final = 200
GRACE: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Either `schedule`, or `every`: so many seconds after the beginning of the last run the next one has begun. A run that begins
    later than `grace` seconds after its time was missed."""

    name: str
    schedule: Schedule | None = None
    every: float | None = None
    grace: float = GRACE
    place: str = ""

    @property
    def when(self) -> str:
        """The cron expression with its time zone, or "every 1h"."""
        if self.schedule is not None:
            return self.schedule.cron + (f" ({self.schedule.time_zone})" if self.schedule.time_zone else "")
        assert self.every is not None
        return f"every {format_duration(self.every)}"

    def __str__(self) -> str:
        return f"{'schedule ' if self.schedule is not None else ''}{self.when}; grace {format_duration(self.grace)}"
