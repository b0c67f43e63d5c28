"""How scripts end: what is said for a reporter that was not told, what waits and what goes to the spool."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.reporter import spool
from osprocesses import wait_resting
from recording_server import RecordingServer, recording_server
from reporting import run_script, script_environment
from waiting import wait_until

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as started:
        yield started


def spooled(spool: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(spool.glob("*.ready")) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("ending", "status", "error", "exit_code"),
    [
        ("pass", "done", None, None),
        ("sys.exit()", "done", None, None),
        ("sys.exit(0)", "done", None, None),
        ("sys.exit(3)", "failed", "ended with exit code 3", 3),
        ("sys.exit('bad input')", "failed", "bad input", 1),
        ("exit(4)", "failed", "ended with exit code 4", 4),
        ("quit(5)", "failed", "ended with exit code 5", 5),
        ("raise ValueError('broken')", "failed", "ValueError: broken", None),
        ("raise KeyboardInterrupt", "cancelled", "KeyboardInterrupt", None),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", "cancelled", "KeyboardInterrupt", None),
        ("r.fail('told')\nsys.exit(0)", "failed", "told", None),
        ("r.done()\nsys.exit(9)", "done", None, None),
    ],
)
def test_a_script_that_did_not_say_how_it_ended(
    server: RecordingServer, tmp_path: Path, ending: str, status: str, error: str | None, exit_code: int | None
) -> None:
    code = f"import os, signal, sys, time\nfrom headway import Reporter\nr = Reporter('x', id='x', total=5)\nr.update(3)\n{ending}"
    run_script(code, server, tmp_path)
    (final,) = [item for item in server.of("x") if "status" in item]
    assert (final["status"], final.get("error"), final.get("exit_code")) == (status, error, exit_code)
    assert server.state("x")["progress"]["current"] == 3


def test_what_was_caught_is_no_ending(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import sys
        from headway import Reporter
        Reporter("before", id="before")
        try:
            sys.exit(3)
        except SystemExit:
            pass
        try:
            raise ValueError
        except ValueError:
            pass
        Reporter("after", id="after")
    """
    run_script(code, server, tmp_path)
    assert server.final("before")["status"] == server.final("after")["status"] == "done"


@pytest.mark.parametrize("call", ["sys.exit(3)", "exit(3)", "argparse.ArgumentParser().parse_args(['--wrong'])"])
def test_a_sys_exit_that_was_caught_is_no_ending(server: RecordingServer, tmp_path: Path, call: str) -> None:
    code = f"""
        import argparse, sys
        from headway import Reporter
        x = Reporter("x", id="x")
        try:
            {call}
        except SystemExit:
            pass
        x.update(1)
    """
    assert run_script(code, server, tmp_path).returncode == 0
    assert server.final("x")["status"] == "done"


@pytest.mark.parametrize(
    "leaving",
    [
        "sys.exit(3)",
        "caught = None\ntry: sys.exit(9)\nexcept SystemExit: pass\nsys.exit(3)",
        "def leave():\n    try: sys.exit(3)\n    except SystemExit as error:\n        kept = error\n        raise\nleave()",
        "import gc\ntry: sys.exit(3)\nfinally: [gc.collect() for _ in range(3)]",
        "import contextlib\nwith contextlib.ExitStack() as stack:\n    stack.callback(print, 'x')\n    sys.exit(3)",
        "import asyncio\nasync def main(): sys.exit(3)\nasyncio.run(main())",
        "import atexit, gc\natexit.register(gc.collect)\ndef leave():\n    try: sys.exit(3)\n    except SystemExit as e:\n"
        "        kept = e\n        raise\nleave()",
    ],
    ids=["plain", "the second", "in a cycle", "collected on the way", "callbacks", "asyncio", "collected at the end"],
)
def test_a_sys_exit_that_ends_the_script_is_its_end(server: RecordingServer, tmp_path: Path, leaving: str) -> None:
    run = run_script(f"import sys\nfrom headway import Reporter\nx = Reporter('x', id='x')\n{leaving}", server, tmp_path)
    assert run.returncode == 3
    assert (server.final("x")["status"], server.final("x")["exit_code"]) == ("failed", 3)


