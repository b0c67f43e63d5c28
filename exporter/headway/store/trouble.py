"""What went wrong with the database file, in words that say what to do next."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final

from headway.errors import StoreCorrupt, StoreUnavailable

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# Below this a failed write is taken for a lack of space even where SQLite says only "I/O error": less than one group of records.
_NEARLY_NOTHING: Final = 256 * 1024

# What happens after the repair.
WHILE_RUNNING: Final = "writing is tried again, no restart is needed"
AT_THE_START: Final = "then restart the exporter"
IN_A_COMMAND: Final = "then try again"


def repair_advice(path: Path) -> str:
    """What a person can do about a damaged file."""
    return (
        f"Stop the exporter, then bring back a backup with `headway restore FILE`, which keeps {path.name} beside it; or move "
        f"{path.name} and {path.name}-wal away to start with an empty one; `sqlite3 {path} .recover` saves what can still be read."
    )


def trouble(error: sqlite3.Error, path: Path, then: str = WHILE_RUNNING) -> StoreUnavailable | StoreCorrupt:
    """The error of Headway for one of SQLite; `then` says what comes after the repair. Programming errors are none: the caller lets
    those through."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # The module itself finds text that is no UTF-8, and gives that no code.
    if code in _DAMAGED or "decode to UTF-8" in str(error):
        return StoreCorrupt(f"{path} is damaged ({error}). Nothing is written to it any more. {repair_advice(path)}")
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _no_space(path)):
        return StoreUnavailable(_full(path, then))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return StoreUnavailable(_not_writable(path, str(error), then))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(
            f"another program holds {path} ({error}). Close it there (a sqlite3 shell, a copy in progress); {then}."
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailable(f"the disk that holds {path} fails ({error}). See the system log; {then}.")
    return StoreUnavailable(f"{path} cannot be used: {error}")


def describe(error: OSError, path: Path, then: str = IN_A_COMMAND) -> str:
    """The same for an error of the file system."""
    if error.errno in _FULL:
        return _full(path, then)
    if error.errno in _READ_ONLY:
        return _not_writable(path, error.strerror or str(error), then)
    return f"{path} cannot be used: {error.strerror or error}"


def _full(path: Path, then: str) -> str:
    free = _free(path)
    room = "" if free is None else f" ({free // 1024:,} KiB free)"
    return f"the disk that holds {path} is full{room}. Free some space there; {then}."


def _not_writable(path: Path, said: str, then: str) -> str:
    return (
        f"{path} cannot be opened or written ({said}). Give the user of the exporter (uid {os.geteuid()}) the right to write the "
        f"file and its directory {path.parent}, or mount it for writing, or choose another --data-dir; {then}."
    )


def _free(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return None


def _no_space(path: Path) -> bool:
    free = _free(path)
    return free is not None and free < _NEARLY_NOTHING
