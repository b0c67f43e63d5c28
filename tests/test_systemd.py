"""The exporter as a systemd service: what it tells the manager, what its unit says, and what commands do not inherit."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.cli.main import parse
from headway.notify import notify, watchdog_interval
from headway.supervisor.privileges import has_ambient
from running import Starter
from waiting import wait_until

UNIT = Path(__file__).resolve().parent.parent / "exporter/headway.service"


class Manager:
    """What a service manager hears."""

    def __init__(self, address: str) -> None:
        self.heard: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def hears(self, word: str) -> bool:
        try:
            while True:
                self.heard += self.socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            return word in self.heard


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.socket.close()


def test_ready_alive_and_stopping(start_exporter: Starter, manager: Manager, tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    exporter = start_exporter(**environ)
    wait_until(lambda: manager.hears("READY=1"), 30, "READY=1")
    assert f"STATUS=listens at {exporter.url}" in manager.heard
    wait_until(lambda: manager.hears("WATCHDOG=1") and manager.heard.count("WATCHDOG=1") >= 3, 30, "signs of life")
    exporter.stop()
    wait_until(lambda: manager.hears("STOPPING=1"), 30, "STOPPING=1")


def test_an_abstract_address_and_nobody_there(tmp_path: Path) -> None:
    abstract = Manager("\0headway-test-" + str(os.getpid()))
    assert notify("READY=1", {"NOTIFY_SOCKET": f"@headway-test-{os.getpid()}"}) and abstract.hears("READY=1")
    abstract.socket.close()
    assert not notify("READY=1", {})
    assert not notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert not notify("READY=1", {"NOTIFY_SOCKET": "vsock:2:3"})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_it_says_that_it_works(environ: dict[str, str], expected: float | None) -> None:
    assert watchdog_interval(environ, pid=7) == expected


def test_the_unit_starts_what_there_is() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert Path(words[0]).name == "headway"
    args = parse(words[1:])
    assert (args.command, args.data_dir) == ("serve", f"/var/lib/{service['StateDirectory']}")
    # What it started must outlive it, and it says itself when it is ready.
    assert (service["KillMode"], service["Type"], service["User"]) == ("process", "notify", "headway")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "headway.service"
    copy.write_text(UNIT.read_text().replace("/opt/headway/bin/headway", str(Path(sys.executable).with_name("headway"))))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_has_ambient(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCapAmb:\t0000000000080020\n")
    assert has_ambient(status)
    status.write_text("Name:\tx\nCapAmb:\t0000000000000000\n")
    assert not has_ambient(status) and not has_ambient(tmp_path / "missing")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
def test_a_command_does_not_inherit_what_the_exporter_was_given() -> None:
    given = ["setpriv", "--reuid=nobody", "--clear-groups", "--inh-caps=+kill", "--ambient-caps=+kill"]
    look = ["grep", "-E", "^Cap(Prm|Eff|Amb)", "/proc/self/status"]
    environ = {"PATH": os.environ["PATH"], "HOME": "/", "HEADWAY_URL": "off", "PYTHONDONTWRITEBYTECODE": "1"}
    bare = subprocess.run([*given, *look], env=environ, capture_output=True, text=True, timeout=60)
    assert bare.stdout.split()[1::2] == ["0000000000000020"] * 3, bare.stderr
    run = [sys.executable, "-m", "headway", "run", "--no-log-file", "--", *look]
    done = subprocess.run(
        [*given, *run], env=environ | {"HEADWAY_RUN_KEY_FILE": "/dev/null"}, capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert done.stdout.split()[1::2] == ["0000000000000000"] * 3, done.stderr
