"""Answers about one process from kept bytes: between two updates most of an answer stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import msgspec

from headway.api.answers import Moving, moving, summary
from headway.model import Activity, Process
from headway.registry.entry import Entry
from headway.view import View

_encode: Final = msgspec.json.Encoder().encode
# JSON has no such byte: what is inside of a text is written as \u0000.
_HOLE: Final = b"\x00"
_HOLES: Final = Moving(*[msgspec.Raw(_HOLE)] * len(Moving._fields))


def _names(owner: str, model: type, but: Iterable[str]) -> list[str]:
    return [owner + field.name for field in fields(model) if field.name not in but]


# Everything that a view holds, but for what :class:`Moving` is made of: a field that is added to one of them is among it by itself.
# Metadata apart: 1 and true are equal there, and are not the same.
_rest: Final[Callable[[View], tuple[Any, ...]]] = attrgetter(
    *_names("", View, ("process", "now", "rate", "eta", "eta_range")),
    *_names("process.", Process, ("activity", "metadata")),
    *_names(
        "process.activity.",
        Activity,
        ("updated_at", "current", "last_output_at", "last_progress_at", "last_line", "rate", "ends_at", "seq"),
    ),
)


class _Kept:
    """The bytes around what moves, good for as long as the rest of the view and the children are these."""

    __slots__ = ("around", "children", "metadata", "rest")

    def __init__(self, view: View, rest: tuple[Any, ...], children: set[str]) -> None:
        self.rest, self.metadata, self.children = rest, view.process.metadata, set(children)
        parts = _encode(summary(view, sorted(children), _HOLES)).split(_HOLE)
        self.around = b"%b".join([part.replace(b"%", b"%%") for part in parts])


def summary_bytes(entry: Entry, view: View, children: set[str]) -> bytes:
    """The list form of a process as JSON: the very same as :func:`headway.api.answers.summary` makes."""
    rest, kept = _rest(view), entry.shown
    if not (
        isinstance(kept, _Kept)
        and kept.metadata is view.process.metadata
        and kept.rest == rest
        and (kept.children == children if children else not kept.children)
    ):
        kept = entry.shown = _Kept(view, rest, children)
    return kept.around % tuple(map(_encode, moving(view)))
