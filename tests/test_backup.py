"""`headway backup` and `headway restore`, and the lock of the data directory that keeps them apart from an exporter."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from headway.cli import backup as command
from headway.cli.exits import CommandError
from headway.errors import ConfigError, StoreCorrupt, StoreUnavailable
from headway.model import Status
from headway.store import copying, schema
from headway.store.base import Batch
from headway.store.copying import copy_database, restore
from headway.store.lock import DataDirLock
from headway.store.sqlite import SQLiteStore
from records import process
from small_disk import small_disk


def filled(path: Path, count: int, prefix: str = "p") -> Path:
    path.parent.mkdir(exist_ok=True)
    store = SQLiteStore(path)
    store.write(Batch(processes=[process(f"{prefix}{i}", metadata={"text": "x" * 1000}) for i in range(count)]))
    store.close()
    return path


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args([str(word) for word in argv])
    return int(args.run(args))


def statuses(path: Path) -> dict[Status, int]:
    store = SQLiteStore(path)
    try:
        return store.status_counts()
    finally:
        store.close()


def names(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir())


# ── the lock ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_lock_names_the_process_that_holds_it(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from headway.store.lock import DataDirLock\n"
    program += "lock = DataDirLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"in use by an exporter with pid {holder.pid}; stop that one"):
            DataDirLock(tmp_path).acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
    with DataDirLock(tmp_path) as lock:
        with pytest.raises(ConfigError, match=f"pid {os.getpid()};"):
            DataDirLock(tmp_path).acquire()
        lock.release()
        lock.release()
        DataDirLock(tmp_path).acquire().release()


def test_a_data_directory_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        DataDirLock(tmp_path / "nowhere").acquire()
    assert caught.value.field == "data_dir"


# ── backup ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backup_while_the_exporter_writes_is_one_moment(tmp_path: Path) -> None:
    """Each batch is a pair: a copy with half of one would have caught two moments."""
    path = filled(tmp_path / "headway.db", 3000)
    store = SQLiteStore(path)
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            store.write(Batch(processes=[process(f"a{written}"), process(f"b{written}"), process("p0", current=written)]))
            written += 1

    writing = threading.Thread(target=write)
    writing.start()
    steps: list[tuple[int, int]] = []
    during: list[int] = []

    def step(copied: int, total: int) -> None:
        steps.append((copied, total))
        during.append(written)
        deadline = threading.Event()
        while written < during[-1] + 3 and not deadline.wait(0.002):
            pass  # so that there are writes between any two steps

    try:
        copy_database(path, tmp_path / "copy.db", step)
    finally:
        stop.set()
        writing.join(30)
    assert len(steps) > 1 and steps[-1][0] == steps[-1][1] and during[-1] > during[0]
    store.close()
    copy = SQLiteStore(tmp_path / "copy.db")
    pairs = copy.status_counts()[Status.RUNNING] - 3000
    assert pairs % 2 == 0 and pairs < 2 * written
    first = copy.get("p0")
    assert first is not None and (first.activity.current or 0) == max(0, pairs // 2 - 1)
    copy.close()


def test_the_command_makes_a_private_file_and_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path / "data" / "headway.db", 10)
    target = tmp_path / "copy.db"
    assert run("backup", target, "--data-dir", tmp_path / "data") == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.stat().st_mode & 0o777 == 0o600 and names(tmp_path) == ["copy.db", "data"]
    before = target.read_bytes()
    with pytest.raises(CommandError, match="nothing is overwritten"):
        run("backup", target, "--data-dir", tmp_path / "data")
    assert target.read_bytes() == before
    (tmp_path / "many").mkdir()
    assert run("backup", tmp_path / "many", "--data-dir", tmp_path / "data") == 0
    assert len(names(tmp_path / "many")) == 1 and statuses(next((tmp_path / "many").iterdir())) == {Status.RUNNING: 10}


def test_a_backup_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path / "data" / "headway.db", 10)

    def interrupt(copied: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(path, tmp_path / "copy.db", interrupt)
    assert names(tmp_path) == ["data"]


def test_a_backup_of_nothing_or_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(
        CommandError, match=r"there is no database at .*data/headway\.db: say where .* --data-dir or HEADWAY_DATA_DIR"
    ):
        run("backup", tmp_path / "copy.db", "--data-dir", tmp_path / "data")
    filled(tmp_path / "data" / "headway.db", 10)
    with pytest.raises(CommandError, match=r"there is no directory .*nowhere: make it"):
        run("backup", tmp_path / "nowhere" / "copy.db", "--data-dir", tmp_path / "data")


def test_a_backup_onto_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path / "data" / "headway.db", 4000)
    with small_disk(tmp_path / "disk", "1m") as disk:
        with pytest.raises(StoreUnavailable, match=r"disk/copy.db.part is full"):
            copy_database(path, disk.path / "copy.db")
        assert names(disk.path) == []


# ── restore ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_restore_brings_the_backup_back_and_keeps_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    filled(data / "headway.db", 10)
    run("backup", tmp_path / "copy.db", "--data-dir", data)
    filled(data / "headway.db", 25)
    assert run("restore", tmp_path / "copy.db", "--data-dir", data) == 0
    said = capsys.readouterr().err
    assert "10 processes are back" in said and ".before-restore-" in said
    assert statuses(data / "headway.db") == {Status.RUNNING: 10}
    kept = next(data.glob("headway.db.before-restore-*"))
    assert statuses(kept) == {Status.RUNNING: 25}
    assert statuses(tmp_path / "copy.db") == {Status.RUNNING: 10}, "the backup itself stays as it is"


def test_a_restore_keeps_what_a_killed_exporter_left_in_its_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    filled(data / "headway.db", 10)
    copy_database(data / "headway.db", tmp_path / "copy.db")
    program = "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from records import process\n"
    program += "from headway.store.base import Batch; from headway.store.sqlite import SQLiteStore\n"
    program += "SQLiteStore(Path(sys.argv[1])).write(Batch(processes=[process('late')])); os._exit(9)"
    subprocess.run([sys.executable, "-c", program, str(data / "headway.db"), str(Path(__file__).parent)], check=False)
    assert (data / "headway.db-wal").stat().st_size > 0
    done = restore(tmp_path / "copy.db", data / "headway.db", "now")
    assert done.processes == 10 and done.kept is not None
    assert statuses(data / "headway.db") == {Status.RUNNING: 10}, "the old log was replayed into the restored file"
    assert statuses(done.kept) == {Status.RUNNING: 11}


def test_a_restore_into_an_empty_data_directory(tmp_path: Path) -> None:
    filled(tmp_path / "copy.db", 10)
    assert run("restore", tmp_path / "copy.db", "--data-dir", tmp_path / "new") == 0
    assert statuses(tmp_path / "new" / "headway.db") == {Status.RUNNING: 10}
    assert not list((tmp_path / "new").glob("*restor*"))


def test_a_restore_into_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    copy = filled(tmp_path / "copy.db", 10)
    with pytest.raises(ConfigError, match=r"it is not a directory; make it, .* --data-dir"):
        run("restore", copy, "--data-dir", copy)


def test_a_restore_is_refused_while_an_exporter_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    filled(data / "headway.db", 10)
    filled(tmp_path / "copy.db", 5)
    before = (data / "headway.db").read_bytes()
    with DataDirLock(data), pytest.raises(ConfigError, match="in use by an exporter"):
        run("restore", tmp_path / "copy.db", "--data-dir", data)
    assert (data / "headway.db").read_bytes() == before


@pytest.mark.parametrize("wrong", ["damaged", "text", "newer", "missing", "foreign"])
def test_a_backup_that_is_not_sound_is_refused_and_nothing_touched(tmp_path: Path, wrong: str) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    filled(data / "headway.db", 10)
    if wrong == "damaged":
        filled(copy, 500)
        with copy.open("r+b") as file:
            file.seek(copy.stat().st_size // 2)
            file.write(b"\xa5" * 8192)
    elif wrong == "text":
        copy.write_text("this is no database\n" * 100)
    elif wrong == "newer":
        SQLiteStore(copy, migrations=(*schema.MIGRATIONS, ("CREATE TABLE later (x)",))).close()
    elif wrong == "foreign":
        subprocess.run(
            [sys.executable, "-c", f"import sqlite3; sqlite3.connect({str(copy)!r}).execute('CREATE TABLE x (y)')"], check=True
        )
    before = (data / "headway.db").read_bytes()
    with pytest.raises(StoreUnavailable if wrong == "missing" else StoreCorrupt):
        run("restore", copy, "--data-dir", data)
    assert (data / "headway.db").read_bytes() == before
    assert set(names(data)) == {"headway.db", "exporter.lock"}


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.progress("copied") is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    show = command.progress("copied")
    assert show is not None
    show(512, 1024)
    show(1024, 1024)
    assert capsys.readouterr().err == "\rcopied  50% of 4.2 MB\rcopied 100% of 4.2 MB\n"
    assert copying._PAGES > 0
