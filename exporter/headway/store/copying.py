"""Copies of the database: the backup of one that is in use, and the way back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headway.errors import StoreCorrupt, StoreUnavailable
from headway.store.schema import examine
from headway.store.trouble import IN_A_COMMAND, describe, trouble

# One step of a copy: short enough that Ctrl-C and the progress come at once (4 MiB of 4 KiB pages).
_PAGES: Final = 1024

Progress = Callable[[int, int], None]  # pages copied so far, pages in all


@dataclass(frozen=True, slots=True)
class Restored:
    """`kept`: where the database that was there before is now, None if there was none. `processes`: how many came back."""

    path: Path
    kept: Path | None
    processes: int


def copy_database(source: Path, target: Path, progress: Progress | None = None) -> None:
    """A complete, consistent copy of the database at `source`, one plain file of mode 0600 at `target`, while others write.

    It shows the moment the copy began. Appears whole or not at all: until it is complete and checked it is called `target`.part.
    Raises FileExistsError rather than overwrite, StoreUnavailable or StoreCorrupt when one of the files cannot be used.

    Opens `source` through SQLite alone: closing another descriptor of it would drop the locks of this process (POSIX).
    """
    if not source.exists():
        raise StoreUnavailable(f"there is no database at {source}")
    if target.exists():
        raise FileExistsError(f"{target} exists already: choose another name, nothing is overwritten")
    part = target.with_name(target.name + ".part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise FileExistsError(f"{part} exists already: another backup is being made, or one was cut off; then remove it") from None
    except OSError as error:
        raise StoreUnavailable(describe(error, part)) from error
    try:
        _copy(source, part, progress)
        examine(part)
        _sync(part)
        os.link(part, target)  # unlike a rename it never replaces what appeared there meanwhile
    except FileExistsError:
        raise FileExistsError(f"{target} was made by someone else meanwhile: choose another name, nothing is overwritten") from None
    except OSError as error:
        raise StoreUnavailable(describe(error, part)) from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            part.with_name(part.name + suffix).unlink(missing_ok=True)
    _sync(target.parent)


def _copy(source: Path, part: Path, progress: Progress | None) -> None:
    def step(_: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    try:
        reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        writing = sqlite3.connect(part, isolation_level=None)
        try:
            # A read transaction that stays open: without it every write of the exporter would make the copy start anew.
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            reading.backup(writing, pages=_PAGES, progress=step)
            writing.execute("PRAGMA journal_mode = DELETE")  # a single file, readable from anywhere
        finally:
            writing.close()
            reading.close()
    except sqlite3.Error as error:
        found = trouble(error, part, IN_A_COMMAND)
        raise trouble(error, source, IN_A_COMMAND) if isinstance(found, StoreCorrupt) else found from error


def restore(backup: Path, database: Path, stamp: str, progress: Progress | None = None) -> Restored:
    """Puts a copy of `backup` in the place of `database`; what was there is kept beside it as `…before-restore-STAMP`.

    The caller holds the lock of the data directory. Nothing is touched before the backup was found to be sound, of Headway and not
    of a newer version; an older one is brought up to date at the next start. Raises StoreCorrupt, StoreUnavailable.
    """
    if examine(backup, seconds=None) in (None, 0):
        raise StoreUnavailable(f"there is no backup at {backup}")
    fresh = database.with_name(f"{database.name}.restoring")
    fresh.unlink(missing_ok=True)  # of a restore that was cut off; the lock says that none is running
    copy_database(backup, fresh, progress)
    try:
        processes = _count(fresh)
        kept = _set_aside(database, f".before-restore-{stamp}")
        fresh.replace(database)
    except OSError as error:
        raise StoreUnavailable(describe(error, database)) from error
    finally:
        fresh.unlink(missing_ok=True)
    _sync(database.parent)
    return Restored(database, kept, processes)


def _count(path: Path) -> int:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        count: int = connection.execute("SELECT count(*) FROM processes").fetchone()[0]
        return count
    finally:
        connection.close()


def _set_aside(database: Path, suffix: str) -> Path | None:
    """Gives the database and its log a second name, then takes the log away: SQLite would replay it into the new file.

    In this order the old state is complete under its new name before anything is missing under the old one.
    """
    kept = database.with_name(database.name + suffix)
    log, kept_log = database.with_name(database.name + "-wal"), kept.with_name(kept.name + "-wal")
    found = database.exists()
    for old, new in ((database, kept), (log, kept_log)):
        if old.exists():
            os.link(old, new)
    _sync(database.parent)
    log.unlink(missing_ok=True)
    database.with_name(database.name + "-shm").unlink(missing_ok=True)
    return kept if found else None


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
