"""What is sent to start and end things: signals, scopes, commands, services."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from headway.model import Kind
from headway.schemas.fields import MAX_COUNT, Duration, Id, Label, Name, Pid, Seconds, Text, Variable, Word
from headway.schemas.reports import ThresholdsIn


class EmptyIn(Struct, forbid_unknown_fields=True):
    """Nothing is required."""


SignalName = (
    Annotated[int, Meta(ge=1, le=64)]
    | Annotated[
        str,
        Meta(
            max_length=16,
            description="with or without SIG, or the number: TERM, INT, HUP, QUIT, ABRT, USR1, USR2, KILL",
            extra_json_schema={"pattern": "^(SIG)?(TERM|INT|HUP|QUIT|ABRT|USR1|USR2|KILL)$"},
        ),
    ]
)


class KillIn(Struct, forbid_unknown_fields=True):
    """`grace`: who has not ended so long after the signal gets SIGKILL; at most 60 s."""

    signal: SignalName = "SIGTERM"
    grace: Duration = 5.0


class ResourcesIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a command may use. `memory` (bytes, or text such as "512 MiB") and `cpu_time` are of its whole tree, which is ended when
    it used more; `open_files` and `nice` hold for each OS process in it."""

    memory: (
        Annotated[int, Meta(ge=1, le=MAX_COUNT)]
        | Annotated[
            str, Meta(max_length=32, examples=["512 MiB", "2GiB"], extra_json_schema={"pattern": "^[1-9][0-9]{0,5} ?(MiB|GiB)$"})
        ]
        | None
    ) = None
    cpu_time: Duration | None = None
    open_files: Annotated[int, Meta(ge=1, le=2**30)] | None = None
    nice: Annotated[int, Meta(ge=-20, le=19, description="less than 0 needs an exporter that runs as root")] | None = None


class TrackIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """A command to be started: a text for the shell, or a list of words without one. `env` is added to its environment; `grace` is
    between the polite signal and SIGKILL when `kill_on_timeout` ends it; `retry`: started again so often while it fails; `at_most`:
    it is queued until fewer of its `group` go that came before it by `at_most`."""

    command: Annotated[str, Meta(min_length=1, max_length=16384)] | Annotated[list[Word], Meta(min_length=1, max_length=1024)]
    name: Name | None = None
    type: Kind = Kind.TASK
    id: Id | UnsetType = UNSET
    parent_id: Id | None = None
    description: Text | None = None
    user: Label | None = None
    project: Label | None = None
    task: Label | None = None
    attempt: Label | None = None
    agent: Label | None = None
    group: Label | None = None
    cwd: Text | None = None
    env: dict[Variable, Word] = {}
    executor: bool = False
    expected_duration: Duration | None = None
    timeout: Duration | None = None
    kill_on_timeout: bool = False
    grace: Duration | None = None
    retry: Annotated[int, Meta(ge=0, le=100)] = 0
    at_most: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    metadata: dict[str, Any] = {}
    thresholds: ThresholdsIn | UnsetType = UNSET
    limits: ResourcesIn | None = None


class PidScope(Struct, tag_field="type", tag="pid", forbid_unknown_fields=True):
    """An OS process, tracked or not; with `create_time` (unix s) only if it is still the same."""

    pid: Pid
    create_time: Seconds | None = None


class ProcessScope(Struct, tag_field="type", tag="process", forbid_unknown_fields=True):
    process_id: Id


class TaskScope(Struct, tag_field="type", tag="task", forbid_unknown_fields=True):
    task_id: Label


class ProjectScope(Struct, tag_field="type", tag="project", forbid_unknown_fields=True):
    project_id: Label


class GroupScope(Struct, tag_field="type", tag="group", forbid_unknown_fields=True):
    group_id: Label


class AttemptScope(Struct, tag_field="type", tag="attempt", forbid_unknown_fields=True):
    attempt_id: Label


class ExecutorlessScope(Struct, tag_field="type", tag="all_except_executors", forbid_unknown_fields=True):
    """Everything that is active but the executors and what only they run."""


class AllScope(Struct, tag_field="type", tag="all", forbid_unknown_fields=True):
    """Everything that is active."""


Scope = PidScope | ProcessScope | TaskScope | ProjectScope | GroupScope | AttemptScope | ExecutorlessScope | AllScope


class KillScopeIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """`dry_run`: only say what would be ended."""

    scope: Scope
    signal: SignalName = "SIGTERM"
    grace: Duration = 5.0
    dry_run: bool = False


class CleanupIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """`older_than`: how long ago one must have ended that nobody needs to look into."""

    older_than: Duration = 300.0
    dry_run: bool = False


ServiceName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ServiceIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """A configured service. `wait`: answer when it is known what came of it, at most after so long; 0 answers at once."""

    name: ServiceName
    wait: Duration = 90.0


class ServicesIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """All configured services, those of a `group`, or those in `names`. `wait`: see a single one."""

    group: Label | None = None
    names: Annotated[list[ServiceName], Meta(max_length=1000)] | None = None
    for_now: Annotated[bool, Meta(description="of a stop: the next start of the exporter starts them again")] = False
    wait: Duration = 90.0
