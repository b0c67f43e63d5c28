"""A batch as rows of the tables, and the statements that write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from headway.model import Process
from headway.names import NameStats
from headway.store import bulk
from headway.store.base import Batch
from headway.store.codec import clean, clean_text, encode_name, encode_process

COLUMNS: Final = (
    "id",
    "status",
    "kind",
    "user",
    "project",
    "task",
    "attempt",
    "agent",
    "grp",
    "parent_id",
    "name",
    "executor",
    "created_at",
    "finished_at",
    "dismissed_at",
    "requested",
    "updated_at",
    "record",
)
_NULLABLE: Final = {
    **dict.fromkeys(("user", "project", "task", "attempt", "agent", "grp", "parent_id"), bulk.TEXT_OR_NULL),
    **dict.fromkeys(("finished_at", "dismissed_at"), bulk.NUMBER_OR_NULL),
}
_PROCESS: Final = bulk.shape(*(_NULLABLE.get(column, bulk.VALUE) for column in COLUMNS))
_KEY_COLUMNS: Final = COLUMNS[1:-2]
_SAME: Final = " AND ".join(f"{c} IS excluded.{c}" for c in _KEY_COLUMNS)
_INSERT_PROCESSES: Final = f"INSERT INTO processes ({', '.join(COLUMNS)})"
# Two steps: what is new, and what is unchanged in all columns that have an index, costs no index anything. Only if the first step
# left rows alone (their status changed) the second writes those, and all their index entries.
_UNLESS_MOVED: Final = f"ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at, record = excluded.record WHERE {_SAME}"
_IF_MOVED: Final = f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in COLUMNS[1:])} WHERE NOT ({_SAME})"

_INSERT_TRANSITIONS: Final = "INSERT INTO transitions (process_id, at, before, after, cause)"
_TRANSITION: Final = bulk.shape(bulk.VALUE, bulk.VALUE, bulk.TEXT_OR_NULL, bulk.VALUE, bulk.VALUE)
_INSERT_LINES: Final = "INSERT OR REPLACE INTO lines (process_id, number, at, text)"
_LINE: Final = bulk.shape(*[bulk.VALUE] * 4)
_INSERT_NAMES: Final = "INSERT OR REPLACE INTO names (name, kind, record)"
_NAME: Final = bulk.shape(*[bulk.VALUE] * 3)

# The text of a member of an enumeration without the property `value`, which is written in Python.
_text: Final = attrgetter("_value_")
_belongs: Final = attrgetter("user", "project", "task", "attempt", "agent", "group", "parent_id")

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch, encoded: made before the transaction begins, so that what cannot be encoded fails before anything is written."""

    forget: Sequence[str]
    processes: Sequence[Row]
    transitions: Sequence[Row]
    lines: Sequence[Row]
    names: Sequence[Row]


def rows_of(batch: Batch) -> Rows:
    return Rows(
        batch.forget,
        [_process_row(process) for process in {process.id: process for process in batch.processes}.values()],
        [
            (t.process_id, t.at, bulk.NO_TEXT if t.before is None else _text(t.before), _text(t.after), clean_text(t.cause))
            for t in batch.transitions
        ],
        [(line.process_id, line.number, line.at, clean_text(line.text)) for line in batch.lines],
        [_name_row(stats) for stats in batch.names],
    )


def write_rows(connection: sqlite3.Connection, rows: Rows) -> None:
    """Within the transaction of the caller. Raises sqlite3.Error."""
    forget(connection, rows.forget)
    for piece in bulk.pieces(rows.processes):
        values = list(chain.from_iterable(piece))
        done = connection.execute(bulk.statement(_INSERT_PROCESSES, _PROCESS, len(piece), _UNLESS_MOVED), values)
        if done.rowcount < len(piece):
            connection.execute(bulk.statement(_INSERT_PROCESSES, _PROCESS, len(piece), _IF_MOVED), values)
    bulk.insert(connection, _INSERT_TRANSITIONS, _TRANSITION, rows.transitions)
    bulk.insert(connection, _INSERT_LINES, _LINE, rows.lines)
    bulk.insert(connection, _INSERT_NAMES, _NAME, rows.names)


def forget(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Deletes all rows of these processes, within the transaction of the caller."""
    for table, column in (("processes", "id"), ("transitions", "process_id"), ("lines", "process_id")):
        bulk.delete(connection, table, column, ids)


def _process_row(process: Process) -> Row:
    try:
        record = encode_process(process)
    except UnicodeEncodeError:
        process = clean(process)
        record = encode_process(process)
    spec, state, dismissed_at = process.spec, process.state, process.dismissed_at
    return (
        process.id,
        _text(state.status),
        _text(spec.kind),
        *[bulk.NO_TEXT if text is None else text for text in _belongs(spec)],
        spec.name,
        int(spec.executor),
        spec.created_at,
        getattr(state, "finished_at", bulk.NO_NUMBER),
        bulk.NO_NUMBER if dismissed_at is None else dismissed_at,
        int(getattr(state, "requested", False)),
        process.activity.updated_at,
        record.decode(),
    )


def _name_row(stats: NameStats) -> tuple[str, str, str]:
    try:
        return stats.name, stats.kind.value, encode_name(stats).decode()
    except UnicodeEncodeError:
        return _name_row(clean(stats))
