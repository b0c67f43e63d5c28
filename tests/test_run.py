"""`headway run`: a command is tracked, and neither it nor who runs it notices."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from cli import HEADWAY, headway, surroundings
from headway import Client
from osprocesses import wait_gone
from running import RunningExporter
from terminals import Terminal
from waiting import wait_until

NOBODY = "http://127.0.0.1:9"


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", textwrap.dedent(code)


@pytest.fixture
def environ(shared_exporter: RunningExporter, tmp_path: Path) -> dict[str, str]:
    """Finds the exporter; log files and spool are the test's own."""
    return shared_exporter.environ_of_runs(tmp_path)


@pytest.fixture
def record(shared_exporter: RunningExporter) -> Callable[[str], dict[str, Any]]:
    """The process of this id as the API shows it; waits until there is one."""

    def ask(process_id: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {shared_exporter.key}"}

        def known() -> dict[str, Any]:
            answer = requests.get(f"{shared_exporter.url}/api/processes/{process_id}", headers=headers, timeout=30)
            return dict(answer.json()["data"]) if answer.ok else {}

        return wait_until(known, 30, f"the process {process_id}")

    return ask


Record = Callable[[str], dict[str, Any]]


def test_a_command_is_tracked_from_its_start_to_its_end(environ: dict[str, str], record: Record, tmp_path: Path) -> None:
    code = """
        import os, sys
        for n in range(1, 6):
            print(f"[{n}/5] building part {n}", flush=True)
        print("all built", file=sys.stderr)
    """
    done = headway("run", "--id", "run-whole", "--project", "p", "--metadata", "ticket=7", "--", *python(code), environ=environ)
    assert (done.returncode, done.stderr) == (0, "all built\n")
    assert done.stdout.splitlines() == [f"[{n}/5] building part {n}" for n in range(1, 6)]
    found = record("run-whole")
    assert (found["status"], found["name"], found["type"], found["project"]) == ("done", Path(sys.executable).name, "task", "p")
    assert (found["progress"]["current"], found["progress"]["total"], found["progress"]["ratio"]) == (5, 5, 1)
    assert found["metadata"]["ticket"] == 7
    assert "all built" in found["log_tail"] and "[3/5] building part 3" in found["log_tail"]
    assert found["command"].startswith(sys.executable)
    log = Path(found["metadata"]["log_file"])
    assert log == tmp_path / "logs" / "run-whole.log"
    assert "[5/5] building part 5\n" in log.read_text() and "all built\n" in log.read_text()


def test_the_command_itself_is_watched_not_we(environ: dict[str, str], record: Record) -> None:
    code = "import os, sys; print(os.getpid(), os.environ['HEADWAY_PARENT_ID'], flush=True); sys.stdin.read()"
    words = [HEADWAY, "run", "--id", "run-watched", "--", *python(code)]
    env = {**surroundings(), **environ}
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdin is not None
        pid, parent = running.stdout.readline().split()
        assert parent == "run-watched"
        found = record("run-watched")
        assert (found["status"], found["pid"]) == ("running", int(pid))
        wait_until(lambda: record("run-watched")["memory_bytes"], 30, "its memory")
        running.stdin.close()
        assert running.wait(30) == 0
    assert record("run-watched")["status"] == "done"


def test_what_the_command_reports_itself_is_part_of_it(environ: dict[str, str], record: Record) -> None:
    code = f"""
        import subprocess
        from headway import Reporter
        with Reporter("step one", id="run-step-1") as step:
            step.update(1)
        subprocess.run([{HEADWAY!r}, "report", "create", "--name", "step two", "--id", "run-step-2"], check=True)
    """
    assert headway("run", "--id", "run-parent", "--", *python(code), environ=environ).returncode == 0
    assert record("run-step-1")["parent_id"] == record("run-step-2")["parent_id"] == "run-parent"
    assert [child["id"] for child in record("run-parent")["children"]] == ["run-step-1", "run-step-2"]


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "number", "error"),
    [
        ("import sys; print('Error: no such column'); print('bye'); sys.exit(3)", "failed", 3, None, "Error: no such column"),
        ("raise ValueError('row 131')", "failed", 1, None, "ValueError: row 131"),
        ("import os; os.kill(os.getpid(), 9)", "killed", None, 9, "ended by signal SIGKILL"),
        ("import os; os._exit(5)", "failed", 5, None, "ended with exit code 5"),
    ],
)
def test_how_it_ended(
    environ: dict[str, str],
    record: Record,
    code: str,
    status: str,
    exit_code: int | None,
    number: int | None,
    error: str,
    request: pytest.FixtureRequest,
) -> None:
    name = f"run-end-{status}-{exit_code}-{len(code)}"
    done = headway("run", "--id", name, "--", *python(code), environ=environ)
    assert done.returncode == (exit_code if exit_code is not None else 128 + (number or 0))
    found = record(name)
    assert (found["status"], found["exit_code"], found["signal"], found["error"]) == (status, exit_code, number, error)


