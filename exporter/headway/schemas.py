"""The shapes of requests: what may be sent, within which bounds, and how a wrong one is explained.

A field that was not sent is UNSET, which is not the same as null. Numbers must be finite, unknown fields are refused with a
suggestion. The same declarations make the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from headway.durations import parse_duration
from headway.errors import HeadwayError, InvalidInput, MalformedRequest, TooLarge
from headway.explanation import explain
from headway.labels import VISIBLE, tidied
from headway.model import Condition, Kind, Status

MAX_BATCH: Final = 1000
MAX_LINES: Final = 1000
MAX_LINE_CHARS: Final = 8192
# SQLite and metrics hold 64-bit numbers; beyond 2^53 a float cannot count by one any more.
MAX_COUNT: Final = 2**53

Id = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="1 to 64 of A-Z a-z 0-9 _ -", examples=["nightly-backfill-42"]),
]
Label = Annotated[str, Meta(max_length=256)]
Name = Annotated[str, Meta(pattern=VISIBLE, max_length=512, examples=["NLP Backfill"])]
Text = Annotated[str, Meta(max_length=4096)]
Command = Annotated[str, Meta(max_length=16384)]
# No NUL: the kernel ends a word there.
Word = Annotated[str, Meta(max_length=16384, pattern=r"^[^\x00]*$")]
Variable = Annotated[str, Meta(max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Count = Annotated[float, Meta(ge=0, le=MAX_COUNT)]
Rate = Annotated[float, Meta(ge=0, le=1e12, description="items per minute")]
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
Duration = (
    Annotated[float, Meta(ge=0, le=1e10)]
    | Annotated[
        str,
        # The pattern is for the document; headway.durations explains a wrong value better than a regular expression could.
        Meta(max_length=32, examples=["90s", "5m", "1h30m"], extra_json_schema={"pattern": "^[0-9]{1,6}(s|m|h)$"}),
    ]
)
Timeframe = Annotated[str, Meta(max_length=32, examples=["1h", "24h", "30d"], extra_json_schema={"pattern": "^[0-9]{1,3}(m|h|d)$"})]
Ratio = Annotated[float, Meta(ge=0, le=1e6)]
ExitCode = Annotated[int, Meta(ge=-255, le=0xFFFFFFFF)]
Signal = Annotated[int, Meta(ge=1, le=64)]
Pid = Annotated[int, Meta(ge=1, le=2**22)]
Sequence = Annotated[int, Meta(ge=1, le=MAX_COUNT)]


class ProgressIn(Struct, forbid_unknown_fields=True, rename=None):
    """`initial` items were done before this execution began (a resumed job); they do not count towards the rate."""

    current: Count | UnsetType | None = UNSET
    total: Count | UnsetType | None = UNSET
    unit: Annotated[str, Meta(max_length=64)] | UnsetType | None = UNSET
    initial: Count | UnsetType | None = UNSET


class ThresholdsIn(Struct, forbid_unknown_fields=True):
    """Limits of the gates for this process alone; null returns to the setting."""

    stuck_after: Duration | UnsetType | None = UNSET
    time_sink_ratio: Ratio | UnsetType | None = UNSET
    time_sink_after: Duration | UnsetType | None = UNSET
    cpu_ratio: Ratio | UnsetType | None = UNSET
    memory_ratio: Ratio | UnsetType | None = UNSET


class CreateIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """A new process. Give an `id` to make the call repeatable."""

    name: Name
    type: Kind
    id: Id | UnsetType = UNSET
    status: Literal["queued", "running"] = "running"
    progress: ProgressIn | UnsetType = UNSET
    stage: Label | None = None
    parent_id: Id | None = None
    pid: Pid | None = None
    create_time: Seconds | None = None
    pid_namespace: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    host: Label | None = None
    lease: Duration | None = None
    command: Command | None = None
    description: Text | None = None
    user: Label | None = None
    project: Label | None = None
    task: Label | None = None
    attempt: Label | None = None
    agent: Label | None = None
    group: Label | None = None
    cwd: Text | None = None
    executor: bool = False
    cancellable: bool = False
    expected_duration: Duration | None = None
    timeout: Duration | None = None
    rate: Rate | None = None
    eta_seconds: Seconds | None = None
    metadata: dict[str, Any] | UnsetType = UNSET
    thresholds: ThresholdsIn | UnsetType = UNSET
    started_age: Annotated[float, Meta(ge=0, le=1e10, description="seconds between the start and the sending")] = 0.0

    def __post_init__(self) -> None:
        self.name = tidied(self.name)


Age = Annotated[float, Meta(ge=0, le=1e10)]


class UpdateIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """Any of these; what is not sent stays. `seq` makes a repeat harmless, `age` is how many seconds ago it happened."""

    status: Status | UnsetType = UNSET
    progress: ProgressIn | UnsetType = UNSET
    stage: Label | UnsetType | None = UNSET
    log: str | Annotated[list[str], Meta(max_length=MAX_LINES)] | UnsetType = UNSET
    summary: Text | UnsetType | None = UNSET
    error: Text | UnsetType | None = UNSET
    exit_code: ExitCode | UnsetType | None = UNSET
    signal: Signal | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    rate: Rate | UnsetType | None = UNSET
    eta_seconds: Seconds | UnsetType | None = UNSET
    expected_duration: Duration | UnsetType | None = UNSET
    timeout: Duration | UnsetType | None = UNSET
    thresholds: ThresholdsIn | UnsetType = UNSET
    output: Annotated[bool, Meta(description="true: something was written that is no line yet")] | UnsetType = UNSET
    alive: Annotated[bool, Meta(description="true only renews the lease; it is not progress")] = False
    seq: Sequence | UnsetType = UNSET
    age: Age = 0.0


class KnownItem(UpdateIn, forbid_unknown_fields=True, kw_only=True):
    """An update in a batch whose id was not looked at."""

    id: str


class CurrentIn(Struct, forbid_unknown_fields=True, gc=False):
    """So many items are done."""

    current: Count


class ProgressItem(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What nearly every item of a batch says, and nothing else."""

    id: str
    progress: CurrentIn
    seq: Sequence | UnsetType = UNSET
    age: Age = 0.0

    def whole(self) -> UpdateIn:
        return UpdateIn(progress=ProgressIn(current=self.progress.current), seq=self.seq, age=self.age)


