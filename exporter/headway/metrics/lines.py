"""Lines of the exposition from cached bytes: per process the written labels, per family the line of each process.

A line is kept without its line end; each begins with one instead, so that a block is a plain join and a header needs none.
Sample lines are the same in the text format and in OpenMetrics: one cache serves both, only the headers differ.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from operator import eq
from typing import Any, Final, Generic, TypeVar

import msgspec

from headway.metrics.family import SCOPE_LABELS, Family, Number, Row, Rows, Scope, Type
from headway.turns import at_once

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
    if "\\" in text or "\n" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return clean(text).encode()


@lru_cache(maxsize=4096)
def _label(name: str, value: str) -> bytes:
    """Written once for all that share it: users, projects, names, kinds."""
    return b'%b="%b"' % (name.encode(), escape(value))


def labels(names: Sequence[str], values: Sequence[str]) -> bytes:
    """`a="1",b="2"`; a label with an empty value is left out: to Prometheus that is the same."""
    return b",".join([_label(name, value) for name, value in zip(names, values, strict=False) if value])


# Most rows have one of a few dozen label values (conditions, outcomes, bounds of buckets); those are written once.
_row_labels: Final = lru_cache(maxsize=512)(labels)
_labels: Final = labels
_MANY_LABELS: Final = 3
# Rows that are kept in written form for all keys that share them.
_SHARED_ROWS: Final = 256
# Values that are read, keys that are looked at, and rows that are written before others may have their turn: some half a
# millisecond.
_STEP: Final = 1000
_LOOK_STEP: Final = 200
_TABLE_STEP: Final = 100


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


class Block(ABC, Generic[K]):
    """The lines of one family for one population, joined when asked for and not before.

    `data` is the join, each line led by a line end; `series` counts the lines. Both hold until the next change. `labels` are those
    of the population by key, with braces and a space after them.
    """

    __slots__ = ("_joined", "_series", "family", "labels")

    def __init__(self, family: Family, labels: Mapping[K, bytes]) -> None:
        self.family = family
        self.labels = labels
        self._joined: bytes | None = b""
        self._series = 0

    @property
    def joined(self) -> bool:
        """Whether `data` is there without work."""
        return self._joined is not None

    @property
    def data(self) -> bytes:
        if self._joined is None:
            self._joined, self._series = self._join()
        return self._joined

    @property
    def series(self) -> int:
        _ = self.data
        return self._series

    @abstractmethod
    def _join(self) -> tuple[bytes, int]:
        """`data`, and how many lines that is."""

    @abstractmethod
    def discard(self, keys: Iterable[K]) -> None:
        """Takes the lines of these keys away; unknown ones are fine."""

    @abstractmethod
    def __bool__(self) -> bool:
        """Whether there are lines."""


class Column(Block[K]):
    """A family with one line for each key. Kept are the written numbers alone: thousands of them change at once, and no step of
    writing and joining those takes a turn of the interpreter for each."""

    __slots__ = ("_numbers", "_told")

    def __init__(self, family: Family, labels: Mapping[K, bytes]) -> None:
        super().__init__(family, labels)
        self._numbers: dict[K, bytes] = {}
        self._told: list[bytes] = []

    def write(self, keys: Sequence[K], values: Sequence[Number | None]) -> None:
        """One line per key; unknown values lose their line. When all are what they were, nothing happens."""
        texts = numbers(values)
        kept = self._numbers
        if len(texts) == len(kept) and texts == self._told and all(map(eq, kept, keys)):
            return
        self._told = texts
        if _UNKNOWN in texts:
            for key, text in zip(keys, texts, strict=True):
                if text == _UNKNOWN:
                    kept.pop(key, None)
                else:
                    kept[key] = text
        else:
            kept.update(zip(keys, texts, strict=True))
        self._joined = None

    def _join(self) -> tuple[bytes, int]:
        head, kept = b"\n" + self.family.name.encode(), self._numbers
        lines = zip(repeat(head), map(self.labels.__getitem__, kept), kept.values())
        return b"".join(chain.from_iterable(lines)), len(kept)

    def discard(self, keys: Iterable[K]) -> None:
        if _pop(self._numbers, keys):
            self._joined = None

    def __bool__(self) -> bool:
        return bool(self._numbers)


class Table(Block[K]):
    """A family with any number of lines for each key."""

    __slots__ = ("_between", "_extra", "_head", "_lines", "_rows")

    def __init__(self, family: Family, labels: Mapping[K, bytes]) -> None:
        super().__init__(family, labels)
        self._head = b"\n" + family.name.encode()
        # Of many labels hardly any two rows have all in common.
        self._extra = _row_labels if len(family.labels) < _MANY_LABELS else _labels
        self._lines: dict[K, bytes] = {}
        self._rows: dict[K, Rows] = {}
        self._between: dict[int, tuple[Rows, list[bytes]]] = {}

    def write(self, key: K, rows: Rows) -> None:
        """All lines of one key; nothing happens when they are what they were."""
        if self._rows.get(key, ()) == rows:
            return
        between = self._after(rows[0]) if len(rows) == 1 else self._pieces(rows)
        if between:
            self._lines[key] = self.labels[key][1:-2].join(between)
            self._rows[key] = rows
        else:
            self.discard([key])
        self._joined = None

    def _after(self, row: Row) -> Sequence[bytes]:
        """What stands before and after the labels of the key in the only line; empty without one."""
        suffix, values, value = row
        text = _encode(value)
        if text == _UNKNOWN or len(text) > _LONGEST:
            return ()
        extra = self._extra(self.family.labels, values)
        return self._head + suffix.encode() + b"{", b",%b} %b" % (extra, text) if extra else b"} " + text

    def _pieces(self, rows: Rows) -> list[bytes]:
        """What stands between the labels of the key, wherever they are put in; empty without a line. Rows that many keys share
        (that no condition holds) are the same object for all of them."""
        known = self._between.get(id(rows))
        if known is not None and known[0] is rows:
            return known[1]
        pieces = [b""]
        for row in rows:
            if found := self._after(row):
                pieces[-1] += found[0]
                pieces.append(found[1])
        if len(pieces) == 1:
            return []
        if len(self._between) >= _SHARED_ROWS:
            self._between.clear()
        self._between[id(rows)] = rows, pieces
        return pieces

    def _join(self) -> tuple[bytes, int]:
        joined = b"".join(self._lines.values())
        return joined, joined.count(b"\n")

    def discard(self, keys: Iterable[K]) -> None:
        if self._lines and _pop(self._lines, keys := tuple(keys)):
            _pop(self._rows, keys)
            self._joined = None

    def __bool__(self) -> bool:
        return bool(self._lines)


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
        self._names = SCOPE_LABELS[scope]
        self._label = label
        self._stable = stable
        self._labels: dict[K, bytes] = {}
        self._seen: dict[K, object] = {}
        self._columns: list[tuple[Column[K], Callable[[Any], Number | None]]] = []
        self._tables: list[tuple[Table[K], Callable[[T], Rows]]] = []
        self.blocks: dict[str, Block[K]] = {}
        for family in families:
            if family.value is not None:
                self._columns.append((Column(family, self._labels), family.value))
                self.blocks[family.name] = self._columns[-1][0]
            elif family.rows is not None:
                self._tables.append((Table(family, self._labels), family.rows))
                self.blocks[family.name] = self._tables[-1][0]

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, key: K) -> bool:
        return key in self._labels

    def first(self) -> K | None:
        """The key that is here longest."""
        return next(iter(self._labels), None)

    def update(self, items: Sequence[tuple[K, T]]) -> None:
        """Writes the lines of these anew."""
        at_once(self.updating(items))

    def updating(self, items: Sequence[tuple[K, T]]) -> Generator[None, None, None]:
        """The same in steps, family by family: that is what makes it quick. Broken off, it has to be begun anew with these items
        before the lines hold."""
        changed: list[tuple[K, T]] = []
        done = False
        try:
            for first in range(0, len(items), _LOOK_STEP):
                self._look(items[first : first + _LOOK_STEP], changed)
                yield
            yield from self._write(self._split(items), self._split(changed))
            done = True
        finally:
            if not done:
                for key, _ in changed:
                    self._seen.pop(key, None)

    def _look(self, items: Iterable[tuple[K, T]], changed: list[tuple[K, T]]) -> None:
        """Adds those whose stable part changed, and writes their labels."""
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

    def _write(self, whole: tuple[list[K], list[T]], part: tuple[list[K], list[T]]) -> Generator[None, None, None]:
        read_by_many: dict[tuple[Callable[[Any], Any], bool], list[Any]] = {}
        for column, value in self._columns:
            family = column.family
            keys, things = whole if family.volatile else part
            sources: list[Any] = things
            if family.of is not None:
                which = family.of, family.volatile
                sources = read_by_many.get(which) or read_by_many.setdefault(which, list(map(family.of, things)))
            values: list[Number | None] = []
            for first in range(0, len(keys), _STEP):
                values += map(value, sources[first : first + _STEP])
                yield
            if keys:
                column.write(keys, values)
        for table, rows in self._tables:
            keys, things = whole if table.family.volatile else part
            for first in range(0, len(keys), _TABLE_STEP):
                some = slice(first, first + _TABLE_STEP)
                for key, found in zip(keys[some], map(rows, things[some]), strict=True):
                    table.write(key, found)
                yield

    def discard(self, keys: Sequence[K]) -> None:
        """Takes all lines of these away; unknown ones are fine."""
        at_once(self.discarding(keys))

    def discarding(self, keys: Sequence[K]) -> Generator[None, None, None]:
        """The same in steps. Broken off, it has to be begun anew: until its end the keys are still in here."""
        if keys:
            for block in self.blocks.values():
                block.discard(keys)
                yield
            _pop(self._labels, keys)
            _pop(self._seen, keys)

    @staticmethod
    def _split(items: Sequence[tuple[K, T]]) -> tuple[list[K], list[T]]:
        return [key for key, _ in items], [item for _, item in items]


def _pop(kept: dict[K, Any], keys: Iterable[K]) -> bool:
    """Whether there was any. Thousands end at once: none of this takes a turn of the interpreter for each."""
    before = len(kept)
    deque(map(kept.pop, keys, repeat(None)), maxlen=0)
    return len(kept) < before


def plain(family: Family, rows: Rows) -> bytes:
    """The lines of a family without labels of a scope, such as headway_processes."""
    head = b"\n" + family.name.encode()
    written = []
    for (suffix, values, _), text in zip(rows, numbers([row[2] for row in rows]), strict=True):
        own = labels(family.labels, values)
        written.append(head + suffix.encode() + (b"{" + own + b"} " if own else b" ") + text)
    return b"".join(written)
