"""The record of one process, its statuses and the transitions between them. Pure: standard library only, no clock, no OS.

A record is immutable; whoever changes it makes a new one with :func:`dataclasses.replace`. It has four parts that change at
different speeds, so that an update of the progress copies a dozen fields and not sixty:

- ``spec``      what it is and belongs to (:class:`Spec`), rarely changed after the creation;
- ``state``     its status with exactly the fields that make sense for it (:data:`State`), changed by transitions only;
- ``activity``  what its reporter last said (:class:`Activity`), changed by every update;
- ``metadata``  any JSON object.

All times are unix seconds (float, UTC), all durations seconds, all sizes bytes. ``rate`` inside the code is items per second;
only the JSON API speaks items per minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

from headway.used import Used

T = TypeVar("T")

# The key in the metadata of a record that tells which rule found it. Nobody promised to say how such a process ends.
DISCOVERED_BY: Final = "discovered_by"
# The key that tells how many of its group go at a time, of those that wait for their turn there.
AT_MOST: Final = "at_most"
# The key that tells how a service was found that ran before its record was made.
TAKEN_OVER: Final = "taken_over"


@dataclass_transform(frozen_default=True)
def record(model: type[T]) -> type[T]:
    """A frozen dataclass, held to that by the type checker alone: checked at run time it costs three times as much to make one, and
    each update of each process makes two. Given in their order, fields cost a third of what they cost by name."""
    return dataclass(slots=True, unsafe_hash=True)(model)


class Kind(StrEnum):
    """What sort of work a process is (`type` in the JSON API, `kind` as a metric label)."""

    SUBAGENT = "subagent"
    PIPELINE = "pipeline"
    CRON = "cron"
    DAEMON = "daemon"
    TASK = "task"


class Status(StrEnum):
    """Where a process is in its life. `code` is the value of headway_process_status_code: 1–5 active, 10–15 ended."""

    QUEUED = "queued", 1
    STARTING = "starting", 2
    RUNNING = "running", 3
    PAUSED = "paused", 4
    STOPPING = "stopping", 5
    DONE = "done", 10
    FAILED = "failed", 11
    CANCELLED = "cancelled", 12
    KILLED = "killed", 13
    TIMED_OUT = "timed_out", 14
    ORPHANED = "orphaned", 15

    # Attributes, not properties that look something up: every loop over all processes asks for them.
    code: int
    active: bool
    ended: bool

    def __new__(cls, text: str, code: int = 0) -> Status:  # `Status("done")` looks one up, and does not come here
        member = str.__new__(cls, text)
        member._value_ = text
        member.code, member.active, member.ended = code, code < 10, code >= 10
        return member


ACTIVE: Final = frozenset(s for s in Status if s.active)
ENDED: Final = frozenset(s for s in Status if s.ended)

# Ended is final, with one exception: a process that was given up for lost may report again. Who could not be ended goes on.
TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.QUEUED: frozenset({Status.STARTING, Status.RUNNING, Status.STOPPING}) | ENDED,
    Status.STARTING: frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPING}) | ENDED,
    Status.RUNNING: frozenset({Status.PAUSED, Status.STOPPING}) | ENDED,
    Status.PAUSED: frozenset({Status.RUNNING, Status.STOPPING}) | ENDED,
    Status.STOPPING: frozenset({Status.RUNNING, Status.PAUSED}) | ENDED,
    Status.DONE: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.KILLED: frozenset(),
    Status.TIMED_OUT: frozenset(),
    Status.ORPHANED: (ACTIVE | ENDED) - {Status.ORPHANED, Status.QUEUED, Status.STARTING},
}


class Condition(StrEnum):
    """What can be true of a process beside its status; several at once."""

    STUCK = "stuck"
    TIME_SINK = "time_sink"
    BOTTLENECK = "bottleneck"
    OVERDUE = "overdue"
    ZOMBIE = "zombie"
    DUPLICATE = "duplicate"
    WAITING = "waiting"


class Severity(StrEnum):
    LOW = "low"
    WARNING = "warning"
    CRITICAL = "critical"


# ── states: one class per status, each with only the fields that make sense for it ──────────────────────────────────


@dataclass(frozen=True, slots=True)
class Queued:
    status: ClassVar[Status] = Status.QUEUED


@dataclass(frozen=True, slots=True)
class Starting:
    status: ClassVar[Status] = Status.STARTING
    started_at: float


@dataclass(frozen=True, slots=True)
class Running:
    """`resumed_at`: since when it runs again, if it was paused, nearly ended, or lost in between."""

    status: ClassVar[Status] = Status.RUNNING
    started_at: float
    resumed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    status: ClassVar[Status] = Status.PAUSED
    started_at: float
    paused_at: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process is being ended from here: who asked for it, the signal, and after how long (s) comes SIGKILL. Whose processes
    may be reached on the way (None: everybody's), and whether executors are spared."""

    by: str
    signal: int
    grace: float
    user: str | None = None
    spare_executors: bool = False


@dataclass(frozen=True, slots=True)
class Stopping:
    """`ending`: None while it ends by itself; kept so that an exporter that stops meanwhile can go on after its next start."""

    status: ClassVar[Status] = Status.STOPPING
    started_at: float | None
    stopping_at: float
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Its reporter calls it a success. What it says beside that is kept and does not change it."""

    status: ClassVar[Status] = Status.DONE
    started_at: float | None
    finished_at: float
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    status: ClassVar[Status] = Status.FAILED
    started_at: float | None
    finished_at: float
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Ended on request, by its own reporter or politely by someone else."""

    status: ClassVar[Status] = Status.CANCELLED
    started_at: float | None
    finished_at: float
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Killed:
    """Ended by a signal. `requested`: through Headway, so that nobody needs to look into it."""

    status: ClassVar[Status] = Status.KILLED
    started_at: float | None
    finished_at: float
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    requested: bool = False