class BatchItem(KnownItem, forbid_unknown_fields=True, kw_only=True):
    """An update of one process; with `create`, its creation first (harmless if it exists already)."""

    id: Id
    create: CreateIn | UnsetType = UNSET


class WrongItem(NamedTuple):
    """An item of a batch that cannot be read, and its id if that can."""

    id: str | None
    error: HeadwayError


class _Named(Struct):
    id: Id


class BatchIn(Struct, forbid_unknown_fields=True):
    items: Annotated[list[BatchItem], Meta(max_length=MAX_BATCH)]


class _KnownBatch(Struct, forbid_unknown_fields=True):
    items: Annotated[list[KnownItem], Meta(max_length=MAX_BATCH)]


class _ProgressBatch(Struct, forbid_unknown_fields=True):
    items: Annotated[list[ProgressItem], Meta(max_length=MAX_BATCH)]


class _RawBatch(Struct, forbid_unknown_fields=True):
    items: Annotated[list[msgspec.Raw], Meta(max_length=MAX_BATCH)]


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
    between the polite signal and SIGKILL when `kill_on_timeout` ends it; `retry`: started again so often while it fails."""

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


class ServiceParams(Struct, forbid_unknown_fields=True):
    """Filters of the list of services."""

    name: ServiceName | None = None
    group: Label | None = None


class LogParams(Struct, forbid_unknown_fields=True):
    lines: Annotated[int, Meta(ge=0, le=100_000)] = 100
    follow: bool = False


class ListParams(Struct, forbid_unknown_fields=True):
    """Filters of the list; several together must all hold."""

    status: str | None = None
    state: (
        Annotated[
            str,
            Meta(
                description="statuses, conditions, active, ended, completed (done), all, or undismissed (ended badly, and not "
                "dismissed); several with commas. Default: running"
            ),
        ]
        | None
    ) = None
    type: Kind | None = None
    user: Label | None = None
    project: Label | None = None
    task: Label | None = None
    attempt: Label | None = None
    agent: Label | None = None
    group: Label | None = None
    parent: Id | None = None
    name: Name | None = None
    executors_only: bool = False
    since: Annotated[str, Meta(max_length=64)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    cursor: Annotated[str, Meta(max_length=256)] | None = None


class AnalyzeParams(Struct, forbid_unknown_fields=True):
    """Of which processes, and how far back: `timeframe` (7d), or `since` a time."""

    type: Kind | None = None
    name: Name | None = None
    project: Label | None = None
    since: Annotated[str, Meta(max_length=64)] | None = None
    timeframe: Timeframe | None = None


class ReportParams(Struct, forbid_unknown_fields=True):
    timeframe: Timeframe | None = None


class TrendParams(Struct, forbid_unknown_fields=True):
    """`source`: store does not ask Prometheus."""

    timeframe: Timeframe = "24h"
    type: Kind | None = None
    name: Name | None = None
    project: Label | None = None
    source: Literal["auto", "store"] = "auto"


class SuggestParams(Struct, forbid_unknown_fields=True):
    name: Name
    type: Kind | None = None


class OutputParams(Struct, forbid_unknown_fields=True):
    tail: Annotated[int, Meta(ge=0, le=100_000)] = 500
    follow: bool = False


class NoParams(Struct, forbid_unknown_fields=True):
    """The call takes no parameters."""


# What ended badly (failed, timed out, orphaned, killed by nobody knows whom) and was not dismissed.
UNDISMISSED: Final = "undismissed"
STATE_WORDS: Final = (*(s.value for s in Status), *(c.value for c in Condition), "completed", "active", "ended", UNDISMISSED, "all")

T = TypeVar("T", bound=Struct)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_known_batch: Final = msgspec.json.Decoder(_KnownBatch).decode
_named: Final = msgspec.json.Decoder(_Named).decode
_progress_batch: Final = msgspec.json.Decoder(_ProgressBatch).decode


def decode(body: bytes, shape: type[T]) -> T:
    """`body` as JSON of this shape. Raises MalformedRequest (not JSON) or InvalidInput (names the field and the fix)."""
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    try:
        answer: T = decoder.decode(body)
        return answer
    except msgspec.ValidationError as error:
        raise explain(error, shape, sent=body) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"the body is not valid JSON: {error}. Send one JSON object, UTF-8, numbers finite.") from None
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply; at most some hundred levels can be read") from None


def decode_batch(body: bytes, known: Container[str] = ()) -> list[ProgressItem | KnownItem | WrongItem]:
    """The items of a batch; what is wrong with one is said in its place, so that the others are not lost with it.

    `known` are ids of processes there are. Items that only update those are the bulk of all batches, and read at half the cost:
    whether such an id is well formed was found out when it was created.
    """
    if (quick := decode_known(body)) is not None and all(item.id in known for item in quick):
        return [*quick]
    try:
        return list(decode(body, BatchIn).items)
    except InvalidInput:
        raw = decode(body, _RawBatch)
    items: list[ProgressItem | KnownItem | WrongItem] = []
    for part in raw.items:
        try:
            items.append(decode(bytes(part), BatchItem))
        except (InvalidInput, MalformedRequest) as error:
            items.append(WrongItem(_id_of(bytes(part)), error))
    return items


def _id_of(item: bytes) -> str | None:
    """Of an item with which something else is wrong; None where it has none, or one that is no id."""
    try:
        found: str = _named(item).id
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def decode_known(body: bytes) -> list[ProgressItem] | list[KnownItem] | None:
    """The items of a batch that only updates; None for any other, and where something is wrong. That a process has such an id shows
    that it is one."""
    try:
        return _progress_batch(body).items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _known_batch(body).items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def parse_params(params: Mapping[str, str], shape: type[T]) -> T:
    """Query parameters as this shape; numbers and booleans are read from text. Raises InvalidInput."""
    try:
        return msgspec.convert(dict(params), shape, strict=False)
    except msgspec.ValidationError as error:
        raise explain(error, shape, what="query parameter", sent=dict(params)) from None


def seconds(value: float | str, field: str) -> float:
    """A duration in seconds. Raises InvalidInput naming `field`."""
    try:
        return parse_duration(value)
    except ValueError as error:
        raise InvalidInput(f"{field}: {error}", field=field) from None


def check_metadata(metadata: Mapping[str, Any], limit: int) -> None:
    """Raises TooLarge over `limit` bytes of JSON, InvalidInput for what JSON cannot hold."""
    try:
        size = len(msgspec.json.encode(metadata))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"metadata cannot be stored as JSON: {error}", field="metadata") from None
    if size > limit:
        raise TooLarge(
            f"metadata would be {size} bytes; at most {limit} are kept. Store large results elsewhere and keep a reference.",
            field="metadata",
        )
