"""Answers about one process from kept bytes: between two updates most of an answer stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import msgspec

from headway.api.answers import first, moving, rest, summary
from headway.model import Activity, Process
from headway.names import NameStats
from headway.registry.derive import pace_of, sample_of
from headway.registry.entry import Entry
from headway.registry.registry import Registry
from headway.view import View

_encode: Final = msgspec.json.Encoder().encode


def _names(owner: str, model: type, but: Iterable[str]) -> list[str]:
    return [owner + field.name for field in fields(model) if field.name not in but]


# Everything that an answer is made of, but for what :class:`Moving` is: a field that is added to a record is among it by itself.
# Metadata apart: 1 and true are equal there, and are not the same. The totals of the name, too: only their identity is looked at.
_rest: Final[Callable[[Entry], tuple[Any, ...]]] = attrgetter(
    *_names("process.", Process, ("activity", "metadata", "usage")),
    *_names(
        "process.activity.",
        Activity,
        (
            *("updated_at", "current", "total", "unit", "initial", "rate", "ends_at", "seq"),
            *("last_output_at", "last_progress_at", "last_line"),
        ),
    ),
    "conditions",
    "blocked_by",
    "serves",
)


class _Kept:
    """The bytes before and after what moves, good for as long as the rest, the totals of the name and the children are these."""

    __slots__ = ("after", "before", "children", "metadata", "rest", "stats")

    def __init__(self, entry: Entry, stats: NameStats | None, children: set[str], view: View) -> None:
        self.rest, self.metadata, self.stats = _rest(entry), entry.process.metadata, stats
        self.children = set(children)
        self.before = _encode(first(view.process))[:-1] + b","
        self.after = b"," + _encode(rest(view, sorted(children)))[1:]


def summary_bytes(registry: Registry, entry: Entry, user: str | None, children: set[str]) -> bytes:
    """The list form of a process as JSON for its reporter, who is patient (:meth:`headway.estimate.Estimator.figures`); else the
    very same as :func:`headway.api.answers.summary` makes. `user`: for somebody who sees the processes of this user only, and of
    `children` those; None: for who sees all."""
    process, kept, now = entry.process, entry.shown, registry.clock()
    stats = registry.totals.of(process)
    if user is not None and (entry.blocked_by or any(report.about for report in entry.conditions)):
        return _encode(summary(registry.view(entry, now, user, patient=True), sorted(children)))  # others may not be named
    if not (
        isinstance(kept, _Kept)
        and kept.metadata is process.metadata
        and kept.stats is stats
        and kept.rest == _rest(entry)
        and (kept.children == children if children else not kept.children)
    ):
        kept = entry.shown = _Kept(entry, stats, children, registry.view(entry, now, patient=True))
    moves = moving(process, now, *pace_of(entry, registry.entries, now, patient=True), sample_of(entry), entry.usage())
    return kept.before + _encode(moves)[1:-1] + kept.after