@dataclass(frozen=True, slots=True)
class TimedOut:
    status: ClassVar[Status] = Status.TIMED_OUT
    started_at: float | None
    finished_at: float
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Orphaned:
    """Its OS process is gone, or its reporter went silent, without a final word. `finished_at` is when it was last seen."""

    status: ClassVar[Status] = Status.ORPHANED
    started_at: float | None
    finished_at: float
    error: str | None = None


ActiveState = Queued | Starting | Running | Paused | Stopping
EndedState = Done | Failed | Cancelled | Killed | TimedOut | Orphaned
State = ActiveState | EndedState
STATES: Final[Mapping[Status, type[State]]] = {
    s.status: s for s in (Queued, Starting, Running, Paused, Stopping, Done, Failed, Cancelled, Killed, TimedOut, Orphaned)
}


# ── the record ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OSProcess:
    """One process of the kernel. A pid alone names nothing: pids are reused."""

    pid: int
    create_time: float | None = None
    pid_namespace: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Limits of the gates for one process; None means: the setting decides."""

    stuck_after: float | None = None
    time_sink_ratio: float | None = None
    time_sink_after: float | None = None
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    waiting_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a process is and what it belongs to."""

    name: str
    kind: Kind = Kind.TASK
    created_at: float
    user: str | None = None
    project: str | None = None
    task: str | None = None
    attempt: str | None = None
    agent: str | None = None
    group: str | None = None
    parent_id: str | None = None
    host: str | None = None
    os_process: OSProcess | None = None
    command: str | None = None
    description: str | None = None
    cwd: str | None = None
    executor: bool = False
    cancellable: bool = False
    expected_duration: float | None = None
    timeout: float | None = None
    lease: float | None = None
    thresholds: Thresholds = Thresholds()


@dataclass(frozen=True, slots=True)
class Waiting:
    """That it waits, or waited, for a person: what they are to do (one line), since when, and until when (unix s; None: still)."""

    what: str
    since: float
    until: float | None = None


@record
class Activity:
    """What the reporter last said, and when. `rate` (items per second) and `ends_at` (unix s) are its own, better estimates.
    `waiting`: the last time it waited for a person; :attr:`Process.waiting` says whether it does now."""

    updated_at: float
    current: float | None = None
    initial: float | None = None
    total: float | None = None
    unit: str | None = None
    stage: str | None = None
    summary: str | None = None
    rate: float | None = None
    ends_at: float | None = None
    last_output_at: float | None = None
    last_progress_at: float | None = None
    last_line: str | None = None
    seq: int = 0
    waiting: Waiting | None = None


@record
class Usage:
    """What its OS processes used, as far as they were sampled: kept with the record when it ends, because samples are not.
    `counted`: up to where that, and the tokens, are among the totals of its name, and `counted_dollars`, what it cost; None of who
    ended for good."""

    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None  # resident, of the whole tree at one time
    counted: Used | None = None
    counted_dollars: float | None = None


@record
class Process:
    """One tracked execution, from its creation to its end."""

    id: str
    spec: Spec
    state: State
    activity: Activity
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cancel_requested_at: float | None = None
    dismissed_at: float | None = None
    usage: Usage | None = None

    @property
    def status(self) -> Status:
        return self.state.status

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def kind(self) -> Kind:
        return self.spec.kind

    @property
    def started_at(self) -> float | None:
        return getattr(self.state, "started_at", None)

    @property
    def resumed_at(self) -> float | None:
        """Since when it runs again after a pause, or after it waited for a person (unix s)."""
        resumed: float | None = getattr(self.state, "resumed_at", None)
        waited = self.activity.waiting
        if waited is None or waited.until is None:
            return resumed
        return waited.until if resumed is None or waited.until > resumed else resumed

    @property
    def waiting(self) -> Waiting | None:
        """For what it waits now, if it does: whoever has ended waits for nobody."""
        found = self.activity.waiting
        return None if found is None or found.until is not None or self.state.status.ended else found

    @property
    def finished_at(self) -> float | None:
        return getattr(self.state, "finished_at", None)

    @property
    def exit_code(self) -> int | None:
        return getattr(self.state, "exit_code", None)

    @property
    def signal(self) -> int | None:
        return getattr(self.state, "signal", None)

    @property
    def error(self) -> str | None:
        return getattr(self.state, "error", None)

    @property
    def progress_ratio(self) -> float | None:
        """current / total within 0–1; None when either is unknown or there is nothing to do."""
        current, total = self.activity.current, self.activity.total
        if current is None or total is None or total <= 0:
            return None
        ratio = current / total
        return ratio if 0.0 < ratio < 1.0 else 1.0 if ratio >= 1.0 else 0.0

    def elapsed(self, now: float) -> float | None:
        """Seconds since the start, until the end; None before the start."""
        started = self.started_at
        if started is None:
            return None
        finished = None if self.state.status.active else self.finished_at
        elapsed = (now if finished is None else finished) - started
        return elapsed if elapsed > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of status. `before` is None for the creation; `cause` is a short sentence for people."""

    process_id: str
    at: float
    before: Status | None
    after: Status
    cause: str


@dataclass(frozen=True, slots=True)
class ConditionReport:
    """One condition that holds, since when (unix s), how bad, and the evidence in words. `about`: ids of the other processes that
    the reason names; `apart`: the same reason without their names, for who may not see them."""

    condition: Condition
    severity: Severity
    since: float
    reason: str
    about: tuple[str, ...] = ()
    apart: str = ""
