"""What an OS process was started with: asked of real ones, the same answers from /proc and from psutil."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.sampler.details import Details, LinuxDetails, PsutilDetails

HOLD = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[LinuxDetails, PsutilDetails])
def details(request: pytest.FixtureRequest) -> Details:
    found: Details = request.param()
    return found


@pytest.fixture
def child(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A child that listens on a port, in a folder and with a variable of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, "a word", ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "A_MARK": "x=y"},
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_a_living_process(details: Details, child: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
    process, port = child
    assert (details.argv(process.pid) or [])[1:4] == ["-c", HOLD, "a word"]
    assert details.cwd(process.pid) == os.path.realpath(tmp_path)
    assert (details.environ(process.pid) or {})["A_MARK"] == "x=y"
    assert details.uid(process.pid) == os.geteuid()
    with socket.create_server(("127.0.0.1", 0)) as free:
        unused = free.getsockname()[1]
    assert details.listeners([port, unused]) == {port: {process.pid}}


def test_one_that_is_gone(details: Details) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert [f(process.pid) for f in (details.argv, details.cwd, details.environ, details.uid)] == [None] * 4


def test_nobody_is_asked_for_when_no_port_is(details: Details) -> None:
    assert details.listeners([]) == {}
