"""Whose end took a process with it: what is ended on request, or at its timeout, is ended with everything below it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from signal import SIGTERM
from typing import Final

from headway.model import Killed, Process, Status
from headway.registry.entry import Entry

# From the request until whoever it reaches has ended: the longest grace, and the same again to say it (s).
TAKES: Final = 120.0
# A process below is seen to be gone so long after the one above at most (s).
LATE: Final = 5.0
PHRASES: Final[Mapping[Status, str]] = {
    Status.CANCELLED: "was cancelled",
    Status.KILLED: "was killed on request",
    Status.TIMED_OUT: "was ended at its timeout",
}


def ended_with(process: Process, at: float, entries: Mapping[str, Entry]) -> str | None:
    """Why a process that was gone at `at` (unix s) without a word needs nobody's attention: the end of one above it, in words. None
    where none of them was ended on purpose at that time."""
    for above in ancestors(process, entries):
        ended_at = above.finished_at
        if ended_at is None or above.status not in PHRASES or (isinstance(above.state, Killed) and not above.state.requested):
            continue
        if ended_at - TAKES <= at <= ended_at + LATE:
            return f"it ended with {above.name}, which {PHRASES[above.status]}"
    return None


def as_asked_above(process: Process, at: float, entries: Mapping[str, Entry]) -> Process:
    """The same; of one that was killed, and that nobody asked to end, as on request where one above it was asked to end, or ran
    into its timeout, shortly before `at` (unix s). After a timeout a crash or a kill for want of memory is none of that."""
    state = process.state
    if not isinstance(state, Killed) or state.requested:
        return process
    # A timeout may be one that ends nothing; who is ended for it hears SIGTERM first, and of what SIGKILL ends then nobody tells.
    timely = state.signal in (None, SIGTERM)
    for above in ancestors(process, entries):
        limit = above.spec.timeout if timely else None
        due = None if above.started_at is None or limit is None else above.started_at + limit
        if any(since is not None and since <= at <= since + TAKES for since in (above.cancel_requested_at, due)):
            return replace(process, state=replace(state, requested=True))
    return process


def ancestors(process: Process, entries: Mapping[str, Entry]) -> Iterator[Process]:
    """Those above it that are known, the nearest first."""
    seen = {process.id}
    parent_id = process.spec.parent_id
    while parent_id is not None and parent_id not in seen and (entry := entries.get(parent_id)) is not None:
        seen.add(parent_id)
        yield entry.process
        parent_id = entry.process.spec.parent_id
