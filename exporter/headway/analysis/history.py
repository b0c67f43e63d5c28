"""Ended runs, grouped and judged: what counts as a failure, and how long a run took. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headway.model import Failed, Killed, Kind, Orphaned, Process, Status, TimedOut

NameKey = tuple[str, Kind]


def is_failure(process: Process) -> bool:
    """Ended badly, and not because somebody wanted it: failed, timed out, orphaned, or killed by nobody knows whom."""
    state = process.state
    return isinstance(state, Failed | TimedOut | Orphaned) or (isinstance(state, Killed) and not state.requested)


def is_stopped(process: Process) -> bool:
    """Ended by somebody's wish, which says neither that it works nor that it does not."""
    return process.status.ended and process.status is not Status.DONE and not is_failure(process)


def duration(process: Process) -> float | None:
    """From start to end; None without either."""
    return None if process.finished_at is None else process.elapsed(process.finished_at)


def good_durations(runs: Iterable[Process]) -> list[float]:
    """Of those that are done, in the order given."""
    return [d for run in runs if run.status is Status.DONE and (d := duration(run)) is not None]


def by_name(history: Iterable[Process]) -> dict[NameKey, list[Process]]:
    """The ended runs of each name, the earliest end first; names in order."""
    found: dict[NameKey, list[Process]] = {}
    for process in history:
        if process.finished_at is not None:
            found.setdefault((process.name, process.kind), []).append(process)
    for runs in found.values():
        runs.sort(key=lambda run: (run.finished_at or 0.0, run.id))
    return dict(sorted(found.items()))


def within(history: Sequence[Process], since: float, until: float) -> list[Process]:
    """Those that ended in the time."""
    return [run for run in history if run.finished_at is not None and since <= run.finished_at <= until]