def test_a_command_that_cannot_be_started_has_failed(environ: dict[str, str], record: Record) -> None:
    done = headway("run", "--id", "run-missing", "--retry", "3", "--", "no-such-program", environ=environ)
    assert (done.returncode, done.stderr) == (127, "headway: no-such-program: command not found\n")
    found = record("run-missing")
    assert (found["status"], found["error"], found["exit_code"]) == ("failed", "no-such-program: command not found", 127)


def test_without_an_exporter_it_runs_all_the_same(tmp_path: Path) -> None:
    environ = {
        "HEADWAY_URL": NOBODY,
        "HEADWAY_SPOOL": str(tmp_path / "spool"),
        "HEADWAY_LOG_DIR": str(tmp_path / "logs"),
        "HEADWAY_KEY_FILE": str(tmp_path / "no-such-key"),
    }
    done = headway("run", "--", *python("import sys; print('out'); sys.exit(6)"), environ=environ)
    assert (done.returncode, done.stdout) == (6, "out\n")
    assert len(done.stderr.splitlines()) <= 3 and "no-such-key" in done.stderr
    (kept,) = [json.loads(path.read_text().splitlines()[0]) for path in (tmp_path / "spool").glob("*.ready")]
    assert (kept["status"], kept["exit_code"], kept["create"]["name"]) == ("failed", 6, Path(sys.executable).name)


def test_a_timeout_ends_the_whole_tree(environ: dict[str, str], record: Record, tmp_path: Path) -> None:
    code = f"""
        import signal, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"])
        open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
        print("working", flush=True)
        time.sleep(300)
    """
    flags = ["--id", "run-late", "--timeout", "1s", "--kill-on-timeout", "--grace", "0.5s"]
    done = headway("run", *flags, "--", *python(code), environ=environ)
    assert (done.returncode, done.stdout) == (124, "working\n")
    found = record("run-late")
    assert (found["status"], found["error"], found["timeout"]) == ("timed_out", "ended after its timeout of 1s", 1)
    assert "headway: ended with all its children after its timeout of 1s\n" in done.stderr, done.stderr
    wait_gone(int((tmp_path / "pid").read_text()))  # the child that ignores SIGTERM


