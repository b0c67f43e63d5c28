"""Which processes there are: listed where somebody may have come or gone, and not otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.sampler.kept_files import KeptFiles
from headway.sampler.process_list import ProcessList

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


class Counted(KeptFiles):
    """Counts how often a folder was listed."""

    def __init__(self) -> None:
        super().__init__(0, lambda: None)
        self.lists = 0

    def names(self, path: str) -> list[str]:
        self.lists += 1
        return super().names(path)


class Folder:
    """Like /proc, with the processes that a test puts into it."""

    def __init__(self, path: Path, namespace_pid: int | None = None) -> None:
        self.path = path
        path.mkdir()
        (path / "self").symlink_to(str(os.getpid() if namespace_pid is None else namespace_pid))
        self.say(threads=2, last=41)
        self.come(40, 41)
        self.files = Counted()
        self.list = ProcessList(str(path), self.files)

    def say(self, *, threads: int, last: int, load: str = "0.00 0.01 0.05 1") -> None:
        (self.path / "loadavg").write_text(f"{load}/{threads} {last}\n")

    def come(self, *pids: int) -> None:
        for pid in pids:
            (self.path / str(pid)).mkdir()

    def pids(self) -> list[int]:
        return sorted(self.list.pids())


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path / "proc")
    yield folder
    folder.list.close()


def test_while_nobody_comes_or_goes_it_is_not_listed(proc: Folder) -> None:
    for turn in range(10):
        proc.say(threads=2, last=41, load=f"0.{turn}0 0.01 0.05 {turn}")  # the load, and how many run, say nothing of that
        assert proc.pids() == [40, 41]
    assert proc.files.lists == 1


def test_who_came_is_there(proc: Folder) -> None:
    assert proc.pids() == [40, 41]
    proc.come(42)
    proc.say(threads=3, last=42)
    assert proc.pids() == [40, 41, 42]
    (proc.path / "42").rmdir()
    proc.come(43)
    proc.say(threads=3, last=43)  # one went and one came
    assert proc.pids() == [40, 41, 43]


def test_who_went_is_gone(proc: Folder) -> None:
    assert proc.pids() == [40, 41]
    (proc.path / "40").rmdir()
    proc.say(threads=1, last=41)
    assert proc.pids() == [41]


def test_it_is_listed_now_and_then_whatever_is_said(proc: Folder) -> None:
    proc.pids()
    proc.come(42)
    assert [42 in proc.pids() for _ in range(40)].count(False) < 20
    assert proc.files.lists == 3


@pytest.mark.parametrize("said", ["0.00 0.00 0.00 0/0 0\n", "", "0.00 0.00 0.00 1/5\n"], ids=["made up", "empty", "half"])
def test_what_does_not_tell_is_not_believed(proc: Folder, said: str) -> None:
    (proc.path / "loadavg").write_text(said)
    proc.pids()
    proc.come(42)
    assert proc.pids() == [40, 41, 42]


def test_counts_of_another_namespace_are_not_believed(tmp_path: Path) -> None:
    """The folder of the host in a container: the last process id would be that of the container."""
    folder = Folder(tmp_path / "host", namespace_pid=os.getpid() + 1)
    folder.pids()
    folder.come(42)
    assert folder.pids() == [40, 41, 42]


def test_after_it_was_closed_it_lists_every_time(proc: Folder) -> None:
    proc.pids()
    proc.list.close()
    proc.come(42)
    assert proc.pids() == [40, 41, 42]


def test_the_kernel_tells_of_every_process_at_once() -> None:
    """The last process id and the number of threads are those of the moment."""
    files = Counted()
    here = ProcessList("/proc", files)
    assert os.getpid() in here.pids()
    for _ in range(20):
        child = subprocess.Popen(["/bin/sleep", "600"])
        assert child.pid in here.pids()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid in here.pids(), "nobody has waited for it yet"
        child.wait()
        assert child.pid not in here.pids()
    here.close()


def test_a_thread_that_comes_changes_nothing() -> None:
    here = ProcessList("/proc", Counted())
    here.pids()
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert os.getpid() in here.pids()
    finally:
        over.set()
        thread.join()
        here.close()
