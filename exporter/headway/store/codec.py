"""Records to bytes and back: JSON that names every field and leaves out what has its default.

JSON, because a person with nothing but the sqlite3 shell can read it (``select record ->> '$.spec.name' from processes``), because
numbers of any size in metadata survive, and because a field that is added to the model later needs no migration: what is absent
decodes to its default, and what is unknown is ignored. Compact structs are derived from the dataclasses of the model, so that a
field is declared once, there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

import msgspec

from headway.model import STATES, Activity, Process, Spec, Status, Usage
from headway.names import NameStats

T = TypeVar("T")


def _compact(model: type) -> Callable[[Any], msgspec.Struct]:
    """Makes of such a dataclass a struct with its fields that leaves out those with their default when it is encoded. The fields
    are taken over as they are: to check once more what the type checker has looked at would take twice the time."""
    layout: list[Any] = []
    for f in fields(model):
        factory: Any = f.default_factory
        default: Any = f.default if factory is MISSING else msgspec.field(default_factory=factory)
        layout.append((f.name, Any, msgspec.UNSET if default is MISSING else default))  # nothing is UNSET, so it is never left out
    struct = msgspec.defstruct(f"Stored{model.__name__}", layout, omit_defaults=True)
    names = [f.name for f in fields(model)]
    if len(names) < 2:
        return lambda one: struct(**{name: getattr(one, name) for name in names})
    read = attrgetter(*names)
    return lambda one: struct(*read(one))


_stored_spec: Final = _compact(Spec)
_stored_activity: Final = _compact(Activity)
_stored_name: Final = _compact(NameStats)
_stored_usage: Final = _compact(Usage)
_STORED_STATES: Final = {state: _compact(state) for state in STATES.values()}


class _Record(msgspec.Struct, omit_defaults=True):
    """The outline of a stored process; its parts stay raw until the status says which fields the state has."""

    status: Status
    state: msgspec.Raw
    spec: Spec
    activity: Activity
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    cancel_requested_at: float | None = None
    dismissed_at: float | None = None
    usage: Usage | None = None


_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_name = msgspec.json.Decoder(NameStats).decode
_STATE_DECODERS: Final = {status: msgspec.json.Decoder(state).decode for status, state in STATES.items()}


class Undecodable(Exception):
    """Stored bytes are no record of this version: damaged, or written by hand."""


def encode_process(process: Process) -> bytes:
    """UTF-8 JSON. Raises UnicodeEncodeError for text with lone surrogates: see :func:`clean`."""
    state = process.state
    record: dict[str, Any] = {
        "status": state.status,
        "state": _STORED_STATES[type(state)](state),
        "spec": _stored_spec(process.spec),
        "activity": _stored_activity(process.activity),
    }
    if process.metadata:
        record["metadata"] = process.metadata
    if process.cancel_requested_at is not None:
        record["cancel_requested_at"] = process.cancel_requested_at
    if process.dismissed_at is not None:
        record["dismissed_at"] = process.dismissed_at
    if process.usage is not None:
        record["usage"] = _stored_usage(process.usage)
    return _encode(record)


def decode_process(process_id: str, data: bytes | str) -> Process:
    """The record :func:`encode_process` was given. Raises Undecodable."""
    try:
        record = _decode_record(data)
        state = _STATE_DECODERS[record.status](record.state)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Undecodable(f"the record of process {process_id} cannot be read: {error}") from error
    return Process(
        id=process_id,
        spec=record.spec,
        state=state,
        activity=record.activity,
        metadata=record.metadata,
        cancel_requested_at=record.cancel_requested_at,
        dismissed_at=record.dismissed_at,
        usage=record.usage,
    )


def encode_name(stats: NameStats) -> bytes:
    return _encode(_stored_name(stats))


def decode_name(data: bytes | str) -> NameStats:
    """Raises Undecodable."""
    try:
        return _decode_name(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Undecodable(f"the totals of a name cannot be read: {error}") from error


def clean_text(text: str) -> str:
    """The same text with what UTF-8 cannot hold (lone surrogates, from file names that are no UTF-8) as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def clean(value: T) -> T:
    """The same record with :func:`clean_text` applied to every text in it, keys of metadata included."""
    return cast(T, _clean(value))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value) if type(value) is str else value  # members of Kind and Status stay what they are
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_clean(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _clean(getattr(value, f.name)) for f in fields(value) if f.init})
    return value
