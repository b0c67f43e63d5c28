"""A run that failed and is run again: `metadata.retry_in`, the seconds after its end, as whoever runs it says with that. Pure."""

from __future__ import annotations

from typing import Final

from headway.model import Process, Status
from headway.own_values import finite

RETRY_IN: Final = "retry_in"
# Who says more is not believed (s): a failure that nobody hears of for so long is no repetition under way.
LONGEST: Final = 300.0
# The repetition has begun, and is known of, so long (s) after it was due; the rules know the same.
LATE: Final = 30.0


def due_at(process: Process) -> float | None:
    """When the repetition is due (unix s); None where none is to come."""
    finished_at, said = process.finished_at, finite(process.metadata.get(RETRY_IN))
    if finished_at is None or said is None or process.status not in (Status.FAILED, Status.TIMED_OUT):
        return None
    return finished_at + said if 0 <= said <= LONGEST else None
