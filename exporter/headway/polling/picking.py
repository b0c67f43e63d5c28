"""What of an answer means what: paths into JSON, and texts made of them. Pure.

`label` or `usage.input.0` is a path; `{label} of {agent}` a text with paths in braces; `=shop` is the text after the sign.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headway.model import Status
from headway.polling.definition import Integration

PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
MOST_ENTRIES: Final = 1000
TEXT_MAX: Final = 1000
LABEL_MAX: Final = 200
NUMBERS: Final = ("current", "total")
# Of texts that are not as long as a label.
LENGTHS: Final = {**dict.fromkeys(("description", "summary", "error", "log"), TEXT_MAX), "waiting_for": 160}


class Unexpected(Exception):
    """An answer, or an entry of it, that is not as the configuration says; in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of a list. `texts` and `numbers` by the names of fields, only those that there are."""

    entry: str
    status: Status = Status.RUNNING
    texts: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def entries(integration: Integration, answer: object) -> Sequence[object]:
    """The list in an answer. Raises Unexpected."""
    found = at(answer, integration.items) if integration.items else answer
    if isinstance(found, Mapping):
        found = [{**value, "key": key} if isinstance(value, Mapping) else value for key, value in found.items()]
    if not isinstance(found, list):
        where = f"at {integration.items!r} there" if integration.items else "there"
        raise Unexpected(f"{where} is no list in what it printed; the field items says where it stands")
    return found[:MOST_ENTRIES]


def item(integration: Integration, given: object) -> Item:
    """Raises Unexpected."""
    texts, numbers = {}, {}
    for name, expression in integration.fields.items():
        found = value(given, expression)
        if name in NUMBERS:
            if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found) and found >= 0:
                numbers[name] = float(found)
        elif (words := text(found, LENGTHS.get(name, LABEL_MAX))) is not None:
            texts[name] = words
    entry = texts.pop("id", None)
    if entry is None:
        raise Unexpected(f"an entry without {integration.fields['id']}, which is to be its id")
    status = integration.statuses.get(texts.pop("status", ""), Status.RUNNING)
    metadata = {name: found for name, path in integration.metadata.items() if (found := value(given, path)) is not None}
    return Item(entry=entry, status=status, texts=texts, numbers=numbers, metadata=nested(metadata))


def value(given: object, expression: str) -> object:
    if expression.startswith("="):
        return expression[1:]
    if "{" in expression:
        return PLACEHOLDER.sub(lambda match: text(at(given, match[1])) or "", expression)
    return at(given, expression)


def at(given: object, path: str) -> object:
    """What stands at a path such as usage.input or messages.0.model; None where there is nothing."""
    for step in path.split("."):
        if isinstance(given, Mapping):
            given = given.get(step)
        elif isinstance(given, list) and step.isdecimal():
            given = given[int(step)] if int(step) < len(given) else None
        else:
            return None
    return given


def text(found: object, longest: int = LABEL_MAX) -> str | None:
    """On one line, cut; None for nothing."""
    if found is None or isinstance(found, bool) or found == "":
        return None
    words = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    words = " ".join(words.split())
    return (words if len(words) <= longest else f"{words[: longest - 1]}…") or None


def nested(flat: Mapping[str, object]) -> dict[str, Any]:
    """{"tokens.input": 1} as {"tokens": {"input": 1}}."""
    found: dict[str, Any] = {}
    for name, one in flat.items():
        *above, last = name.split(".")
        inner = found
        for step in above:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise Unexpected(f"metadata.{name} lies below a value")
        inner[last] = one
    return found
