"""Many rows with few statements.

The sqlite3 module gives up the interpreter lock at every row of an executemany and must win it back from the event loop each
time: beside a busy loop that is up to 5 ms a row (sys.getswitchinterval). One INSERT of many rows gives it up once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Rows per statement. Few sizes, so that every statement stays prepared; 64 rows of 18 columns are far below the 32,766 variables
# that SQLite allows at least.
_SIZES: Final = (64, 16, 4, 1)

# The sqlite3 module binds texts, floats and integers at once, but looks for an adapter of anything else each time, of None and bool
# too: half a microsecond, as long as five others take. So a bool is bound as an integer, and None as what such a value can never be
# (to SQLite no text is equal to a number): a number for a text, a text for a number.
VALUE: Final = "?"
TEXT_OR_NULL: Final = "nullif(?, 0)"
NO_TEXT: Final = 0
NUMBER_OR_NULL: Final = "nullif(?, '')"
NO_NUMBER: Final = ""


def pieces(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows in order, cut to the sizes of prepared statements."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def shape(*values: str) -> str:
    """One row of a statement, of VALUE, TEXT_OR_NULL and NUMBER_OR_NULL."""
    return f"({', '.join(values)})"


@lru_cache(maxsize=256)
def statement(head: str, row: str, rows: int, tail: str = "") -> str:
    """`head` VALUES (?, …), (?, …) `tail`; `row` is the shape of each."""
    return f"{head} VALUES {', '.join([row] * rows)} {tail}"


def insert(connection: sqlite3.Connection, head: str, row: str, rows: Sequence[Sequence[Any]]) -> None:
    """Inserts all rows: `head` is the statement up to VALUES, `row` the shape of each."""
    for piece in pieces(rows):
        connection.execute(statement(head, row, len(piece)), list(chain.from_iterable(piece)))


def delete(connection: sqlite3.Connection, table: str, column: str, values: Sequence[str]) -> None:
    """Deletes the rows whose column is one of the values."""
    for piece in pieces(values):
        connection.execute(f"DELETE FROM {table} WHERE {column} IN ({', '.join('?' * len(piece))})", piece)
