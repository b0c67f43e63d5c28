"""Anything that a script passes, as JSON that the exporter accepts. Used by the background thread, so that it costs the script
nothing and no wrong value can raise in it. The limits are those of the HTTP API."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any, Final

MAX_COUNT: Final = 2**53
MAX_LINE: Final = 8192
MAX_TEXT: Final = 4096
MAX_COMMAND: Final = 16384
MAX_NAME: Final = 512
MAX_LABEL: Final = 256
MAX_UNIT: Final = 64
MAX_WAITING: Final = 160
USED: Final = ("cpu_seconds", "io_read_bytes", "io_written_bytes")
# What the exporter keeps of metadata is less, and its setting; it says how much was too much.
MAX_METADATA_TEXT: Final = 262_144
# Deeper metadata is shown as text; the exporter's reader stops at some hundred levels.
MAX_DEPTH: Final = 32


class WrongValue(ValueError):
    """A value that cannot be reported; the message completes the sentence "current ignored: …"."""


def count(value: object) -> int | float:
    """A number of items: 0 to 2^53. Takes whatever acts as a number (numpy, Decimal, a one-element tensor); raises WrongValue."""
    found = number(value)
    if not 0 <= found <= MAX_COUNT:
        raise WrongValue(f"{brief(value)} is not within 0 to 2^53")
    return found


def number(value: object) -> int | float:
    """A finite number. Raises WrongValue for anything else, text and booleans too."""
    found: int | float
    if type(value) is int or type(value) is float:
        found = value
    elif isinstance(value, bool | str | bytes):
        raise WrongValue(f"{brief(value)} is not a number")
    else:
        found = _as_number(value)
    try:
        finite = math.isfinite(found)
    except OverflowError:
        finite = False
    if not finite:
        raise WrongValue(f"{brief(value)} is not a finite number")
    return found


def _as_number(value: object) -> int | float:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except Exception:
        try:
            return float(value)  # type: ignore[arg-type]
        except Exception:
            raise WrongValue(f"{brief(value)} is not a number") from None


def used(value: object) -> dict[str, int | float]:
    """What was used of the machine, by the fields of the API. Raises WrongValue."""
    if not isinstance(value, Mapping) or not value.keys() <= {*USED}:
        raise WrongValue(f"{brief(value)} is no mapping of {', '.join(USED)}")
    return {field: count(found) if field == USED[0] else int(count(found)) for field, found in value.items()}


def text(value: object, longest: int) -> str:
    """One text of at most `longest` characters that UTF-8 can hold."""
    if isinstance(value, str):
        found = value
    elif isinstance(value, bytes | bytearray):
        found = bytes(value[: longest * 4]).decode("utf-8", "replace")
    else:
        found = shown(value)
    if len(found) > longest:
        found = found[: longest - 1] + "…"
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")


def shown(value: object) -> str:
    """`str(value)`, whatever its class does."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def brief(value: object) -> str:
    try:
        found = repr(value)
    except Exception:
        found = f"<{type(value).__name__}>"
    return found if len(found) <= 60 else found[:59] + "…"


def plain(value: object, depth: int = 0) -> Any:
    """`value` as JSON: numbers stay numbers, containers stay containers, the rest becomes text; NaN and infinity too."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str | bytes | bytearray):
        return text(value, MAX_METADATA_TEXT)
    if depth >= MAX_DEPTH:
        return text(value, MAX_TEXT)
    if isinstance(value, Mapping):
        return {text(key, MAX_LABEL): plain(inner, depth + 1) for key, inner in list(value.items())}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, depth + 1) for inner in list(value)]
    try:
        found = number(value)
    except WrongValue:
        return text(value, MAX_TEXT)
    # JSON readers keep 64 bits of a whole number.
    return found if isinstance(found, float) or abs(found) < 2**63 else str(found)
