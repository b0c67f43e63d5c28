"""A command that is run for somebody: it must not notice, and neither must they."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from terminals import Terminal
from waiting import wait_until

# Runs its arguments as `headway run` does, and notes what it is told in the file of the environment variable NOTES.
RUNNER = """
import json, os, sys
from headway.supervisor.command import CannotStart, Command

class Notes:
    def __init__(self):
        self.file = open(os.environ["NOTES"], "a", buffering=1)
        self.bytes = 0
    def note(self, **what):
        self.file.write(json.dumps(what) + "\\n")
    def output(self, data):
        self.bytes += len(data)
    def paused(self):
        self.note(event="paused")
    def resumed(self):
        self.note(event="resumed")
    def tick(self):
        pass

notes = Notes()
try:
    command = Command(sys.argv[1:], cwd=os.environ.get("RUN_IN"))
except CannotStart as error:
    notes.note(event="cannot", detail=str(error), status=error.status)
    sys.exit(error.status)
notes.note(event="started", pid=command.pid)
ending = command.wait(notes)
if "USED" in os.environ:
    notes.note(event="used", cpu=ending.used.cpu_seconds, read=ending.used.io_read_bytes, written=ending.used.io_written_bytes)
notes.note(event="ended", exit_code=ending.exit_code, signal=ending.signal, bytes=notes.bytes)
sys.exit(ending.status)
"""

Runner = Callable[..., list[str]]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """What the runner has noted so far."""
    path = tmp_path / "notes"
    path.touch()
    monkeypatch.setenv("NOTES", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def runner(*command: str) -> list[str]:
    return [sys.executable, "-c", RUNNER, *command]


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", textwrap.dedent(code)


def run(*command: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(runner(*command), capture_output=True, timeout=30, **more)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*command: str, **more: Any) -> Terminal:
        opened.append(Terminal(runner(*command), **more))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


# ── through pipes ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_output_error_input_and_exit_code_pass_through(notes: Callable[[], list[dict[str, Any]]]) -> None:
    done = run(*python("import sys; sys.stderr.write('e\\xff'); print(sys.stdin.read()[::-1]); sys.exit(7)"), input=b"abc")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"cba\n", "e\xff".encode())
    assert notes()[-1] == {"event": "ended", "exit_code": 7, "signal": None, "bytes": 7}


def test_every_byte_of_much_output_arrives(notes: Callable[[], list[dict[str, Any]]]) -> None:
    done = run(*python("import os; [os.write(1, bytes(range(256)) * 1000) for _ in range(20)]"))
    assert done.stdout == bytes(range(256)) * 20_000
    assert notes()[-1]["bytes"] == len(done.stdout)


def test_what_it_used_is_known(notes: Callable[[], list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a child that it waited for."""
    monkeypatch.setenv("USED", "1")
    code = f"""
        import os, subprocess, sys
        if sys.argv[1:]:
            subprocess.run([sys.executable, *sys.argv[1:]], check=True)
        else:
            with open({str(tmp_path / "file")!r}, "wb") as file:
                file.write(bytes(1 << 20))
                file.flush()
                os.fsync(file.fileno())
            while sum(os.times()[:2]) < 0.3:
                pass
    """
    assert run(*python(code), "-c", textwrap.dedent(code)).returncode == 0
    (used,) = [note for note in notes() if note["event"] == "used"]
    assert 0.3 <= used["cpu"] < 10 and used["read"] >= 0
    assert used["written"] >= 1 << 20 or in_memory(tmp_path)


def in_memory(folder: Path) -> bool:
    """Whether what is written there reaches no storage that the kernel counts."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    return kind in ("tmpfs", "ramfs", "overlayfs", "v9fs", "UNKNOWN (0x1021997)")


def test_the_signal_that_ended_it_is_known(notes: Callable[[], list[dict[str, Any]]]) -> None:
    assert run("sh", "-c", "kill -KILL $$").returncode == 128 + 9
    assert (notes()[-1]["exit_code"], notes()[-1]["signal"]) == (None, 9)


@pytest.mark.parametrize(
    ("command", "where", "status", "detail"),
    [
        ("no-such-program-anywhere", None, 127, "no-such-program-anywhere: command not found"),
        ("echo a | wc", None, 127, "echo a | wc: command not found; a line for the shell goes behind sh -c"),
        ("/etc/passwd", None, 126, "/etc/passwd: Permission denied"),
        ("true", "/no/such/folder", 127, "there is no folder /no/such/folder"),
    ],
)
def test_what_cannot_be_started_is_said(
    notes: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    where: str | None,
    status: int,
    detail: str,
) -> None:
    if where is not None:
        monkeypatch.setenv("RUN_IN", where)
    assert run(command).returncode == status
    assert notes() == [{"event": "cannot", "detail": detail, "status": status}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_handed_on(notes: Callable[[], list[dict[str, Any]]], number: signal.Signals) -> None:
    code = f"""
        import signal, sys
        signal.signal({int(number)}, lambda *_: sys.exit(40))
        print("ready", flush=True)
        signal.pause()
    """
    with subprocess.Popen(runner(*python(code)), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as running:
        assert running.stdout is not None and running.stdout.readline() == b"ready\n"
        running.send_signal(number)
        try:
            assert running.wait(30) == 40
        finally:
            running.kill()


def test_what_is_ignored_stays_ignored(notes: Callable[[], list[dict[str, Any]]]) -> None:
    """As under nohup."""
    code = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, flush=True); input()"
    with subprocess.Popen(
        runner(*python(code)),
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        assert running.stdout.readline() == b"True\n"
        running.send_signal(signal.SIGHUP)
        running.stdin.write(b"\n")
        running.stdin.close()
        assert running.wait(30) == 0


def test_whoever_stops_reading_ends_it(notes: Callable[[], list[dict[str, Any]]]) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec 3>&1; { "$@"; echo $? >&3; } | head -n 1', "sh", *runner("yes")],
        capture_output=True,
        timeout=30,
    )
    assert done.stdout.split() == [b"y", str(128 + signal.SIGPIPE).encode()]


def test_a_child_left_behind_does_not_hold_it_up(notes: Callable[[], list[dict[str, Any]]], tmp_path: Path) -> None:
    begun = time.monotonic()
    done = run("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; echo said")
    try:
        assert (done.returncode, done.stdout) == (0, b"said\n")
        assert time.monotonic() - begun < 30
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_child_left_behind_that_goes_on_writing_does_not_hold_it_up(
    notes: Callable[[], list[dict[str, Any]]], tmp_path: Path
) -> None:
    writes = f"echo $$ > {tmp_path}/pid; while :; do echo more; sleep 0.02; done"
    done = run("sh", "-c", f"sh -c '{writes}' & while [ ! -s {tmp_path}/pid ]; do sleep 0.01; done; echo said")
    pid = int((tmp_path / "pid").read_text())
    try:
        assert (done.returncode, notes()[-1]["exit_code"]) == (0, 0)
        assert b"said\n" in done.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):  # nobody reads what it writes any more
            os.kill(pid, signal.SIGKILL)


# Runs its arguments, and finds out about their end while output of both kinds is still in the pipes, with no time to wait for it.
LATE = """
import os, sys
from headway.supervisor import command

