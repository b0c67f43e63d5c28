"""The log file of a command: nothing is lost but what is too old."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from headway.supervisor.logfile import LogFile, directory, remove_old


def test_it_keeps_bytes_as_they_came_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    for piece in (b"one\r", b"\xff\x00two\n"):
        log = LogFile(path)
        log.write(piece)
        log.close()
    assert path.read_bytes() == b"one\r\xff\x00two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_begins_anew_before_it_is_too_large(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", rotate_at=10, kept=3)
    for piece in (b"1" * 8, b"2" * 8, b"3" * 8, b"4" * 8, b"5" * 4, b"6" * 40):
        log.write(piece)
    log.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.log": b"6" * 40,
        "a.log.1": b"5" * 4,
        "a.log.2": b"4" * 8,
    }


def test_one_file_only(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", rotate_at=10, kept=1)
    log.write(b"1" * 8)
    log.write(b"2" * 8)
    log.close()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.log", b"2" * 8)]


def test_old_ones_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name, age in (("old.log", 100), ("old.log.1", 200), ("new.log", 10), ("notes.txt", 500)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    remove_old(tmp_path, now=1000.0, kept_for=50.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.log", "notes.txt"]
    remove_old(tmp_path / "missing")


def test_where_they_are(tmp_path: Path) -> None:
    assert directory({"HEADWAY_LOG_DIR": str(tmp_path)}) == tmp_path
    if os.geteuid() != 0:
        assert directory({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "headway/logs"
    else:
        assert directory({}) == Path("/var/lib/headway/logs")
