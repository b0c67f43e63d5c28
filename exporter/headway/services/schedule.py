"""When the next run of a scheduled service is due, which runs were missed, and which would overlap. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headway.services.cron import missed_between, next_due
from headway.services.definition import Missed, Overlap, Schedule

# A run that begins later than this (s) after its time was missed.
LATE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done now: `run` names the time (unix s) for which a run is to begin; `queue` one that is to begin after the
    present one; `missed` and `overlapped` are to be added to the counts."""

    run: float | None = None
    queue: float | None = None
    missed: int = 0
    overlapped: int = 0


def due_now(schedule: Schedule, seen: float, now: float, running: bool) -> Due | None:
    """What the times in (`seen`, `now`] ask for; None when there was none."""
    count, last = missed_between(schedule, seen, now)
    if last is None:
        return None
    late = now - last > LATE
    missed = count if late else count - 1
    if late and schedule.missed is Missed.SKIP:
        return Due(missed=missed)
    if not running:
        return Due(run=last, missed=missed)
    if schedule.overlap is Overlap.QUEUE:
        return Due(queue=last, missed=missed)
    return Due(missed=missed, overlapped=1)


class Clockwork:
    """The next time of one schedule, worked out once and not at every look."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._seen: float | None = None
        self._next: float | None = None

    def next(self, seen: float) -> float | None:
        """The first time after `seen` (unix s)."""
        if self._seen != seen:
            self._seen, self._next = seen, next_due(self.schedule, seen)
        return self._next
