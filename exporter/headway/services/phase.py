"""Where a service is, and what follows the end of its process. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headway.model import Process, Status
from headway.services.definition import Policy, Restart


class Phase(StrEnum):
    """`code` is the value of headway_service_status_code."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ERROR = "error"

    @property
    def code(self) -> int:
        return PHASE_CODES[self]

    @property
    def moving(self) -> bool:
        """Whether it will be another one before long."""
        return self in (Phase.STARTING, Phase.STOPPING)


PHASE_CODES: Final[Mapping[Phase, int]] = {phase: code for code, phase in enumerate(Phase)}


class End(StrEnum):
    """How a process of a service ended, as far as its supervisor is concerned."""

    GOOD = "good"
    ASKED = "asked"
    BAD = "bad"


def end_of(process: Process) -> End:
    requested = process.cancel_requested_at is not None or getattr(process.state, "requested", False)
    if requested or process.status is Status.CANCELLED:
        return End.ASKED
    return End.GOOD if process.status is Status.DONE else End.BAD


def how(process: Process) -> str:
    """How it ended, in words."""
    if process.status is Status.DONE:
        return "ended with exit code 0"
    code = process.exit_code
    error = process.error
    if error is None:
        return f"{process.status}" + (f" with exit code {code}" if code is not None else "")
    return error if code is None or str(code) in error else f"{error} (exit code {code})"


@dataclass(frozen=True, slots=True)
class Next:
    """`again_in`: seconds until it is started again; None: it is not. `failures`: how many in a row there are now."""

    again_in: float | None
    failures: int
    gave_up: bool = False


def after_end(restart: Restart, end: End, ran_for: float, failures: int) -> Next:
    """What a policy makes of an end. `ran_for` seconds since it was ready (0: it never was); `failures` in a row before this."""
    if end is not End.BAD:
        again = restart.policy is Policy.ALWAYS
        return Next(restart.backoff if again else None, 0)
    failures = (0 if ran_for >= restart.stable > 0 else failures) + 1
    if restart.policy is Policy.NEVER:
        return Next(None, failures)
    if 0 < restart.tries <= failures:
        return Next(None, failures, gave_up=True)
    return Next(min(restart.longest, restart.backoff * 2.0 ** min(failures - 1, 30)), failures)
