"""The layout of the database file: its migrations, how a file is recognised, and what is checked before it is trusted."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headway.errors import StoreCorrupt, StoreUnavailable
from headway.store.trouble import IN_A_COMMAND, describe, repair_advice, trouble

# "HDWY": tells this database from any other SQLite file (PRAGMA application_id).
APPLICATION_ID: Final = 0x48445759
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
# A sound file of everyday size is checked in well under a second; one of many gigabytes must not delay the start for minutes.
CHECK_SECONDS: Final = 5.0

Migration = Sequence[str]

# Migration n leads from version n to n + 1 (PRAGMA user_version). Applied ones are never edited: a new one is appended.
#
# processes: the columns are what queries filter and sort by; the whole record is JSON (headway.store.codec). No index holds a
# column that an update of the progress changes (updated_at, record), so that writing progress behind touches the row alone.
# processes_created answers filters on what a process is and belongs to from the index, newest first. It is one index, at the end of
# which every new process is put: an index that begins with the name has to be written in as many places as processes have names,
# and a group of a hundred then writes eight times as much.
MIGRATIONS: Final[Sequence[Migration]] = (
    (
        """CREATE TABLE processes (
            id TEXT PRIMARY KEY NOT NULL,
            status TEXT NOT NULL,
            kind TEXT NOT NULL,
            user TEXT,
            project TEXT,
            task TEXT,
            attempt TEXT,
            agent TEXT,
            grp TEXT,
            parent_id TEXT,
            name TEXT NOT NULL,
            executor INTEGER NOT NULL,
            created_at REAL NOT NULL,
            finished_at REAL,
            dismissed_at REAL,
            requested INTEGER NOT NULL,
            updated_at REAL NOT NULL,
            record TEXT NOT NULL
        )""",
        """CREATE INDEX processes_created ON processes
            (created_at, id, kind, user, project, agent, grp, attempt, executor)""",
        "CREATE INDEX processes_status ON processes (status, created_at)",
        "CREATE INDEX processes_name ON processes (name, created_at)",
        "CREATE INDEX processes_task ON processes (task, created_at) WHERE task IS NOT NULL",
        "CREATE INDEX processes_parent ON processes (parent_id, created_at) WHERE parent_id IS NOT NULL",
        "CREATE INDEX processes_finished ON processes (finished_at) WHERE finished_at IS NOT NULL",
        """CREATE TABLE transitions (
            process_id TEXT NOT NULL,
            at REAL NOT NULL,
            before TEXT,
            after TEXT NOT NULL,
            cause TEXT NOT NULL
        )""",
        "CREATE INDEX transitions_process ON transitions (process_id)",
        """CREATE TABLE lines (
            process_id TEXT NOT NULL,
            number INTEGER NOT NULL,
            at REAL NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (process_id, number)
        ) WITHOUT ROWID""",
        """CREATE TABLE names (
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (name, kind)
        ) WITHOUT ROWID""",
        "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value ANY) WITHOUT ROWID",
    ),
    (
        "DROP INDEX processes_name",
        "DROP INDEX processes_task",
        "DROP INDEX processes_created",
        """CREATE INDEX processes_created ON processes
            (created_at, id, name, task, kind, user, project, agent, grp, attempt, executor)""",
    ),
)
VERSION: Final = len(MIGRATIONS)


def examine(path: Path, *, newest: int = VERSION, seconds: float | None = CHECK_SECONDS) -> int | None:
    """The schema version of the file at `path`, None when there is none yet (no file, or an empty one). Changes nothing.

    Raises StoreCorrupt when it is damaged, no database, another program's, or of a newer version; StoreUnavailable when it cannot
    be read. The check of its structure stops after `seconds` (None: goes to the end, and compares the indexes too).
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        header = b""
    except OSError as error:
        raise StoreUnavailable(describe(error, path)) from error
    if not header:
        _no_orphaned_log(path)
        return None
    if not header.startswith(_SQLITE_MAGIC) or len(header) < 100:
        raise StoreCorrupt(
            f"{path} is no SQLite database, or its beginning was overwritten. Nothing was changed. {repair_advice(path)}"
        )
    try:
        # Without a log nobody has it open, and SQLite need not make one to look into the file: not even that is left behind.
        way = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True, isolation_level=None)
        try:
            return _examine(connection, path, newest, seconds)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise trouble(error, path, IN_A_COMMAND) from error


def _examine(connection: sqlite3.Connection, path: Path, newest: int, seconds: float | None) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if version or application or tables:
            raise StoreCorrupt(
                f"{path} is a database, but not one of Headway. Nothing was changed. Name another file or data directory."
            )
        return 0  # made, but its first migration never ran
    if version > newest:
        raise StoreCorrupt(
            f"{path} was written by a newer Headway (schema version {version}, this one knows {newest}). Nothing was changed. "
            "Start the newer version again, or restore a backup made with this one: headway restore FILE"
        )
    problems = _damage(connection, seconds)
    if problems:
        raise StoreCorrupt(f"{path} is damaged: {problems}. Nothing was changed. {repair_advice(path)}")
    return version


def _damage(connection: sqlite3.Connection, seconds: float | None) -> str | None:
    """What SQLite finds wrong with the structure of the file, None if nothing was found within the time."""
    pragma = "integrity_check(3)" if seconds is None else "quick_check(3)"
    if seconds is not None:
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
    try:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}")]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return None if found == ["ok"] else "; ".join(found).replace("\n", "; ")


def _no_orphaned_log(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreUnavailable(describe(error, path)) from error
    if size:
        raise StoreCorrupt(
            f"{path} is missing or empty, but its write-ahead log {log.name} holds data. Nothing was changed. {repair_advice(path)}"
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Brings the database to the newest version, all steps in one transaction: it arrives there or stays what it was.
    Raises sqlite3.Error."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
