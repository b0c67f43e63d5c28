"""What is wrong with a request, in words: which field, what is accepted there, what was probably meant."""

from __future__ import annotations

import difflib
import re
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from headway.errors import InvalidInput
from headway.ids import ACCEPTED
from headway.labels import VISIBLE

_PATH = re.compile(r"^(?P<what>.*?)(?: - at (?:`(?P<key>key)` in )?`(?P<path>[^`]*)`)?$", re.S)
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.S)
_MISSING = re.compile(r"missing required field `(.*)`", re.S)
_KEY = re.compile(r"^key in \$?\.?(.*)$", re.S)
_WORDS = {"`str": "`text", "`float": "`number", "`int": "`whole number", "`bool": "`true or false", "| float": "| number"}
_WORDS |= {"| str": "| text", "| int": "| whole number", " | ": " or "}
# The patterns of headway.schemas.fields in words.
_PATTERNS = {
    "text matching regex '^[A-Za-z0-9_-]{1,64}$'": ACCEPTED,
    r"text matching regex '^[^\x00]*$'": "text without NUL",
    "text matching regex '^[A-Za-z_][A-Za-z0-9_]*$'": "a name of letters, digits and _ that begins with no digit",
    f"text matching regex {VISIBLE!r}": "text that can be seen, not blanks alone: the words that people know it by",
}


def explain(error: msgspec.ValidationError, shape: type, what: str = "field", sent: bytes | Any = None) -> InvalidInput:
    """The error of the decoder in words: which field, what is wrong, what is accepted. Of the input (`sent`: JSON, or what was read
    from it) nothing is repeated, but for a field's own name and a length."""
    match = _PATH.match(str(error))
    text, path, key = (match["what"], match["path"], match["key"]) if match else (str(error), None, None)
    field = (path or "").removeprefix("$").removeprefix(".")
    if unknown := _UNKNOWN.search(text):
        name = unknown[1][:64]
        full = f"{field}.{name}" if field else name
        return InvalidInput(f"unknown {what} {full}{suggestion(name, _fields_at(shape, field))}", field=full)
    if missing := _MISSING.search(text):
        full = f"{field}.{missing[1]}" if field else missing[1]
        choices = _choices(shape, full)
        words = f': one of {", ".join(choices)}, for example "{missing[1]}": "{choices[-1]}"' if choices else ""
        return InvalidInput(f"{full} is required{words}", field=full)
    for word, plain in _WORDS.items():
        text = text.replace(word, plain)
    text = text[:1].lower() + text[1:].replace("`", "")
    for pattern, plain in _PATTERNS.items():
        text = text.replace(pattern, plain)
    if text.startswith(("invalid enum value", "invalid value")) and (choices := _choices(shape, field)):
        text = f"not one of {', '.join(choices)}{_meant(str(_at(sent, field))[:64], choices)}"
    if " of length " in text and isinstance(found := _at(sent, field), str | list | dict):
        text = f"{text}, got {len(found)}"
    if key:
        text = f"each key: {text}"
    if not field:
        return InvalidInput(f"the body: {text}")
    return InvalidInput(f"{what} {field}: {text}", field=field)


def _at(sent: Any, field: str) -> Any:
    """What stands at `field`; None where that cannot be told: for an item of a list the decoder does not say which."""
    try:
        found = msgspec.json.decode(sent) if isinstance(sent, bytes) else sent
        for part in field.split("."):
            found = found[part]
        return found
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return None


@lru_cache(maxsize=256)
def _choices(shape: type, field: str) -> tuple[str, ...]:
    """What a field (such as type or create.type) of `shape` may hold, where that is a list of words. Kept, as a batch of a thousand
    items has the same mistake in each."""
    above, _, field = field.rpartition(".")
    try:
        shapes: list[type[Struct]] = [shape]
        for part in above.split(".") if above else ():
            (shape,) = shapes
            shapes = _structs_in(get_type_hints(shape)[part])
        if len(shapes) > 1:  # several shapes, told apart by a word
            tags = [one.__struct_config__ for one in shapes]
            return tuple(str(one.tag) for one in tags if one.tag_field == field)
        kinds = [get_type_hints(shapes[0])[field]]
    except (KeyError, NameError, TypeError, ValueError):
        return ()
    found: list[str] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            found += [str(member.value) for member in kind]
        elif get_origin(kind) is Literal:
            found += [str(word) for word in get_args(kind)]
        else:
            kinds += get_args(kind)
    return tuple(found)


@lru_cache(maxsize=256)
def _meant(word: str, choices: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word.lower(), choices, n=1)
    return f": did you mean {near[0]}?" if near else ""


# What people send who know another API, beside what is merely misspelt.
_SYNONYMS = {
    "kind": "type",
    "eta": "eta_seconds",
    "line": "log",
    "lines": "log",
    "message": "log",
    "current": "progress.current",
    "total": "progress.total",
    "unit": "progress.unit",
    "parent": "parent_id",
    "state": "status",
    "expected": "expected_duration",
    "page_size": "limit",
    "offset": "cursor",
}
_UNITS = {
    "expected_duration": ", in seconds",
    "timeout": ", in seconds",
    "eta_seconds": ", in seconds",
    "rate": ", in items per minute",
    "started_age": ", how many seconds ago it began",
}


def suggestion(name: str, known: list[str]) -> str:
    """`: did you mean …?` for a misspelt name, else the accepted names."""
    return _suggestion(name, tuple(known))


@lru_cache(maxsize=1024)
def _suggestion(name: str, known: tuple[str, ...]) -> str:
    """Kept, because the comparison takes milliseconds, and a batch of a thousand items has the same mistake in each."""
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower().replace("-", "_")
    close = [snake] if snake in known else difflib.get_close_matches(snake, known, n=1)
    synonym = _SYNONYMS.get(snake)
    if not close and synonym and synonym.split(".")[0] in known:
        close = [synonym]
    if close:
        return f": did you mean {close[0]}{_UNITS.get(close[0], '')}?"
    return f"; known are {', '.join(known)}" if known else "; none is accepted here"


def _fields_at(shape: type, path: str) -> list[str]:
    """The field names of the struct at `path` (such as progress or items[...].progress)."""
    current: Any = shape
    for part in [p for p in re.split(r"\.|\[[^]]*\]", path) if p]:
        types = {f.encode_name: f.type for f in msgspec.structs.fields(current)}
        nested = _structs_in(types.get(part))
        if not nested:
            return []
        if len(nested) > 1:  # which of several shapes was meant is not known here
            return sorted({f.encode_name for one in nested for f in msgspec.structs.fields(one)})
        current = nested[0]
    return [f.encode_name for f in msgspec.structs.fields(current)]


def _structs_in(annotation: Any) -> list[type[Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return [annotation]
    found: list[type[Struct]] = []
    for inner in getattr(annotation, "__args__", ()):
        found += _structs_in(inner)
    return found
