"""Which state follows which: pure functions from a process and a wish to its next state."""

from __future__ import annotations

from headway.errors import Conflict
from headway.model import (
    TRANSITIONS,
    Cancelled,
    Done,
    Failed,
    Killed,
    Orphaned,
    Paused,
    Process,
    Queued,
    Running,
    Starting,
    State,
    Status,
    Stopping,
    TimedOut,
)


def advance(
    process: Process,
    to: Status,
    *,
    at: float,
    exit_code: int | None = None,
    signal: int | None = None,
    error: str | None = None,
    requested: bool = False,
) -> State:
    """The state after the transition to `to` at time `at` (unix s). Raises Conflict when it is not legal.

    A start that lies after `at` (an event that was under way for long) is moved to `at`: a duration is never negative.
    """
    before = process.status
    if to not in TRANSITIONS[before]:
        allowed = sorted(s.value for s in TRANSITIONS[before])
        hint = f"from {before} it can become {', '.join(allowed)}" if allowed else f"{before} is final; create a new process"
        raise Conflict(f"process {process.id} cannot go from {before} to {to}: {hint}", field="status")
    started_at = process.started_at
    if started_at is not None and started_at > at:
        started_at = at
    begun = at if started_at is None else started_at
    match to:
        case Status.QUEUED:
            return Queued()
        case Status.STARTING:
            return Starting(begun)
        case Status.RUNNING:
            return Running(begun, None if before in (Status.QUEUED, Status.STARTING) else at)
        case Status.PAUSED:
            return Paused(begun, at)
        case Status.STOPPING:
            return Stopping(started_at, at)
        case Status.DONE:
            return Done(started_at, at, exit_code, signal, error)
        case Status.FAILED:
            return Failed(started_at, at, exit_code, signal, error)
        case Status.CANCELLED:
            return Cancelled(started_at, at, exit_code, signal, error)
        case Status.KILLED:
            return Killed(started_at, at, exit_code, signal, error, requested)
        case Status.TIMED_OUT:
            return TimedOut(started_at, at, exit_code, signal, error)
        case Status.ORPHANED:
            return Orphaned(started_at, at, error)


def needs_attention(process: Process) -> bool:
    """Whether an ended process stays in the active view until someone dismisses it."""
    state = process.state
    match state:
        case Failed() | TimedOut() | Orphaned():
            return True
        case Killed():
            return not state.requested
        case _:
            return False