def test_a_system_exit_can_be_sent_to_who_has_no_headway(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import pickle, sys
        from headway import Reporter
        x = Reporter("x", id="x")
        try:
            sys.exit(3)
        except SystemExit as error:
            sent = pickle.dumps(error)
            print(repr(pickle.loads(sent)), b"headway.reporter" in sent)
    """
    assert run_script(code, server, tmp_path).stdout == "SystemExit(3) False\n"
    assert server.final("x")["status"] == "done"


def test_sys_exit_of_a_thread_is_no_ending(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import sys, threading
        from headway import Reporter
        Reporter("x", id="x")
        thread = threading.Thread(target=sys.exit, args=(3,))
        thread.start()
        thread.join()
    """
    run_script(code, server, tmp_path)
    assert server.final("x")["status"] == "done"


def test_exit_code_and_output_of_the_script_are_its_own(server: RecordingServer, tmp_path: Path) -> None:
    code = "import sys\nfrom headway import Reporter\nwith Reporter('x'):\n    print('out')\n    sys.exit(7)"
    for url in (server.url, NOWHERE):
        done = run_script(code, url, tmp_path)
        assert done.returncode == 7
        assert done.stdout == "out\n"


@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_a_short_script_waits_for_its_last_word(server: RecordingServer, tmp_path: Path, delay: float) -> None:
    server.delay = delay
    run_script("from headway import Reporter\nwith Reporter('x', id='x') as r: r.log('line')", server, tmp_path)
    assert server.of("x")[-1]["status"] == "done"
    assert not spooled(tmp_path)


def test_a_slow_exporter_holds_a_script_back_for_two_seconds_at_most(server: RecordingServer, tmp_path: Path) -> None:
    server.delay = 60.0
    started = time.monotonic()
    code = """
        import os
        from headway import Reporter
        del os.environ["HEADWAY_EXIT_WAIT"]
        with Reporter("x", id="x") as r:
            r.log("line")
    """
    done = run_script(code, server, tmp_path)
    assert 2.0 < time.monotonic() - started < 30.0
    assert "kept in" in done.stderr
    items = spooled(tmp_path)
    assert items[0]["create"]["name"] == "x"  # type: ignore[index]
    assert items[-1]["status"] == "done"
    assert {item["url"] for item in items} == {server.url}


def test_how_long_is_a_setting(server: RecordingServer, tmp_path: Path) -> None:
    server.delay = 60.0
    started = time.monotonic()
    run_script("from headway import Reporter\nwith Reporter('x'): pass", server, tmp_path, HEADWAY_EXIT_WAIT="0.1")
    assert time.monotonic() - started < 30.0
    assert spooled(tmp_path)


def test_an_exporter_that_is_down_holds_nobody_back(tmp_path: Path) -> None:
    started = time.monotonic()
    run_script("from headway import Reporter\nwith Reporter('x'): pass", NOWHERE, tmp_path, HEADWAY_EXIT_WAIT="50")
    assert time.monotonic() - started < 30.0  # of the 50 that it may wait
    assert [item["status"] for item in spooled(tmp_path)][-1] == "done"


def test_the_next_script_delivers_the_spool(server: RecordingServer, tmp_path: Path) -> None:
    server.stop()
    first = "from headway import Reporter\nr = Reporter('first', id='first', total=9)\nr.update(9, 'line')\nr.done('all nine')"
    began = time.time()
    assert "cannot be reached" in run_script(first, server, tmp_path).stderr
    ended = time.time()
    (path,) = tmp_path.glob("*.ready")
    assert path.stat().st_mode & 0o777 == 0o600
    server.start()
    second = "from headway import Reporter\nwith Reporter('second', id='second'): pass"
    assert run_script(second, server, tmp_path).stderr == ""
    final = server.final("first")
    state = server.state("first")
    assert state["progress"] == {"current": 9, "total": 9}
    assert state["log"] == ["line"]
    assert state["summary"] == "all nine"
    assert server.creation("first")["started_age"] >= final["age"]
    assert server.requests[0]["at"] - ended - 0.1 <= final["age"] <= time.time() - began
    assert not list(tmp_path.iterdir())


def test_no_spool_and_no_exporter_is_one_more_line_and_no_more(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = run_script("from headway import Reporter\nwith Reporter('x'): pass\nprint('ok')", NOWHERE, blocked)
    assert done.returncode == 0
    assert done.stdout == "ok\n"
    assert "could neither be sent nor written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_script_says_nothing(server: RecordingServer, tmp_path: Path) -> None:
    code = "import time\nfrom headway import Reporter\nr = Reporter('x', id='x')\nprint('up', flush=True)\ntime.sleep(60)"
    environ = script_environment(server.url, tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True) as script:
        server.creation("x")
        script.send_signal(signal.SIGKILL)
    assert script.returncode == -signal.SIGKILL
    assert not [item for item in server.of("x") if "status" in item]
    assert not spooled(tmp_path)


def test_ctrl_c_while_the_end_waits_still_spools(server: RecordingServer, tmp_path: Path) -> None:
    server.delay = 60.0
    code = "from headway import Reporter\nwith Reporter('x', id='x'): pass"
    environ = script_environment(server.url, tmp_path, HEADWAY_EXIT_WAIT="50")
    with subprocess.Popen([sys.executable, "-c", code], env=environ, stderr=subprocess.DEVNULL) as script:
        wait_until(lambda: server.requests, what="the request that hangs")
        wait_resting(script.pid)
        script.send_signal(signal.SIGINT)
        script.wait(30)
    assert [item["status"] for item in spooled(tmp_path)][-1] == "done"


def test_reports_of_exit_handlers(server: RecordingServer, tmp_path: Path) -> None:
    """Handlers registered before the first reporter run after the last request: what they say is spooled."""
    code = """
        import atexit
        def late():
            with Reporter("late", id="late"):
                pass
        atexit.register(late)
        from headway import Reporter
        r = Reporter("early", id="early")
        atexit.register(lambda: r.done("in an exit handler"))
    """
    run_script(code, server, tmp_path)
    assert server.final("early")["summary"] == "in an exit handler"
    assert [item["id"] for item in spooled(tmp_path)] == ["late"]


def test_a_reporter_that_threads_use_until_the_end(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import threading
        from headway import Reporter
        r = Reporter("x", id="x")
        def work():
            threading.main_thread().join()
            r.update(1, "after the main thread")
            r.done("by a thread")
        threading.Thread(target=work).start()
    """
    run_script(code, server, tmp_path)
    assert server.final("x")["summary"] == "by a thread"


def test_the_last_words_are_kept_however_late_the_thread_lets_go(tmp_path: Path) -> None:
    """As on a machine that has no time for it: the thread has begun to put them into words."""
    code = """
        import threading, time
        from headway import Reporter
        from headway.reporter.hub import hub
        r = Reporter('late', id='late')
        while hub().sender is None:
            time.sleep(0.01)
        held = threading.Event()
        def hold():
            with hub().sender.lock:
                held.set()
                time.sleep(1.5)
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        r.log('the last line')
    """
    assert run_script(code, NOWHERE, tmp_path, HEADWAY_EXIT_WAIT="0").returncode == 0
    (final,) = [item for item in spooled(tmp_path) if "status" in item]
    assert (final["status"], final["log"]) == ("done", ["the last line"])


def test_without_a_home_the_spool_is_in_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers that run under a user whom no file knows."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid or 4242)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what Python answers where there is no home
    if os.geteuid() == 4242:
        os.chown(tmp_path, 4242, -1)
        (tmp_path / "headway-4242").mkdir(mode=0o700)
        os.chown(tmp_path / "headway-4242", 4242, -1)
    folder = spool.directory({})
    assert folder.parent.parent == tmp_path
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    folder.parent.rmdir()
    folder.parent.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="HEADWAY_SPOOL"):
        spool.directory({})


def test_the_ends_of_many_processes_survive_the_end_of_the_script(tmp_path: Path) -> None:
    """However many there are: putting them into words must not keep the spool from being written."""
    code = """
        from headway import Reporter
        for number in range(8000):
            with Reporter("many", total=1) as reporter:
                reporter.update(1, "the only line")
    """
    run_script(code, NOWHERE, tmp_path, HEADWAY_EXIT_WAIT="0.1")
    items = spooled(tmp_path)
    assert len({item["id"] for item in items if item.get("status") == "done"}) == 8000
    assert all(item["create"]["pid"] for item in items if "create" in item)  # type: ignore[index]
