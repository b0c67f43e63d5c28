"""What a service is, as the configuration says it. Pure data."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any

from headway.model import Kind
from headway.resources import Resources


class Policy(StrEnum):
    """When a service that ended is started again. On failure: with another exit code than 0, or by a signal nobody asked for."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Overlap(StrEnum):
    """What becomes of a run that is due while the one before goes on."""

    SKIP = "skip"
    QUEUE = "queue"


class Missed(StrEnum):
    """What becomes of runs that were due while nothing could start them."""

    SKIP = "skip"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A check: exactly one of `http` (an address that answers below 400), `tcp` (host:port that accepts) and `command` (ends with
    0). While a service runs it is asked every `interval` seconds; after `failures` in a row the service is in error, and with
    `restart` it is started anew. Each has `timeout` seconds."""

    http: str | None = None
    tcp: str | None = None
    command: tuple[str, ...] | None = None
    interval: float = 10.0
    timeout: float = 3.0
    failures: int = 3
    restart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """`backoff` seconds before the first new start, twice as long before each further one up to `longest`; given up after `tries`
    in a row (0: never). A run of `stable` seconds begins the count anew."""

    policy: Policy = Policy.ON_FAILURE
    backoff: float = 1.0
    longest: float = 60.0
    tries: int = 5
    stable: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`cron`: minute hour day month weekday; with `time_zone` (IANA name), else the machine's."""

    cron: str
    time_zone: str | None = None
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.SKIP


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRotation:
    rotate_at: int = 10_000_000
    keep: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. `command` is a text for the shell, or words without one. `pid_file`, `port` and `match` (a regular expression
    for the command line) say how one that runs already is recognised, beside its own command line. Durations are seconds."""

    name: str
    command: str | tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    health: Health | None = None
    pid_file: str | None = None
    match: str | None = None
    group: str | None = None
    depends_on: tuple[str, ...] = ()
    limits: Resources = field(default_factory=Resources)
    restart: Restart = Restart()
    schedule: Schedule | None = None
    log: LogRotation = LogRotation()
    autostart: bool = True
    start_timeout: float = 60.0
    stop_signal: str = "SIGTERM"
    stop_grace: float = 5.0
    kind: Kind = Kind.DAEMON
    description: str | None = None
    user: str | None = None
    project: str | None = None
    task: str | None = None
    agent: str | None = None
    expected_duration: float | None = None
    timeout: float | None = None
    kill_on_timeout: bool = False
    stuck_after: float | None = None
    place: str = ""

    def __str__(self) -> str:
        """What is run and when, in a few words; variables may hold secrets and are left out."""
        said = [
            self.command if isinstance(self.command, str) else shlex.join(self.command),
            f"port {self.port}" if self.port is not None else "",
            f"schedule {self.schedule.cron}" if self.schedule is not None else "",
            f"group {self.group}" if self.group is not None else "",
            f"after {', '.join(self.depends_on)}" if self.depends_on else "",
            "" if self.schedule is not None else f"restart {self.restart.policy}",
            "" if self.autostart else "not started by itself",
        ]
        return "; ".join(part for part in said if part)

    @property
    def mark(self) -> str:
        """Changes with everything that is said of it, wherever it is said."""
        said = asdict(self)
        del said["place"]
        return _digest(said)

    @property
    def fingerprint(self) -> str:
        """Changes with everything that a running one would have to be started anew for."""
        said = asdict(self)
        for later in ("place", "health", "restart", "schedule", "autostart", "depends_on", "stop_signal", "stop_grace"):
            del said[later]
        return _digest(said)


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def in_order(services: Iterable[Service]) -> list[Service]:
    """Each after those it depends on; else in the order given. Raises ValueError with the names of a circle."""
    by_name = {service.name: service for service in services}
    sorter = TopologicalSorter({name: [d for d in service.depends_on if d in by_name] for name, service in by_name.items()})
    try:
        return [by_name[name] for name in sorter.static_order()]
    except CycleError as error:
        raise ValueError(" → ".join(reversed(error.args[1]))) from None


def with_needed(names: Iterable[str], services: Mapping[str, Service]) -> list[Service]:
    """These and all that they depend on, in the order of starting. Raises KeyError for an unknown name."""
    found: dict[str, Service] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = services[name]
            todo += services[name].depends_on
    return [service for service in in_order(services.values()) if service.name in found]
