"""Services that run already: taken over from others, and adopted again by an exporter that was away."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from osprocesses import wait_gone
from running import RunningExporter
from serving import Serve, Serving, free_port, listens, server, started_in
from waiting import wait_until


def test_one_that_runs_already_is_taken_over(serve: Serve, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "server.py").exists()
    child = subprocess.Popen([sys.executable, "-u", "server.py", str(port)], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), 30, "the service")
        serving = serve({"web": server(port)})
        found = serving.until("web", "running")
        assert found["pid"] == child.pid
        record = serving.process(found["process_id"])
        assert record["metadata"] == {"service": "web", "taken_over": f"its port {port}"}
        serving.exporter.restart()
        assert serving.until("web", "running")["process_id"] == found["process_id"]
        assert serving.call("POST", "/stop", {"name": "web"})["status"] == "stopped"
        assert child.wait(30) == 0
        assert serving.call("POST", "/start", {"name": "web"})["pid"] != child.pid
    finally:
        child.kill()
        child.wait()


def test_a_program_that_goes_into_the_background(serve: Serve, tmp_path: Path) -> None:
    port = free_port()
    command = f"setsid {sys.executable} -u server.py {port} </dev/null >/dev/null 2>&1 & echo $! > s.pid"
    serving = serve({"d": {"command": command, "port": port, "pid_file": "s.pid"}})
    found = serving.until("d", "running")
    assert found["pid"] == int((tmp_path / "s.pid").read_text())
    assert serving.call("POST", "/stop", {"name": "d"})["status"] == "stopped"
    wait_gone(found["pid"])


def test_two_with_the_same_words_are_two(serve: Serve) -> None:
    serving = serve({f"worker-{n}": {"command": ["sleep", "1234.5"], "env": {"N": str(n)}} for n in range(4)})
    pids = {serving.until(f"worker-{n}", "running")["pid"] for n in range(4)}
    assert len(pids) == 4
    before = serving.status("worker-2")
    os.kill(before["pid"], signal.SIGKILL)
    again = serving.until("worker-2", "running", restarts=1)
    assert again["pid"] not in pids
    # Nor is what a person runs in the same folder through Headway.
    tracked = serving.call("POST", "/track", {"command": ["sleep", "4321.5"], "cwd": str(serving.folder)}, 201)
    serving.exporter.stop()
    serving.configure({"mine": {"command": ["sleep", "4321.5"]}})
    serving.exporter.start()
    assert serving.until("mine", "running")["pid"] != tracked["pid"]


def test_what_runs_already_is_not_ended_for_its_silence(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "well").touch()
    health = {"command": ["test", "-e", "well"], "interval": "0.5s"}
    serving = serve({"s": {"command": "sleep 1000", "health": health, "start_timeout": "1s"}})
    before = serving.until("s", "running")
    serving.exporter.stop()
    (tmp_path / "well").unlink()
    serving.exporter.start()
    found = serving.until("s", "error")
    assert (found["reason"], found["pid"]) == ("it runs, but does not answer: its check test -e well ended with 1", before["pid"])
    (tmp_path / "well").touch()
    assert serving.until("s", "running")["pid"] == before["pid"]


@pytest.mark.parametrize("pause", ["0", "0.5", "2"])
@pytest.mark.parametrize("sign", ["pid_file", "port"])
def test_a_daemon_whose_starter_takes_its_time(serve: Serve, tmp_path: Path, pause: str, sign: str) -> None:
    port = free_port()
    command = f"setsid {sys.executable} -u server.py {port} </dev/null >/dev/null 2>&1 & echo $! > s.pid; sleep {pause}"
    known = {"pid_file": "s.pid"} if sign == "pid_file" else {"port": port}
    serving = serve({"d": {"command": command, **known}})
    serving.until("d", "running", 30)
    pid = int((tmp_path / "s.pid").read_text())
    found = serving.until("d", "running", 30, pid=pid)
    assert found["restarts"] == 0
    assert serving.call("POST", "/stop", {"name": "d"})["status"] == "stopped"
    wait_gone(pid)


def test_one_that_was_taken_over_and_is_a_zombie_has_ended(serve: Serve, tmp_path: Path) -> None:
    port = free_port()
    child = subprocess.Popen([sys.executable, "-u", "server.py", str(port)], cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_until(lambda: listens(port), 30, "the service")
    serving = serve({"web": server(port, restart={"backoff": "0.1s"})})
    assert serving.until("web", "running")["pid"] == child.pid
    child.kill()  # and nobody waits for it
    try:
        assert serving.until("web", "running", 30, restarts=1)["pid"] != child.pid
    finally:
        child.wait()


def test_a_relative_data_directory(tmp_path: Path) -> None:
    """The folder that services run in is another than the exporter's."""
    (tmp_path / "site").mkdir()
    config = tmp_path / "headway.yaml"
    config.write_text('{"services": {"s": {"command": "pwd; sleep 1000", "cwd": "site"}}}')
    serving = Serving(tmp_path)
    serving.exporter = RunningExporter(Path(os.path.relpath(tmp_path / "data")), ("--config", str(config)))
    try:
        serving.exporter.start()
        serving.until("s", "running")
        wait_until(lambda: serving.call("GET", "/s/logs") == [str(tmp_path / "site")], 30, "its log")
    finally:
        serving.end()


