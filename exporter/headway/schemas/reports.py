"""What reporters send: creations, updates, batches."""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from headway.errors import HeadwayError, InvalidInput, MalformedRequest
from headway.labels import tidied
from headway.model import Kind, Status
from headway.schemas.decoding import decode
from headway.schemas.fields import (
    MAX_BATCH,
    MAX_LINES,
    Bytes,
    Command,
    Count,
    Duration,
    ExitCode,
    Id,
    Label,
    Name,
    Pid,
    Rate,
    Ratio,
    Seconds,
    Sequence,
    Signal,
    Text,
    WaitingText,
)


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
    waiting_after: Duration | UnsetType | None = UNSET


Namespace = Annotated[int, Meta(ge=1, le=2**63 - 1)]


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
    pid_namespace: Namespace | None = None
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


class UsedIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """What an OS process and the children that it waited for used of the machine, from its start to its end, as the kernel tells
    its parent (`wait4`): CPU time, and bytes read from and written to storage."""

    cpu_seconds: Seconds = 0.0
    io_read_bytes: Bytes = 0
    io_written_bytes: Bytes = 0


Age = Annotated[float, Meta(ge=0, le=1e10)]


class UpdateIn(Struct, forbid_unknown_fields=True, kw_only=True):
    """Any of these; what is not sent stays. `seq` makes a repeat harmless, `age` is how many seconds ago it happened. `pid`,
    `create_time` and `pid_namespace` belong to the update that lets a queued one begin: that OS process is the work then.
    `used` belongs to the update that ends it, and counts as far as the sampler did not see more.
    `waiting_for`: what a person is to do before it goes on; null: it goes on. `waited_for`: it goes on if it waits for that, as
    one of several that may wait says it."""

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
    pid: Pid | UnsetType = UNSET
    create_time: Seconds | UnsetType = UNSET
    pid_namespace: Namespace | UnsetType = UNSET
    output: Annotated[bool, Meta(description="true: something was written that is no line yet")] | UnsetType = UNSET
    waiting_for: WaitingText | UnsetType | None = UNSET
    waited_for: WaitingText | UnsetType = UNSET
    used: UsedIn | UnsetType = UNSET
    alive: Annotated[bool, Meta(description="true only renews the lease; it is not progress")] = False
    seq: Sequence | UnsetType = UNSET
    age: Age = 0.0


class KnownItem(UpdateIn, forbid_unknown_fields=True, kw_only=True):
    """An update in a batch whose id was not looked at."""

    id: str


class CurrentIn(Struct, forbid_unknown_fields=True, gc=False):
    """So many items are done."""

    current: Count


class ProgressUpdate(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What nearly every update says, and nothing else."""

    progress: CurrentIn
    seq: Sequence | UnsetType = UNSET
    age: Age = 0.0

    def whole(self) -> UpdateIn:
        return UpdateIn(progress=ProgressIn(current=self.progress.current), seq=self.seq, age=self.age)


class ProgressItem(ProgressUpdate, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The same as an item of a batch."""

    id: str


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


# A body that is longer says more than how much is done.
SHORT: Final = 96
_progress: Final = msgspec.json.Decoder(ProgressUpdate).decode
_known_batch: Final = msgspec.json.Decoder(_KnownBatch).decode
_named: Final = msgspec.json.Decoder(_Named).decode
_progress_batch: Final = msgspec.json.Decoder(_ProgressBatch).decode


def decode_update(body: bytes) -> UpdateIn | ProgressUpdate:
    """An update, in the narrower form where that is enough. Raises MalformedRequest, InvalidInput."""
    if len(body) <= SHORT:
        try:
            return _progress(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    return decode(body, UpdateIn)


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
