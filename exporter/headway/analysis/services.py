"""A configured service, or a name of which others start the runs, as far as an analysis needs it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFact:
    """`status` and `reason` as the supervisor has them; `cron` of one with a schedule; `waits_for`: what it needs that does not
    run, where that is why it is in error. Without `kept` others start it. Times are unix seconds."""

    name: str
    status: str
    reason: str | None = None
    wanted: bool = True
    kept: bool = True
    gave_up: bool = False
    waits_for: tuple[str, ...] = ()
    cron: str | None = None
    next_run_at: float | None = None
    last_run_at: float | None = None
    last_status: str | None = None
    missed: int = 0
