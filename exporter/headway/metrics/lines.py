"""Lines of the exposition from cached bytes: per process the written labels, per family the line of each process.

A line is kept without its line end; each begins with one instead, so that a block is a plain join and a header needs none.
Sample lines are the same in the text format and in OpenMetrics: one cache serves both, only the headers differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, Generic, TypeVar

import msgspec

from headway.metrics.family import SCOPE_LABELS, Family, Number, Rows, Scope, Type

T = TypeVar("T")
K = TypeVar("K")

_UNKNOWN: Final = b"null"
# The longest a float64 gets in decimal: -2.2250738585072014e-308. Anything longer is no number that Prometheus can read.
_LONGEST: Final = 24
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_encode: Final = msgspec.json.Encoder().encode


def numbers(values: Sequence[Number | None]) -> list[bytes]:
    """Each value in its shortest exact form; b"null" for None, NaN, infinities and integers beyond any float64.

    msgspec writes a thousand floats in a tenth of the time that a thousand repr() take.
    """
    if not values:
        return []
    texts = _encode(values)[1:-1].split(b",")
    if max(map(len, texts)) > _LONGEST:
        return [text if len(text) <= _LONGEST else _UNKNOWN for text in texts]
    return texts


def clean(text: str) -> str:
    """Text that UTF-8 can carry: lone surrogates become U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def escape(text: str) -> bytes:
    """A label's value as it stands between its quotes."""
    return clean(text).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"').encode()


def labels(names: Sequence[str], values: Sequence[str]) -> bytes:
    """`a="1",b="2"`; a label with an empty value is left out: to Prometheus that is the same."""
    return b",".join(b'%b="%b"' % (name.encode(), escape(value)) for name, value in zip(names, values, strict=False) if value)


# Most rows have one of a few dozen label values (conditions, outcomes, bounds of buckets); those are written once.
_row_labels: Final = lru_cache(maxsize=512)(labels)


def header(family: Family, openmetrics: bool) -> bytes:
    """The metadata lines of a family, without the last line end."""
    if openmetrics:
        name, kind = family.metadata_name, family.type.value
        unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
        text = family.help.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    else:
        name, kind = family.name, "gauge" if family.type is Type.INFO else family.type.value
        unit = ""
        text = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{unit}".rstrip("\n").encode()


class Block(Generic[K]):
    """The lines of one family for one population, joined when asked for and not before.

    `data` is the join, each line led by a line end; `series` counts the lines. Both hold until the next change.
    """

    __slots__ = ("_joined", "_series", "family", "head", "lines", "rows")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.head = b"\n" + family.name.encode()
        self.lines: dict[K, bytes] = {}
        self.rows: dict[K, Rows] = {}
        self._joined: bytes | None = b""
        self._series = 0

    @property
    def data(self) -> bytes:
        if self._joined is None:
            self._joined = b"".join(self.lines.values())
            self._series = len(self.lines) if self.family.rows is None else self._joined.count(b"\n")
        return self._joined

    @property
    def series(self) -> int:
        _ = self.data
        return self._series

    def write_values(self, keys: Sequence[K], own: Sequence[bytes], values: Sequence[Number | None]) -> None:
        """One line per key; `own` are the labels of each with braces and a space after them. Unknown values lose their line."""
        lines, head = self.lines, self.head
        for key, label, text in zip(keys, own, numbers(values), strict=True):
            if text == _UNKNOWN:
                lines.pop(key, None)
            else:
                lines[key] = head + label + text
        self._joined = None

    def write_rows(self, key: K, own: bytes, rows: Rows) -> None:
        """All lines of one key; nothing happens when they are what they were."""
        if self.rows.get(key, ()) == rows:
            return
        texts = numbers([row[2] for row in rows])
        written = []
        for (suffix, values, _), text in zip(rows, texts, strict=True):
            if text == _UNKNOWN:
                continue
            extra = _row_labels(self.family.labels, values)
            both = b"{" + own[1:-2] + b"," + extra + b"} " if extra else own
            written.append(self.head + suffix.encode() + both + text)
        if written:
            self.lines[key] = b"".join(written)
            self.rows[key] = rows
        else:
            self.discard(key)
        self._joined = None

    def discard(self, key: K) -> None:
        if self.lines.pop(key, None) is not None:
            self.rows.pop(key, None)
            self._joined = None


class Population(Generic[K, T]):
    """Things of one sort and the lines of all their families: running processes, ended ones, names.

    `label` gives the values of the labels that all these families share, `stable` what the families that are not volatile depend
    on: those are looked at again only when it changed, and so are the labels.
    """

    def __init__(
        self,
        scope: Scope,
        families: Iterable[Family],
        label: Callable[[T], Sequence[str]],
        stable: Callable[[T], object],
    ) -> None:
        self.blocks: dict[str, Block[K]] = {family.name: Block(family) for family in families}
        self._names = SCOPE_LABELS[scope]
        self._label = label
        self._stable = stable
        self._labels: dict[K, bytes] = {}
        self._seen: dict[K, object] = {}
        every = list(self.blocks.values())
        self._columns = [(block, block.family.value) for block in every if block.family.value is not None]
        self._tables = [(block, block.family.rows) for block in every if block.family.rows is not None]

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, key: K) -> bool:
        return key in self._labels

    def first(self) -> K | None:
        """The key that is here longest."""
        return next(iter(self._labels), None)

    def update(self, items: Sequence[tuple[K, T]]) -> None:
        """Writes the lines of these anew, family by family: that is what makes it quick."""
        if not items:
            return
        changed = []
        for key, item in items:
            stable = self._stable(item)
            if key in self._seen and self._seen[key] == stable:
                continue
            own = b"{" + labels(self._names, self._label(item)) + b"} "
            if self._labels.get(key, own) != own:
                self.discard([key])
            self._labels[key] = own
            self._seen[key] = stable
            changed.append((key, item))
        whole, part = self._split(items), self._split(changed)
        for block, value in self._columns:
            keys, heads, things = whole if block.family.volatile else part
            if keys:
                block.write_values(keys, heads, [value(thing) for thing in things])
        for block, rows in self._tables:
            keys, heads, things = whole if block.family.volatile else part
            for key, label, found in zip(keys, heads, map(rows, things), strict=True):
                block.write_rows(key, label, found)

    def discard(self, keys: Iterable[K]) -> None:
        for key, block in ((key, block) for key in keys for block in self.blocks.values()):
            block.discard(key)
            self._labels.pop(key, None)
            self._seen.pop(key, None)

    def _split(self, items: Sequence[tuple[K, T]]) -> tuple[list[K], list[bytes], list[T]]:
        return [key for key, _ in items], [self._labels[key] for key, _ in items], [item for _, item in items]


def plain(family: Family, rows: Rows) -> bytes:
    """The lines of a family without labels of a scope, such as headway_processes."""
    head = b"\n" + family.name.encode()
    written = []
    for (suffix, values, _), text in zip(rows, numbers([row[2] for row in rows]), strict=True):
        own = labels(family.labels, values)
        written.append(head + suffix.encode() + (b"{" + own + b"} " if own else b" ") + text)
    return b"".join(written)
