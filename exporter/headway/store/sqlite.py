"""The store on disk: one SQLite file with a write-ahead log, synced at every commit."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from headway.errors import StoreCorrupt, StoreUnavailable
from headway.model import Process, Status, Transition
from headway.store import bulk, queries
from headway.store.base import Batch, Loaded, LogLine, Query
from headway.store.codec import Undecodable, decode_name, decode_process
from headway.store.copying import copy_database
from headway.store.rows import forget, rows_of, write_rows
from headway.store.schema import MIGRATIONS, Migration, examine, migrate
from headway.store.trouble import AT_THE_START, describe, repair_advice, trouble

log = logging.getLogger(__name__)
T = TypeVar("T")

# A log of 16 MiB before it is moved into the database: fewer syncs than SQLite's 4 MiB, and still quick to read at a start.
_CHECKPOINT_PAGES: Final = 4000
_LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CACHE_KIB: Final = 16 * 1024
_BUSY_SECONDS: Final = 5.0
_READERS_KEPT: Final = 8
_PRUNED_AT_ONCE: Final = 200
# check() believes the last write for so long; after a failure it tries with more than the log may still have room for.
_PROBE_AFTER: Final = 1.0
_PROBE_BYTES: Final = 64 * 1024


class SQLiteStore:
    """A :class:`headway.store.base.Store` in the file `path`, made when missing (mode 0600; its directory must exist).

    Raises StoreCorrupt for a file that is damaged, of another program or of a newer version: it is then left byte for byte as it
    is. Raises StoreUnavailable when the file cannot be opened. One connection writes, under a lock; reads have their own.
    """

    def __init__(self, path: Path, *, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._damage: StoreCorrupt | None = None
        self._failed = False
        self._wrote_at = -_PROBE_AFTER
        examine(path, newest=len(migrations))
        try:
            # Makes it when missing; SQLite itself would open a file that may not be written without a word. Before it is opened
            # there: closing any other descriptor of the file would drop the locks of the whole process on it (POSIX).
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._writer = self._open_writer(migrations)
            self._identity = (_identity(path), _identity(self._log_path))
        except OSError as error:
            raise StoreUnavailable(describe(error, path, AT_THE_START)) from error
        except sqlite3.Error as error:
            raise trouble(error, path, AT_THE_START) from error

    def _open_writer(self, migrations: Sequence[Migration]) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreUnavailable(f"{self.path} cannot have a write-ahead log here (it is {mode!r}): use a local file system")
            for pragma in (
                "synchronous = FULL",
                f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
                f"journal_size_limit = {_LOG_LIMIT_BYTES}",
                f"cache_size = -{_CACHE_KIB}",
                "temp_store = MEMORY",
                "secure_delete = FAST",
            ):
                connection.execute(f"PRAGMA {pragma}")
            migrate(connection, migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    # ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, batch: Batch) -> None:
        if not batch:  # a transaction of nothing succeeds on a full disk, too
            with self._lock:
                self._refuse()
            return
        rows = rows_of(batch)
        with self._transaction() as connection:
            write_rows(connection, rows)

    def prune(self, *, ended_before: float, failed_before: float, keep: int) -> Sequence[str]:
        gone: list[str] = []
        while ids := self._prune_some(queries.EXPIRED, lambda _: (ended_before, failed_before, _PRUNED_AT_ONCE)):
            gone += ids
        while ids := self._prune_some(queries.OLDEST_ENDED, lambda ended: (min(_PRUNED_AT_ONCE, max(0, ended - keep)),)):
            gone += ids
        return gone

    def _prune_some(self, sql: str, parameters: Callable[[int], tuple[Any, ...]]) -> list[str]:
        with self._transaction() as connection:
            ended = connection.execute(queries.ENDED_COUNT).fetchone()[0]
            ids = [row[0] for row in connection.execute(sql, parameters(ended))]
            forget(connection, ids)
        if ids:
            time.sleep(0.001)  # a lock is not fair: let a commit that waits for it go first
        return ids

    def trim_lines(self, process_ids: Iterable[str], *, keep_lines: int, keep_bytes: int) -> None:
        for piece in bulk.pieces(list(process_ids)):
            with self._transaction() as connection:
                for process_id in piece:
                    connection.execute(_TRIM, (process_id, max(1, keep_lines), keep_bytes))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and durable at the end. Translates errors and remembers how it went, for :meth:`check`."""
        with self._lock:
            self._refuse()
            connection = self._writer
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                _roll_back(connection)
                if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.DataError):
                    raise
                self._failed = True
                found = trouble(error, self.path)
                if isinstance(found, StoreCorrupt):
                    self._damage = found
                raise found from error
            except BaseException:
                _roll_back(connection)
                raise
            self._wrote_at = time.monotonic()

    def _refuse(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed: the exporter is stopping")
        if self._damage is not None:
            raise StoreCorrupt(self._damage.detail)
        if (_identity(self.path), _identity(self._log_path)) != self._identity:
            raise StoreUnavailable(
                f"{self.path} or its write-ahead log was removed or replaced while the exporter runs: what is written now would be "
                "lost. Put it back, or restart the exporter to begin with what is there."
            )

    # ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, *, done_since: float) -> Loaded:
        with self._reader() as connection:
            connection.execute("BEGIN")
            try:
                rows = connection.execute(queries.LOAD, (done_since,)).fetchall()
                names = connection.execute("SELECT record FROM names ORDER BY name, kind").fetchall()
            finally:
                connection.execute("ROLLBACK")
            return Loaded(_processes(rows), [decode_name(row[0]) for row in names])

    def get(self, process_id: str) -> Process | None:
        with self._reader() as connection:
            row = connection.execute("SELECT id, record FROM processes WHERE id = ?", (process_id,)).fetchone()
            return None if row is None else decode_process(*row)

    def list(self, query: Query) -> Sequence[Process]:
        if query.limit <= 0 or (query.statuses is not None and not query.statuses):
            return []
        with self._reader() as connection:
            return _processes(connection.execute(*queries.list_query(query)).fetchall())

    def children(self, parent_ids: Collection[str]) -> Sequence[Process]:
        with self._reader() as connection:
            found: list[tuple[float, Process]] = []
            for piece in bulk.pieces(sorted(set(parent_ids))):
                sql = f"SELECT id, record FROM processes WHERE parent_id IN ({', '.join('?' * len(piece))})"
                found += ((p.spec.created_at, p) for p in _processes(connection.execute(sql, piece).fetchall()))
        return [process for _, process in sorted(found, key=lambda pair: (pair[0], pair[1].id))]

    def lines(self, process_id: str, tail: int) -> Sequence[LogLine]:
        with self._reader() as connection:
            rows = connection.execute(
                "SELECT process_id, number, at, text FROM lines WHERE process_id = ? ORDER BY number DESC LIMIT ?",
                (process_id, max(0, tail)),
            ).fetchall()
        return [LogLine(*row) for row in reversed(rows)]

    def transitions(self, process_id: str) -> Sequence[Transition]:
        with self._reader() as connection:
            rows = connection.execute(
                "SELECT process_id, at, before, after, cause FROM transitions WHERE process_id = ? ORDER BY rowid", (process_id,)
            ).fetchall()
        return [
            Transition(i, at, None if before is None else Status(before), Status(after), cause)
            for i, at, before, after, cause in rows
        ]

    def status_counts(self) -> dict[Status, int]:
        with self._reader() as connection:
            rows = connection.execute(
                "SELECT status, count(*) FROM processes INDEXED BY processes_status GROUP BY status"
            ).fetchall()
        return {Status(status): count for status, count in rows}

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads, from the idle ones; goes back there unless something went wrong with it."""
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed: the exporter is stopping")
        connection: sqlite3.Connection | None = None
        try:
            connection = self._idle.pop() if self._idle else self._open_reader()
            yield connection
        except sqlite3.DatabaseError as error:
            if connection is not None:
                connection.close()
            raise trouble(error, self.path) from error
        except (Undecodable, ValueError) as error:
            raise StoreCorrupt(f"{self.path}: {error}. {repair_advice(self.path)}") from error
        else:
            if self._closed or len(self._idle) >= _READERS_KEPT:
                connection.close()
            else:
                self._idle.append(connection)

    def _open_reader(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    # ── upkeep ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def backup(self, path: Path) -> None:
        copy_database(self.path, path)

    def check(self) -> str | None:
        try:
            with self._lock:
                self._refuse()
                if not self._failed and time.monotonic() - self._wrote_at < _PROBE_AFTER:
                    return None
                size = _PROBE_BYTES if self._failed else 0
            with self._transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', zeroblob(?))", (size,))
        except (StoreUnavailable, StoreCorrupt) as error:
            return error.detail
        with self._lock:
            self._failed = False  # a small write may have found room before, where one of many records finds none
        return None

    def size_bytes(self) -> int:
        total = 0
        for path in (self.path, self._log_path):
            try:
                total += path.stat().st_size
            except OSError:
                pass  # removed: then it takes nothing
        return total

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            while self._idle:
                self._idle.pop().close()
            try:
                self._writer.close()  # the last connection moves the log into the database
            except sqlite3.DatabaseError as error:
                log.warning("closing %s: %s", self.path, error)

    @property
    def _log_path(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")


_TRIM: Final = """DELETE FROM lines WHERE process_id = ?1 AND number <= (
    SELECT max(number) FROM (
        SELECT number, row_number() OVER newest AS place, sum(length(CAST(text AS BLOB))) OVER newest AS bytes
        FROM lines WHERE process_id = ?1 WINDOW newest AS (ORDER BY number DESC)
    ) WHERE place > ?2 OR (bytes > ?3 AND place > 1)
)"""


def _processes(rows: Sequence[tuple[str, str]]) -> list[Process]:
    return [decode_process(*row) for row in rows]


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError:
        pass  # SQLite rolled back by itself, which is all that is wanted


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, however it is called; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