def test_a_changed_configuration_is_said(serve: Serve) -> None:
    port = free_port()
    serving = serve({"web": server(port)})
    before = serving.until("web", "running")
    serving.configure({"web": server(port, env={"NEW": "1"})})
    serving.exporter.restart()
    found = serving.until("web", "running")
    assert (found["outdated"], found["process_id"]) == (True, before["process_id"])
    assert serving.call("POST", "/restart", {"name": "web"})["outdated"] is False


def test_one_that_is_no_longer_configured_is_said_and_left_alone(serve: Serve) -> None:
    serving = serve({"web": server(free_port()), "other": {"command": "sleep 1000"}})
    found = serving.until("web", "running")
    serving.configure({"other": {"command": "sleep 1000"}})
    serving.exporter.restart()
    said = f"service web is no longer configured, and its process runs on: headway kill {found['process_id']} ends it"
    wait_until(lambda: any(said in line for line in serving.exporter.output), 30, "the warning")
    assert serving.process(found["process_id"])["status"] == "running"


def test_services_that_died_while_no_exporter_ran(serve: Serve) -> None:
    serving = serve({"web": server(free_port(), restart={"backoff": "0.1s"}), "off": {"command": "sleep 1000", "restart": "never"}})
    web, off = serving.until("web", "running"), serving.until("off", "running")
    serving.exporter.kill()
    for one in (web, off):
        os.kill(one["pid"], signal.SIGKILL)
        wait_gone(one["pid"])
    serving.exporter.start()
    again = serving.until("web", "running", 30)
    assert again["process_id"] != web["process_id"] and again["restarts"] == 1
    assert serving.until("off", "error", 30)["reason"].startswith("ended by signal SIGKILL")


@pytest.mark.parametrize(
    ("call", "body"), [("/restart", {"name": "d"}), ("/stop-all", {"for_now": True})], ids=["restart", "stop for now"]
)
def test_what_begins_again_does_so_when_the_exporter_is_killed_in_the_middle_of_it(
    serve: Serve, call: str, body: dict[str, Any]
) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
    serving = serve({"d": {"command": [sys.executable, "-c", deaf], "stop_grace": "4s"}})
    before = serving.until("d", "running")
    wait_until(lambda: serving.call("GET", "/d/logs") == ["deaf"], 30, "it to be deaf")
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(serving.call, "POST", call, body)
        ended = before["process_id"]
        wait_until(lambda: serving.process(ended)["transitions"][-1]["to"] == "stopping", 30, "the end, on the disk")
        serving.exporter.kill()
        assert asked.exception(60) is not None
    serving.exporter.start()
    wait_until(lambda: serving.process(ended)["status"] == "killed", 30, "its end")
    wait_until(lambda: serving.status("d")["process_id"] not in (None, ended), 30, "a new one")
    found = serving.until("d", "running")
    assert found["pid"] != before["pid"] and (found["restarts"], found["wanted"]) == (0, True)
    wait_gone(before["pid"])


def test_what_could_not_be_reported_at_once_was_started_all_the_same(serve: Serve, tmp_path: Path) -> None:
    """The exporter stands still while a short command is run: how it ended waits in the spool."""
    daemon = f"setsid {sys.executable} -u server.py {free_port()} </dev/null >/dev/null 2>&1 & echo $! > s.pid"
    serving = serve({"d": {"command": daemon, "pid_file": "s.pid", "autostart": False}})
    exporter, spool = serving.exporter.process, tmp_path / "data" / "spool"
    assert exporter is not None
    with ThreadPoolExecutor(2) as threads:
        tracked = threads.submit(serving.call, "POST", "/track", {"command": ["true"], "cwd": str(tmp_path)}, 201)
        started = threads.submit(serving.call, "POST", "/start", {"name": "d"})
        wait_until(lambda: len(runners(tmp_path)) == 2 or (tracked.done() and started.done()), 30, "both to be run", 0.001)
        exporter.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: len(list(spool.glob("*.ready"))) == 2 or not runners(tmp_path), 60, "both to be over")
        finally:
            exporter.send_signal(signal.SIGCONT)
        assert serving.process(tracked.result(60)["id"])["status"] == "done"
        started.result(60)
    pid = int((tmp_path / "s.pid").read_text())
    assert serving.until("d", "running", 60, pid=pid)["restarts"] == 0


def runners(folder: Path) -> list[int]:
    """Those that run a command for the exporter of this folder."""
    found = []
    for pid in started_in(folder):
        with contextlib.suppress(OSError):
            if b"headway\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found
