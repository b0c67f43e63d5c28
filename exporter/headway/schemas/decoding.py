"""From bytes to a shape, with an error that names the field and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from headway.durations import ACCEPTED, parse_duration
from headway.errors import InvalidInput, MalformedRequest, TooLarge
from headway.explanation import explain

T = TypeVar("T", bound=Struct)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


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
    except ValueError:  # its words have the value in them, which is not sent back
        raise InvalidInput(f"{field} is not a duration: expected {ACCEPTED}, zero or more", field=field) from None


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
