"""The log of a service as it is read: last lines over several files, and following it while its files are moved on."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.api.service_logs import Followed, last_lines
from headway.supervisor.logfile import LogFile


def write(log: LogFile, first: int, last: int) -> None:
    for number in range(first, last + 1):
        log.write(b"line %d\n" % number)


def lines(first: int, last: int) -> list[bytes]:
    return [b"line %d" % number for number in range(first, last + 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


def test_last_lines_reach_into_older_files(path: Path) -> None:
    assert last_lines(path, 5, 3) == []
    log = LogFile(path, rotate_at=70, kept=3)
    write(log, 1, 30)
    assert path.with_name("web.log.2").exists()
    assert last_lines(path, 12, 3) == [f"line {number}" for number in range(19, 31)]
    assert last_lines(path, 0, 3) == []
    assert last_lines(path, 1000, 3)[-1] == "line 30" and 12 < len(last_lines(path, 1000, 3)) < 30
    log.write(b"10%\r20%\r\nunfini")
    assert last_lines(path, 3, 3) == ["line 30", "20%", "unfini"]


def test_what_is_followed_goes_on_over_several_files_at_once(path: Path) -> None:
    log = LogFile(path, rotate_at=70, kept=10)
    write(log, 1, 12)
    followed = Followed(path, 10)
    assert followed.begin(4) == lines(9, 12)
    assert followed.more() == []
    write(log, 13, 50)
    assert path.with_name("web.log.4").exists(), "moved on several times between two looks"
    found: list[bytes] = []
    while new := followed.more():
        found += new
    assert found == lines(13, 50)
    followed.close()


def test_what_is_followed_begins_with_the_first_line_and_gives_whole_lines(path: Path) -> None:
    followed = Followed(path, 3)
    assert followed.begin(10) == [] and followed.more() == []
    log = LogFile(path, rotate_at=20, kept=3)
    log.write(b"one\ntw")
    assert followed.more() == [b"one"]
    log.write(b"o is in two files\nthree")
    assert path.with_name("web.log.1").exists()
    assert [*followed.more(), *followed.more()] == [b"two is in two files"]
    log.write(b"\n")
    assert [*followed.more(), *followed.more()] == [b"three"]


def test_what_began_with_an_unfinished_line_gives_it_whole(path: Path) -> None:
    log = LogFile(path)
    log.write(b"one\ntw")
    followed = Followed(path, 5)
    assert followed.begin(10) == [b"one"]
    log.write(b"o\n")
    assert followed.more() == [b"two"]


def test_what_went_by_between_two_looks_is_all_that_is_lost(path: Path) -> None:
    log = LogFile(path, rotate_at=70, kept=2)
    write(log, 1, 3)
    followed = Followed(path, 2)
    assert followed.begin(10) == lines(1, 3)
    write(log, 4, 100)
    found = followed.more()
    while new := followed.more():
        found += new
    last = [int(line.split()[1]) for line in found]
    # The rest of the file that was open, and the two that are kept.
    assert last[-1] == 100 and last == sorted(set(last)) and last[0] == 4


def test_only_one_file_is_kept(path: Path) -> None:
    log = LogFile(path, rotate_at=20, kept=1)
    followed = Followed(path, 1)
    write(log, 1, 2)
    assert followed.begin(5) == lines(1, 2)
    write(log, 3, 4)
    assert [*followed.more(), *followed.more()] == lines(3, 4)
