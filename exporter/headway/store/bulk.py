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


def pieces(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows in order, cut to the sizes of prepared statements."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


@lru_cache(maxsize=256)
def statement(head: str, width: int, rows: int, tail: str = "") -> str:
    """`head` VALUES (?, …), (?, …) `tail`."""
    row = f"({', '.join('?' * width)})"
    return f"{head} VALUES {', '.join([row] * rows)} {tail}"


def insert(connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
    """Inserts all rows: `head` is the statement up to VALUES, `tail` what follows the rows."""
    for piece in pieces(rows):
        connection.execute(statement(head, len(piece[0]), len(piece), tail), list(chain.from_iterable(piece)))


def delete(connection: sqlite3.Connection, table: str, column: str, values: Sequence[str]) -> None:
    """Deletes the rows whose column is one of the values."""
    for piece in pieces(values):
        connection.execute(f"DELETE FROM {table} WHERE {column} IN ({', '.join('?' * len(piece))})", piece)
