"""Whether a service runs already, decided on real OS processes; and whether one answers."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.sampler.base import host_here
from headway.sampler.details import details_here
from headway.services import probe
from headway.services.definition import Health, Service
from headway.services.recognition import Found, Taken, by_pid_file, find_running
from waiting import wait_until

LISTEN = """import socket, sys, time
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('up', flush=True)
time.sleep(1000)
"""
Children = list[subprocess.Popen[Any]]


@pytest.fixture
def children() -> Iterator[Children]:
    found: Children = []
    yield found
    for child in found:
        child.kill()
        child.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def look(service: Service, *not_these: int) -> Found | Taken | None:
    return find_running(service, host_here(), details_here(), {os.getpid(), *not_these})


def listening(children: Children, folder: Path, port: int) -> subprocess.Popen[Any]:
    script = folder / "listen.py"
    script.write_text(LISTEN)
    child = subprocess.Popen([sys.executable, "listen.py", str(port)], cwd=folder, stdout=subprocess.PIPE)
    children.append(child)
    assert child.stdout is not None and child.stdout.readline() == b"up\n"
    return child


def sleeping(children: Children, folder: Path, *words: str) -> subprocess.Popen[Any]:
    child = subprocess.Popen(words, cwd=folder)
    children.append(child)
    wait_until(lambda: (details_here().argv(child.pid) or [""])[-1] == words[-1], 30, "the command to run")
    return child


def test_by_its_command_line_in_its_folder(children: Children, tmp_path: Path) -> None:
    service = Service(name="s", command=("sleep", "4711.25"), cwd=str(tmp_path))
    assert look(service) is None
    child = sleeping(children, tmp_path, "sleep", "4711.25")
    found = look(service)
    assert isinstance(found, Found)
    assert (found.process.pid, found.how, found.command) == (child.pid, "its command line", "sleep 4711.25")
    assert found.process.create_time == pytest.approx(time.time(), abs=20)
    assert look(service, child.pid) is None
    # The same words elsewhere, or one word more, are somebody else.
    (tmp_path / "elsewhere").mkdir()
    assert look(Service(name="s", command=("sleep", "4711.25"), cwd=str(tmp_path / "elsewhere"))) is None
    assert look(Service(name="s", command=("sleep", "1", "4711.25"), cwd=str(tmp_path))) is None


@pytest.mark.parametrize("command", ["sleep 4712.25", "exec sleep '4712.25'"])
def test_a_shell_that_became_its_command(children: Children, tmp_path: Path, command: str) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", command], cwd=tmp_path)
    children.append(child)
    service = Service(name="s", command=command, cwd=str(tmp_path))
    found = wait_until(lambda: look(service), 30, "it to be recognised")
    assert isinstance(found, Found) and found.process.pid == child.pid


def test_a_script_with_its_interpreter_but_not_an_editor_of_it(children: Children, tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(1000)\n")
    script.chmod(0o755)
    service = Service(name="s", command=("./serve",), cwd=str(tmp_path))
    reader = sleeping(children, tmp_path, "tail", "-f", "./serve")
    assert look(service) is None
    child = subprocess.Popen(["./serve"], cwd=tmp_path)
    children.append(child)
    found = wait_until(lambda: look(service), 30, "it to be recognised")
    assert isinstance(found, Found) and found.process.pid == child.pid != reader.pid


def test_by_a_regular_expression(children: Children, tmp_path: Path) -> None:
    child = sleeping(children, tmp_path, "sleep", "4713.25")
    found = look(Service(name="s", command="./start.sh", cwd="/", match=r"sleep 4713\.[0-9]+$"))
    assert isinstance(found, Found) and (found.process.pid, found.how) == (child.pid, "match")


def test_by_its_port(children: Children, tmp_path: Path) -> None:
    port = free_port()
    child = listening(children, tmp_path, port)
    mine = Service(name="s", command=(sys.executable, "listen.py", str(port)), cwd="/elsewhere", port=port)
    found = look(mine)
    assert isinstance(found, Found) and (found.process.pid, found.how) == (child.pid, f"its port {port}")
    other = look(Service(name="s", command=("something", "else"), cwd=str(tmp_path), port=port))
    name = Path(sys.executable).name
    assert other == Taken(f"port {port} is in use by {name} (pid {child.pid}), which is not this service")
    assert look(mine, child.pid) == Taken(f"port {port} is in use by {name} (pid {child.pid}), which is not this service")


def test_of_a_program_and_its_workers_the_first_is_meant(children: Children, tmp_path: Path) -> None:
    script = tmp_path / "forks.py"
    script.write_text("import os, time\nfor _ in range(3):\n    if os.fork() == 0: break\ntime.sleep(1000)\n")
    child = subprocess.Popen([sys.executable, "forks.py"], cwd=tmp_path, start_new_session=True)
    children.append(child)
    service = Service(name="s", command=(sys.executable, "forks.py"), cwd=str(tmp_path))
    wait_until(lambda: sum(1 for row in host_here().rows().values() if row.ppid == child.pid) == 3, 30, "its workers")
    found = look(service)
    assert isinstance(found, Found) and found.process.pid == child.pid
    os.killpg(child.pid, 9)


def test_by_a_pid_file_and_never_by_a_stale_one(children: Children, tmp_path: Path) -> None:
    child = sleeping(children, tmp_path, "sleep", "4714.25")
    pid_file = tmp_path / "s.pid"
    service = Service(name="s", command="./daemonize", cwd="/", pid_file=str(pid_file))
    assert look(service) is None
    pid_file.write_text(f"{child.pid}\n")
    found = look(service)
    assert isinstance(found, Found) and (found.process.pid, found.how) == (child.pid, f"its pid file {pid_file}")
    # Written before that process was born: the pid has come to somebody else.
    os.utime(pid_file, (time.time() - 3600, time.time() - 3600))
    assert look(service) is None
    for text in ("", "nobody", "-1", str(2**22 + 5)):
        pid_file.write_text(text)
        assert by_pid_file(str(pid_file), host_here().rows()) is None
    # With a regular expression both must agree.
    pid_file.write_text(str(child.pid))
    assert look(Service(name="s", command="x", cwd="/", pid_file=str(pid_file), match="something else")) is None


# ── answering ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port
        running.shutdown()


def test_a_port_that_listens(server: int) -> None:
    assert probe.port_open(server) is True
    assert probe.port_open(free_port()) is False


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (302, True), (404, False), (503, False)])
def test_http(server: int, status: int, good: bool) -> None:
    url = f"http://127.0.0.1:{server}/{status}"
    assert probe.check(Health(http=url)) == (None if good else f"{url} answers {status}")


def test_nobody_there(server: int) -> None:
    port = free_port()
    assert probe.check(Health(tcp=f"127.0.0.1:{port}")) == f"127.0.0.1:{port} does not accept: Connection refused"
    assert probe.check(Health(tcp=f"127.0.0.1:{server}")) is None
    assert probe.check(Health(http=f"http://127.0.0.1:{port}/")) == f"http://127.0.0.1:{port}/ does not answer: Connection refused"


def test_one_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert probe.check(Health(http=url, timeout=0.2)) == f"{url}: no answer within 0.2 s"


def test_a_command(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert probe.check(Health(command=("test", "-e", "there")), str(tmp_path)) is None
    assert probe.check(Health(command=("test", "-e", "missing")), str(tmp_path)) == "its check test -e missing ended with 1"
    words = ("/bin/sh", "-c", 'echo "not yet, $NAME" >&2; exit 3')
    said = 'its check echo "not yet, $NAME" >&2; exit 3 ended with 3: not yet, ann'
    assert probe.check(Health(command=words), None, {**os.environ, "NAME": "ann"}) == said
    assert probe.check(Health(command=("sleep", "100"), timeout=0.2)) == "its check sleep 100 did not end within 0.2 s"
    assert probe.check(Health(command=("./nothing-here",))) == "its check ./nothing-here cannot be run: No such file or directory"
