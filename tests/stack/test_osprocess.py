"""Who an OS process is, and how it is ended."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from stack.osprocess import OSProcess

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
POLITE = "import signal; print('ready', flush=True); signal.pause()"
Start = Callable[[str], OSProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python program that prints a line when it is ready."""
    children = []

    def start(program: str) -> OSProcess:
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout is not None and child.stdout.readline()
        process = OSProcess.of(child.pid)
        assert process is not None
        return process

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture(params=["pidfd", "pid"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pidfd, and as on a kernel that has none."""
    if request.param == "pid":

        def missing(pid: int, flags: int = 0) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(os, "pidfd_open", missing)


@pytest.mark.usefixtures("kernel")
def test_a_polite_one_stops(start: Start) -> None:
    process = start(POLITE)
    assert process.alive
    assert process.end() == "stopped"
    assert not process.alive


@pytest.mark.usefixtures("kernel")
def test_a_stubborn_one_is_killed(start: Start) -> None:
    process = start(STUBBORN)
    assert process.end(grace=0.2) == "killed"
    assert not process.alive


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("change", [{"ticks": 1}, {"boot": "another"}])
def test_another_process_with_the_same_pid_is_left_alone(start: Start, change: dict[str, object]) -> None:
    process = start(POLITE)
    remembered = replace(process, **change)  # type: ignore[arg-type]
    assert not remembered.alive
    assert remembered.end() == "was gone"
    assert process.alive


@pytest.mark.usefixtures("kernel")
def test_one_that_ended_before(start: Start) -> None:
    process = start(POLITE)
    process.end()
    assert process.end() == "was gone"


def test_a_zombie_is_not_alive(start: Start) -> None:
    process = start(POLITE)
    os.kill(process.pid, signal.SIGTERM)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is not reaped
    assert OSProcess.of(process.pid) is None and not process.alive


def test_a_pid_that_nobody_has() -> None:
    assert OSProcess.of(2**22 + 1) is None
