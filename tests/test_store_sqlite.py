"""What only the store on disk has: a schema with versions, and a disk that fails."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headway.errors import StoreCorrupt, StoreUnavailable
from headway.model import Done, Status, Transition
from headway.store import schema
from headway.store.base import Batch, Query
from headway.store.sqlite import SQLiteStore
from records import T0, created, done, line, process
from small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headway.db"


def digest(folder: Path) -> dict[str, str]:
    """What is in the files of the database; not the shared memory, which SQLite makes anew from the others."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("headway.db*")) if p.suffix != ".db-shm"}


def many(first: int, count: int = 100) -> Batch:
    processes = [process(f"p{first + i}", metadata={"text": "x" * 900}) for i in range(count)]
    return Batch(processes=processes, transitions=[created(p) for p in processes])


def filled(path: Path, count: int = 500) -> Path:
    store = SQLiteStore(path)
    store.write(many(0, count))
    store.close()
    return path


# ── schema ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_file_is_private_synced_and_has_the_newest_version(path: Path) -> None:
    store = SQLiteStore(path)
    store.write(many(0, 1))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("headway.db-wal").stat().st_mode & 0o777 == 0o600
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert schema.examine(path) == schema.VERSION
    assert store.size_bytes() > 0
    store.close()


def test_the_record_is_json_that_the_sqlite_shell_can_read(path: Path) -> None:
    store = SQLiteStore(path)
    store.write(Batch(processes=[process("a", name="nightly", project="web")]))
    store.close()
    connection = sqlite3.connect(path)
    record = json.loads(connection.execute("SELECT record FROM processes").fetchone()[0])
    connection.close()
    assert record["spec"] == {"name": "nightly", "created_at": T0, "project": "web"}