class Watcher:
    seen = b""
    def output(self, data):
        if not self.seen:
            open(os.environ["GO_ON"], "w").close()
            while open(f"/proc/{started.pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
                pass
        self.seen += data
    def paused(self): ...
    def resumed(self): ...
    def tick(self): ...

command.TICK, command.DRAIN = 0.0, 0.0
watcher = Watcher()
started = command.Command(sys.argv[1:], quiet=True)
ending = started.wait(watcher)
print(ending.status, sorted(watcher.seen.split()))
"""


def test_what_was_written_before_the_end_is_read_however_late(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    said = 'echo one; while [ ! -e "$GO_ON" ]; do sleep 0.01; done; echo two; echo three >&2; exit 3'
    command = [sys.executable, "-c", LATE, "sh", "-c", said]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, "GO_ON": str(go_on)})
    assert (done.stdout, done.stderr) == ("3 [b'one', b'three', b'two']\n", "")


# ── on a terminal ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_has_a_terminal_of_the_same_size(notes: Callable[[], list[dict[str, Any]]], terminal: Callable[..., Terminal]) -> None:
    code = """
        import os, signal, sys
        def size(*_): print("size", *os.get_terminal_size(1), flush=True)
        print([os.isatty(fd) for fd in (0, 1, 2)], os.ttyname(0) == os.ttyname(1), open("/dev/tty").isatty())
        signal.signal(signal.SIGWINCH, size)
        size()
        word = input("word? ")
        print("got", word)
        sys.exit(3)
    """
    person = terminal(*python(code), rows=33, columns=77)
    person.wait_for("[True, True, True] True True")
    person.wait_for("size 77 33")
    person.wait_for("word? ")
    person.resize(20, 60)
    person.wait_for("size 60 20")
    person.type("hello\r")
    person.wait_for("got hello")
    assert person.wait() == 3
    assert person.shown.count("hello") == 2, "what is typed is shown once"


def test_ctrl_c_reaches_the_command_only(notes: Callable[[], list[dict[str, Any]]], terminal: Callable[..., Terminal]) -> None:
    code = """
        import time
        try:
            print("working", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("tidied up", flush=True)
            raise SystemExit(9)
    """
    person = terminal(*python(code))
    person.wait_for("working")
    person.type("\x03")
    person.wait_for("tidied up")
    assert person.wait() == 9


def test_the_terminal_is_left_as_it_was(notes: Callable[[], list[dict[str, Any]]], tmp_path: Path) -> None:
    inner = " ".join(f"'{word}'" for word in runner("sh", "-c", "stty raw -echo; exit 4")).replace("'" + RUNNER + "'", '"$RUNNER"')
    person = Terminal(
        ["sh", "-c", f"stty -a > {tmp_path}/before; {inner}; echo code $?; stty -a > {tmp_path}/after; echo over"],
        environ={**os.environ, "RUNNER": RUNNER},
    )
    try:
        person.wait_for("over")
        person.wait()
    finally:
        person.close()
    assert "code 4" in person.shown
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


# A shell as far as jobs go: runs its arguments in the foreground, says when they stop, and brings them back on Enter.
JOBS = """
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        os._exit(os.waitstatus_to_exitcode(status))
    os.tcsetpgrp(0, os.getpgrp())
    print("shell: stopped", flush=True)
    input()
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
"""


def test_ctrl_z_stops_the_job_and_fg_brings_it_back(notes: Callable[[], list[dict[str, Any]]]) -> None:
    code = """
        import time
        print("working", flush=True)
        input()
        print("went on", flush=True)
    """
    person = Terminal([sys.executable, "-c", JOBS, *runner(*python(code))])
    try:
        person.wait_for("working")
        person.type("\x1a")
        person.wait_for("shell: stopped")
        wait_until(lambda: {"event": "paused"} in notes(), 30, "the pause is told")
        person.type("\r")
        wait_until(lambda: {"event": "resumed"} in notes(), 30, "going on is told")
        person.type("\r")
        person.wait_for("went on")
        assert person.wait() == 0
    finally:
        person.close()