def test_a_timeout_ends_who_has_left_the_tree_too(environ: dict[str, str], record: Record, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"""
        import os, sys, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open({str(note)!r}, "w").write(str(os.getpid()))
                time.sleep(300)
            os._exit(0)
        os.wait()
        time.sleep(300)
    """
    flags = ["--id", "run-daemon", "--timeout", "2s", "--kill-on-timeout"]
    done = headway("run", *flags, "--", *python(code), environ=environ)
    assert done.returncode == 124 and record("run-daemon")["status"] == "timed_out"
    wait_gone(int(note.read_text()))


def test_whoever_asks_to_cancel_it_ends_it(environ: dict[str, str], record: Record) -> None:
    code = "import time; print('working', flush=True); time.sleep(300)"
    words = [HEADWAY, "run", "--id", "run-cancel", "--", *python(code)]
    with subprocess.Popen(words, env={**surroundings(), **environ}, stdout=subprocess.PIPE) as running:
        record("run-cancel")
        assert headway("cancel", "run-cancel", environ=environ).returncode == 0
        assert running.wait(30) == 128 + signal.SIGTERM
    assert record("run-cancel")["status"] == "cancelled"


def test_what_ran_within_one_that_is_cancelled_needs_nobody(
    environ: dict[str, str], shared_exporter: RunningExporter, tmp_path: Path
) -> None:
    """It ends with it, maybe without a word, and that is what somebody wanted."""
    script = f"""
        import subprocess, time
        from headway import Reporter
        subprocess.Popen([{HEADWAY!r}, "run", "--id", "within-run", "--", "sleep", "600"])
        with Reporter("within", id="within-sdk") as run:
            while True:
                run.advance()
                time.sleep(0.1)
    """
    client = Client(shared_exporter.url, shared_exporter.key)
    words = [HEADWAY, "run", "--quiet", "--id", "within-outer", "--", *python(script)]
    with subprocess.Popen(words, env={**surroundings(), **environ}, stdin=subprocess.DEVNULL) as running:
        within = {"within-run", "within-sdk"}
        wait_until(lambda: within <= {one["id"] for one in client.list(parent="within-outer")}, 30, "both to run")
        client.cancel("within-outer")
        assert running.wait(30) == 128 + signal.SIGTERM
    ended = wait_until(lambda: [one for one in map(client.get, within) if one["finished_at"]][1:], 30, "the ends of both")
    assert client.get("within-outer")["status"] == "cancelled" and ended
    assert not within & {one["id"] for one in client.list(state="undismissed", limit=100)}


def test_a_failed_one_is_run_again(environ: dict[str, str], shared_exporter: RunningExporter, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import os, sys; open({str(mark)!r}, 'a').write('x'); sys.exit(0 if os.path.getsize({str(mark)!r}) == 2 else 4)"
    done = headway("run", "--retry", "3", "--name", "flaky", "--", *python(code), environ=environ)
    assert done.returncode == 0
    assert "ended with 4; again in 1 s (3 left)" in done.stderr
    headers = {"Authorization": f"Bearer {shared_exporter.key}"}

    def both() -> list[dict[str, Any]]:
        answer = requests.get(
            f"{shared_exporter.url}/api/processes", params={"name": "flaky", "state": "all"}, headers=headers, timeout=10
        )
        found: list[dict[str, Any]] = answer.json()["data"]
        return found if [one["status"] for one in found] == ["done", "failed"] else []

    again, first = wait_until(both, 30, "two processes of that name")
    assert (again["metadata"]["retry"], first["metadata"].get("retry")) == (1, None)
    assert (first["metadata"]["retry_in"], again["metadata"].get("retry_in")) == (1.0, None), "nobody is told of the first"
    assert first["dismissed_at"] is not None, "nobody needs to look at a failure that was mended"


def test_on_a_terminal_a_bar_is_progress_and_ctrl_c_a_cancellation(environ: dict[str, str], record: Record) -> None:
    code = """
        import sys, time
        for n in range(1, 31):
            sys.stdout.write(f"\\r{n}/40 files")
            sys.stdout.flush()
            time.sleep(0.02)
        print("\\nwaiting", sys.stdout.isatty(), flush=True)
        time.sleep(300)
    """
    person = Terminal([HEADWAY, "run", "--id", "run-bar", "--", *python(code)], environ={**surroundings(), **environ})
    try:
        person.wait_for("waiting True")
        wait_until(lambda: record("run-bar")["progress"]["current"] == 30, 30, "30 of 40")
        assert record("run-bar")["progress"] == {"current": 30, "total": 40, "unit": "files", "initial": None, "ratio": 0.75}
        person.type("\x03")
        assert person.wait() == 128 + signal.SIGINT
    finally:
        person.close()
    assert record("run-bar")["status"] == "cancelled"


@pytest.mark.parametrize("ignores", [False, True], ids=["it ends with it", "it goes on"])
def test_the_terminal_is_closed_under_it(environ: dict[str, str], record: Record, tmp_path: Path, ignores: bool) -> None:
    """A window that is closed, a connection that breaks: how the command ended is what is told, not that we lost our terminal."""
    code = f"""
        import pathlib, signal, time
        if {ignores}:
            signal.signal(signal.SIGHUP, lambda *_: pathlib.Path({str(tmp_path / "closed")!r}).touch())
        print("ready", flush=True)
        while not pathlib.Path({str(tmp_path / "closed")!r}).exists():
            time.sleep(0.02)
        raise SystemExit(7)
    """
    given_id = f"run-closed-{ignores}"
    person = Terminal([HEADWAY, "run", "--id", given_id, "--", *python(code)], environ={**surroundings(), **environ})
    try:
        person.wait_for("ready")
        status = person.hang_up()
    finally:
        person.close()
    wait_until(lambda: record(given_id)["finished_at"], 30, "its end")
    found = record(given_id)
    told = (status, found["status"], found["exit_code"], found["signal"], found["error"])
    if ignores:
        assert told == (7, "failed", 7, None, "exit code 7: ready")
    else:
        assert told == (128 + signal.SIGHUP, "killed", None, signal.SIGHUP, "ended by signal SIGHUP")
    assert "Traceback" not in "\n".join(found["log_tail"])


def test_an_expression_of_ones_own(environ: dict[str, str], record: Record) -> None:
    expression = r"page (?P<current>\d+) out of (?P<total>\d+)"
    code = "print('page 3 out of 9'); print('5/6')"
    assert headway("run", "--id", "run-own", "--progress", expression, "--", *python(code), environ=environ).returncode == 0
    assert record("run-own")["progress"]["ratio"] == pytest.approx(1 / 3)


def test_no_progress_is_looked_for_where_none_is_wanted(environ: dict[str, str], record: Record) -> None:
    code = "print('[3/9] step', flush=True)"
    assert (
        headway("run", "--id", "run-none", "--no-progress", "--no-log-file", "--", *python(code), environ=environ).returncode == 0
    )
    found = record("run-none")
    assert found["progress"]["current"] is None and "log_file" not in found["metadata"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--"], "there is no COMMAND"),
        (["--kill-on-timeout", "--", "true"], "--kill-on-timeout needs --timeout"),
        (["--progress", "(?P<what>x)", "--", "true"], "--progress"),
        (["--name", " ", "--", "true"], "argument --name: it is blank: give the words that people know the job by"),
        (["--timeout", "soon", "--", "true"], "is not a duration"),
        (["--key-file", "/no/such/key", "--", "true"], "cannot read the key file"),
    ],
)
def test_a_wrong_command_line_runs_nothing(flags: list[str], words: str) -> None:
    done = headway("run", *flags, HEADWAY_URL=NOBODY)
    assert done.returncode == 2 and words in done.stderr, done.stderr