def make_version_1(path: Path) -> None:
    """A file as the first version left it, made by hand."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in schema.MIGRATIONS[0]:
        connection.execute(statement)
    record = {"status": "done", "state": {"started_at": T0, "finished_at": T0 + 5}, "spec": {"name": "old", "created_at": T0}}
    record["activity"] = {"updated_at": T0 + 5, "of a later version": 1}
    columns = "id, status, kind, name, task, executor, created_at, finished_at, requested, updated_at, record"
    row = ("a", "done", "task", "old", "task of a", 0, T0, T0 + 5, 0, T0 + 5, json.dumps(record))
    connection.execute(f"INSERT INTO processes ({columns}) VALUES ({', '.join('?' * 11)})", row)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()


NEXT = (*schema.MIGRATIONS, ("ALTER TABLE processes ADD COLUMN colour TEXT", "UPDATE processes SET colour = 'grey'"))


def test_an_old_file_is_brought_up_to_date_and_keeps_what_it_holds(path: Path) -> None:
    make_version_1(path)
    for migrations in (schema.MIGRATIONS, NEXT):
        store = SQLiteStore(path, migrations=migrations)
        found = store.get("a")
        assert found is not None and (found.name, found.status, found.finished_at) == ("old", Status.DONE, T0 + 5)
        for query in (Query(name="old"), Query(task="task of a"), Query(task="task of a", statuses=[Status.DONE])):
            assert found in store.list(query), query
        store.write(Batch(processes=[done("b", T0)]))
        store.close()
    assert schema.examine(path, newest=len(NEXT)) == len(NEXT)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT id, colour FROM processes ORDER BY id").fetchall() == [("a", "grey"), ("b", "grey")]
    connection.close()


def test_a_migration_that_fails_leaves_the_old_version(path: Path) -> None:
    make_version_1(path)
    with pytest.raises(StoreUnavailable, match="no such table"):
        SQLiteStore(path, migrations=(*NEXT, ("DELETE FROM nowhere",)))
    assert schema.examine(path) == 1
    store = SQLiteStore(path, migrations=NEXT)
    assert store.get("a") is not None
    store.close()


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    SQLiteStore(path, migrations=NEXT).close()
    before = digest(path.parent)
    versions = rf"schema version {len(NEXT)}, this one knows {schema.VERSION}"
    with pytest.raises(StoreCorrupt, match=rf"newer Headway \({versions}\).*headway restore"):
        SQLiteStore(path)
    assert digest(path.parent) == before


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = digest(path.parent)
    with pytest.raises(StoreCorrupt, match="not one of Headway"):
        SQLiteStore(path)
    assert digest(path.parent) == before


def test_an_empty_file_is_a_new_database_unless_its_log_holds_data(path: Path) -> None:
    path.touch()
    SQLiteStore(path).close()
    assert schema.examine(path) == schema.VERSION
    path.write_bytes(b"")
    path.with_name("headway.db-wal").write_bytes(b"something")
    with pytest.raises(StoreCorrupt, match="holds data"):
        SQLiteStore(path)
    assert path.read_bytes() == b""


def test_what_is_absent_is_null_and_what_is_empty_or_nought_is_not(path: Path) -> None:
    store = SQLiteStore(path)
    empty = process("empty", Done(None, 0.0), user="", project="0", task="", dismissed_at=0.0)
    store.write(
        Batch(
            processes=[empty, process("absent")],
            transitions=[created(empty), Transition("empty", T0, Status.DONE, Status.DONE, "")],
        )
    )
    columns = "user, project, task, attempt, finished_at, dismissed_at, executor, requested"
    rows = store._writer.execute(f"SELECT id, {columns} FROM processes ORDER BY id").fetchall()
    assert rows == [("absent", *[None] * 6, 0, 0), ("empty", "", "0", "", None, 0.0, 0.0, 0, 0)]
    assert [one.id for one in store.list(Query(user=""))] == ["empty"]
    assert store._writer.execute("SELECT before FROM transitions").fetchall() == [(None,), ("done",)]
    store.close()


def test_a_group_of_new_processes_is_written_in_few_places(path: Path) -> None:
    """However many names, tasks and users they have: each place costs a page of the log and one of the database."""
    store = SQLiteStore(path)

    def group(first: int) -> Batch:
        processes = [
            process(f"p{n:06}", at=T0 + n, name=f"job {n * 7919 % 2000}", task=f"task {n * 104729 % 3000}", user=f"user {n % 90}")
            for n in range(first, first + 100)
        ]
        return Batch(processes=processes, transitions=[created(one) for one in processes])

    for first in range(0, 10_000, 100):
        store.write(group(first))
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for first in range(10_000, 11_000, 100):
        store.write(group(first))
    assert path.with_name("headway.db-wal").stat().st_size / 4096 / 10 < 60, "pages for each group of a hundred"
    store.close()


# ── damage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("offset", [0, 20, 28, 100])
def test_a_damaged_beginning_is_refused_and_left_alone(path: Path, offset: int) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 16)
    before = digest(path.parent)
    with pytest.raises(StoreCorrupt, match="headway restore FILE"):
        SQLiteStore(path)
    assert digest(path.parent) == before


def test_a_damaged_middle_is_refused_and_left_alone(path: Path) -> None:
    filled(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(random.Random(1).randbytes(8192))
    before = digest(path.parent)
    with pytest.raises(StoreCorrupt, match="damaged"):
        SQLiteStore(path)
    assert digest(path.parent) == before


def test_a_damaged_file_with_a_log_is_refused_and_both_are_left_alone(path: Path, tmp_path: Path) -> None:
    store = SQLiteStore(filled(path))
    store.write(many(900, 300))
    cut_off = tmp_path / "cut off"
    cut_off.mkdir()
    for name in ("headway.db", "headway.db-wal"):
        shutil.copy(tmp_path / name, cut_off / name)
    store.close()
    copy = cut_off / "headway.db"
    with copy.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xa5" * 4096 * 20)
    before = digest(cut_off)
    assert "headway.db-wal" in before
    with pytest.raises(StoreCorrupt, match="damaged"):
        SQLiteStore(copy)
    assert digest(cut_off) == before


def test_a_record_that_cannot_be_read_is_damage(path: Path) -> None:
    store = SQLiteStore(path)
    store.write(Batch(processes=[process("a"), process("b")]))
    for wrong in ("{", '{"status": "asleep"}', '{"status": "running", "state": {}}'):
        store._writer.execute("UPDATE processes SET record = ? WHERE id = 'a'", (wrong,))
        with pytest.raises(StoreCorrupt, match="process a cannot be read"):
            store.get("a")
        with pytest.raises(StoreCorrupt):
            store.load(done_since=0)
    store._writer.execute("UPDATE processes SET record = CAST(x'ff00' AS TEXT) WHERE id = 'a'")
    with pytest.raises(StoreCorrupt):
        store.get("a")
    assert store.get("b") == process("b")
    store.close()


def test_damage_met_while_running_ends_all_writing(path: Path) -> None:
    store = SQLiteStore(filled(path, 2000))
    size = path.stat().st_size
    with path.open("r+b") as file:  # after the header and the first pages, so that the schema stays readable
        file.seek(4096 * 16)
        file.write(b"\xa5" * (size - 4096 * 16))
    with pytest.raises(StoreCorrupt, match="Nothing is written to it any more"):
        for i in range(100):
            store.write(many(i * 50, 50))
    with pytest.raises(StoreCorrupt):
        store.write(Batch(names=[]))
    assert "damaged" in (store.check() or "")
    store.close()


# ── a disk that is full, read-only, or gone ─────────────────────────────────────────────────────────────────────────


def test_a_full_disk_refuses_whole_batches_and_recovers_by_itself(disk: SmallDisk) -> None:
    store = SQLiteStore(disk.path / "headway.db")
    store.write(many(0, 10))
    disk.fill()
    written = 10
    with pytest.raises(StoreUnavailable, match=r"is full \(.* KiB free\).*no restart is needed"):
        for i in range(1, 100):
            store.write(many(i * 10, 10))
            written += 10
    assert store.status_counts() == {Status.RUNNING: written}, "a part of a refused batch is there"
    assert "is full" in (store.check() or "")
    assert store.get("p3") is not None, "reading goes on"
    disk.make_room()
    assert store.check() is None
    store.write(many(10_000, 10))
    store.close()
    again = SQLiteStore(disk.path / "headway.db")
    assert again.status_counts() == {Status.RUNNING: written + 10}
    again.close()


def test_a_database_that_may_not_grow_refuses_whole_batches(path: Path) -> None:
    store = SQLiteStore(path)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages + 20}")
    written = 0
    with pytest.raises(StoreUnavailable, match="full"):
        for i in range(100):
            store.write(many(i * 10, 10))
            written += 10
    assert written and store.status_counts() == {Status.RUNNING: written}
    assert "full" in (store.check() or "")
    store._writer.execute("PRAGMA max_page_count = 100000")
    assert store.check() is None
    store.close()


def test_a_full_disk_at_the_start_is_said_and_changes_nothing(disk: SmallDisk) -> None:
    path = filled(disk.path / "headway.db", 50)
    disk.fill()
    before = digest(disk.path)
    try:
        store = SQLiteStore(path)
    except StoreUnavailable as error:
        assert "is full" in error.detail and "then restart the exporter" in error.detail
    else:
        assert len(store.list(Query(limit=100))) == 50
        with pytest.raises(StoreUnavailable, match="is full"):
            store.write(many(100, 100))
        store.close()
    assert digest(disk.path)["headway.db"] == before["headway.db"]


def test_a_read_only_disk_is_refused_and_its_return_noticed(disk: SmallDisk) -> None:
    path = filled(disk.path / "headway.db", 50)
    before = digest(disk.path)
    disk.read_only(True)
    with pytest.raises(StoreUnavailable, match="right to write the file"):
        SQLiteStore(path)
    disk.read_only(False)
    assert digest(disk.path) == before
    store = SQLiteStore(path)
    assert store.check() is None
    store.close()


@contextmanager
def unprivileged() -> Iterator[Path]:
    """An own directory, as a user who is not root."""
    with tempfile.TemporaryDirectory() as name:
        root = os.geteuid() == 0
        if root:
            os.chown(name, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_place_without_the_right_to_write_is_refused(what: str) -> None:
    with unprivileged() as folder:
        path = filled(folder / "headway.db", 10)
        before = digest(folder)
        target = folder if what == "directory" else path
        target.chmod(0o500 if what == "directory" else 0o400)
        with pytest.raises(StoreUnavailable, match="right to write the file"):
            SQLiteStore(path)
        assert digest(folder) == before
        target.chmod(0o700)
        store = SQLiteStore(path)
        assert store.check() is None
        store.close()


def test_a_missing_directory_and_a_directory_in_its_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be used: No such file or directory"):
        SQLiteStore(tmp_path / "nowhere" / "headway.db")
    (tmp_path / "headway.db").mkdir()
    with pytest.raises(StoreUnavailable, match="directory"):
        SQLiteStore(tmp_path / "headway.db")


@pytest.mark.parametrize("name", ["headway.db", "headway.db-wal"])
def test_nothing_is_written_into_files_that_were_taken_away(path: Path, name: str) -> None:
    store = SQLiteStore(path)
    store.write(many(0, 10))
    gone, elsewhere = path.with_name(name), path.with_name("elsewhere")
    gone.rename(elsewhere)
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        store.write(many(10, 10))
    assert "removed or replaced" in (store.check() or "")
    elsewhere.rename(gone)
    assert store.check() is None
    store.write(many(10, 10))
    store.close()


def test_a_backup_does_not_give_up_the_locks_on_the_database(path: Path) -> None:
    """Another program that opens and closes the database takes the log away if it believes that nobody else has it open."""
    store = SQLiteStore(path)
    store.write(many(0, 10))
    store.backup(path.with_name("copy.db"))
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM processes').fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert path.with_name("headway.db-wal").exists()
    store.write(many(10, 10))
    store.close()


def test_another_program_that_holds_the_database_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.store.sqlite._BUSY_SECONDS", 0.05)
    store = SQLiteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another program holds"):
        store.write(many(0, 1))
    other.execute("ROLLBACK")
    other.close()
    store.write(many(0, 1))
    store.close()


def test_after_closing_everything_is_refused_in_words(path: Path) -> None:
    store = SQLiteStore(path)
    store.write(Batch(lines=[line("a", 1)]))
    store.close()
    for call in (lambda: store.write(many(0, 1)), lambda: store.get("a"), lambda: store.load(done_since=0)):
        with pytest.raises(StoreUnavailable, match="is closed"):
            call()
    assert "is closed" in (store.check() or "")
    assert not path.with_name("headway.db-wal").exists(), "closing moves the log into the database"
