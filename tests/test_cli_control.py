"""`headway kill`, `pause`, `resume`, `cleanup` and `tree` against real OS processes and a real exporter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from calling import Api, make_key
from cli import HEADWAY, headway, on_terminal, surroundings
from controlling import IDLE, track
from headway import Client
from headway.cli.exits import Exit
from headway.cli.tree import drawn
from osprocesses import Started, runs, state
from running import RunningExporter, Starter
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")


def test_kill_by_id(exporter: RunningExporter, admin: Api, start: Started) -> None:
    environ = exporter.client_env
    one, other = start(IDLE, ready=True), start("deaf(); fork(rest); " + IDLE, ready=True)
    first, second = track(admin, one, id="first-of-two", name="one"), track(admin, other, id="second-of-two", name="two")
    mistaken = headway("kill", first, "nobody-has-this", environ=environ)
    assert mistaken.returncode == Exit.NOT_FOUND and runs(one.pid), "a mistake in the last comes before the end of the first"
    done = headway("kill", "first-of", second, "--grace", "0.3s", environ=environ)
    assert done.returncode == 0 and not runs(one.pid) and not runs(other.pid), done.stderr
    assert done.stdout.splitlines() == [
        f"{first} (one) ended by SIGTERM",
        f"{second} (two) ended by SIGKILL, 2 OS processes",
    ]
    again = headway("kill", first, environ=environ)
    assert again.returncode == Exit.FAILED and "already ended" in again.stderr


def test_what_cannot_be_ended_is_said_and_costs_the_exit_code(exporter: RunningExporter, admin: Api) -> None:
    assert exporter.process is not None
    own = exporter.process.pid
    one = track(admin, own, task="t")
    bare = admin.create(task="t")["id"]
    done = headway("kill", "--task", "t", "--yes", environ=exporter.client_env)
    assert done.returncode == Exit.FAILED and done.stdout == ""
    assert f"headway: {bare}: not ended: it has no OS process" in done.stderr
    assert f"headway: {one} pid {own}: left alone: it is the exporter itself" in done.stderr


@pytest.mark.parametrize(
    "flags", [["--task", "x"], ["--project", "x"], ["--group", "x"], ["--attempt", "x"], ["--all"], ["--all-except-executors"]]
)
def test_a_scope_is_shown_first_and_asked_about(exporter: RunningExporter, admin: Api, start: Started, flags: list[str]) -> None:
    environ = exporter.client_env
    script = start(IDLE, ready=True)
    one = track(admin, script, name="job", task="x", project="x", group="x", attempt="x")
    refused = headway("kill", *flags, environ=environ)
    assert refused.returncode == Exit.USAGE and "--yes" in refused.stderr and runs(script.pid)
    dry = headway("kill", *flags, "--dry-run", environ=environ)
    assert dry.returncode == 0 and dry.stdout.splitlines()[1].split() == ["job", str(script.pid), "1", one] and runs(script.pid)
    done = headway("kill", *flags, "--yes", "--json", environ=environ)
    assert done.returncode == 0 and json.loads(done.stdout)["killed_count"] == 1 and not runs(script.pid)
    why = "nothing is active" if len(flags) == 1 else f"nothing of the {flags[0][2:]} x is active; what belonged to it has ended"
    for more in ([], ["--yes"], ["--dry-run"]):
        nobody = headway("kill", *flags, *more, environ=environ)
        assert (nobody.returncode, nobody.stdout, nobody.stderr) == (Exit.NOT_FOUND, "", f"headway: nothing was ended: {why}\n")
    assert json.loads(headway("kill", *flags, "--dry-run", "--json", environ=environ).stdout)["killed"] == []


def test_a_scope_that_is_misspelt_is_said_with_what_was_probably_meant(exporter: RunningExporter, admin: Api) -> None:
    admin.create(name="job", project="Kira-search", task="t-1")
    typo = headway("kill", "--project", "kira-serch", "--yes", environ=exporter.client_env)
    assert typo.returncode == Exit.NOT_FOUND and typo.stdout == ""
    assert typo.stderr == "headway: nothing was ended: no process has the project kira-serch: did you mean Kira-search?\n"
    other = headway("kill", "--task", "nightly", environ=exporter.client_env)
    assert (other.returncode, other.stderr) == (5, "headway: nothing was ended: no process has the task nightly\n")


@pytest.mark.parametrize(("answer", "code", "lives"), [("n", Exit.FAILED, True), ("", Exit.FAILED, True), ("y", Exit.OK, False)])
def test_the_question_on_a_terminal(
    exporter: RunningExporter, admin: Api, start: Started, answer: str, code: Exit, lives: bool
) -> None:
    script = start(IDLE, ready=True)
    track(admin, script, name="job")
    with on_terminal("kill", "--all", environ=exporter.client_env) as command:
        wait_until(lambda: "end this one? [y/N]" in command.text, timeout=30, what="the question")
        assert "job" in command.text and runs(script.pid)
        command.type(answer + "\n")
        assert command.child.wait(30) == code
    assert runs(script.pid) == lives


def test_a_pid_needs_an_admin(exporter: RunningExporter, start: Started) -> None:
    script = start(IDLE, ready=True)
    operator = exporter.client_env | {"HEADWAY_KEY": make_key(exporter, "operator")}
    refused = headway("kill", "--pid", str(script.pid), "--yes", environ=operator)
    assert refused.returncode == Exit.REFUSED and "admin" in refused.stderr and runs(script.pid)
    done = headway("kill", "--pid", str(script.pid), "--yes", environ=exporter.client_env)
    assert done.returncode == 0 and done.stdout == f"pid {script.pid} ended by SIGTERM\n" and not runs(script.pid)


def test_whom_nobody_may_end_is_left_alone_and_costs_the_exit_code(exporter: RunningExporter, admin: Api, start: Started) -> None:
    environ = exporter.client_env
    for flags in ([], ["--yes"], ["--json", "--yes"]):
        done = headway("kill", "--pid", "1", *flags, environ=environ)
        assert done.returncode == Exit.FAILED and ("left alone" in done.stderr or "--json" in flags), flags
    assert headway("kill", "--pid", "1", "--dry-run", environ=environ).returncode == 0
    assert exporter.process is not None
    own = track(admin, exporter.process.pid)
    assert headway("kill", own, environ=environ).returncode == Exit.FAILED
    script = start(IDLE, ready=True)
    track(admin, script, executor=True)
    spared = headway("kill", "--all-except-executors", "--yes", environ=environ)
    assert spared.returncode == 0 and "left alone" in spared.stderr and runs(script.pid)


@pytest.mark.parametrize(
    "args", [[], ["--all", "some-id"], ["--all", "--task", "t"], ["--all", "--grace", "2h"], ["--all", "--yes", "--signal", "STOP"]]
)
def test_mistakes(exporter: RunningExporter, args: list[str]) -> None:
    done = headway("kill", *args, environ=exporter.client_env)
    assert done.returncode == Exit.USAGE and len(done.stderr.splitlines()) == 1, done.stderr


def test_pause_and_resume(exporter: RunningExporter, admin: Api, start: Started) -> None:
    script = start(IDLE, ready=True)
    one = track(admin, script, id="pausing", name="job")
    done = headway("pause", "paus", environ=exporter.client_env)
    assert done.stdout == f"paused {one} (job, paused)\n" and state(script.pid) == "T"
    done = headway("resume", one, environ=exporter.client_env)
    assert done.stdout == f"resumed {one} (job, running)\n"
    wait_until(lambda: state(script.pid) == "S", what="its going on")
    bare = headway("pause", admin.create()["id"], environ=exporter.client_env)
    assert bare.returncode == Exit.FAILED and "no OS process" in bare.stderr and "cancel" not in bare.stderr
    assert headway("resume", admin.create(status="queued")["id"], environ=exporter.client_env).returncode == Exit.FAILED


def test_a_group_is_paused_resumed_and_asked_to_end(exporter: RunningExporter, admin: Api, start: Started) -> None:
    environ = exporter.client_env
    one, other = start(IDLE, ready=True), start(IDLE, ready=True)
    first, second = (track(admin, script, name=name, group="g") for script, name in ((one, "one"), (other, "two")))
    admin.create(name="elsewhere", group="h")
    bare = admin.create(name="bare", group="g")["id"]
    done = headway("pause", "--group", "g", environ=environ)
    assert done.stdout.splitlines() == [f"paused {first} (one, paused)", f"paused {second} (two, paused)"]
    assert done.returncode == Exit.FAILED and f"headway: {bare} (bare): not paused: " in done.stderr
    assert state(one.pid) == state(other.pid) == "T"
    done = headway("resume", "--group", "g", environ=environ)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
    again = headway("resume", "--group", "g", environ=environ)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == "headway: nothing was resumed: nothing of the group g is paused\n"
    wrong = headway("pause", "--group", "gg", environ=environ)
    assert wrong.returncode == Exit.NOT_FOUND and "no process has the group gg" in wrong.stderr
    asked = headway("cancel", "--group", "g", environ=environ)
    assert asked.returncode == 0 and len(asked.stdout.splitlines()) == 3, asked.stderr
    assert f"headway: {bare} has not said that it listens" in asked.stderr
    for script, process_id in ((one, first), (other, second)):
        headway("kill", process_id, environ=environ)
        assert not runs(script.pid)
    admin.update(bare, status="done")
    over = headway("pause", "--group", "g", environ=environ)
    assert "nothing was paused: nothing of the group g is active; what belonged to it has ended" in over.stderr
    assert headway("pause", environ=environ).returncode == Exit.USAGE
    assert headway("cancel", first, "--group", "g", environ=environ).returncode == Exit.USAGE


def test_waiting_for_a_group_takes_those_that_come_meanwhile(exporter: RunningExporter, admin: Api) -> None:
    environ = exporter.client_env
    first = admin.create(name="first", group="g")["id"]
    with waiting("--group", "g", environ=environ) as waiter:
        second = admin.create(name="second", group="g")["id"]
        admin.update(first, status="done", summary="3 files")
        assert waiter.stdout is not None and waiter.stdout.readline() == f"{first} (first) done: 3 files\n"
        assert waiter.poll() is None
        admin.update(second, status="failed", error="no space")
        assert waiter.stdout.readline() == f"{second} (second) failed: no space\n"
        assert waiter.wait(30) == Exit.FAILED


def test_what_waiting_for_one_says(exporter: RunningExporter, admin: Api) -> None:
    environ = exporter.client_env
    one = admin.create(name="one", group="g")["id"]
    late = headway("wait", "one", "--timeout", "0.1s", environ=environ)
    assert late.returncode == 124 and late.stderr == "headway: waiting for one\nheadway: not ended after 0.1s: one\n"
    admin.update(one, status="done")
    done = headway("wait", one, environ=environ)
    assert (done.returncode, done.stdout) == (0, f"{one} (one) done\n")
    over = headway("wait", "--group", "g", environ=environ)
    assert over.returncode == 0 and "nothing of the group g is active" in over.stderr
    assert headway("wait", "--group", "none", environ=environ).returncode == Exit.NOT_FOUND
    assert headway("wait", "nobody", environ=environ).returncode == Exit.NOT_FOUND
    named = headway("wait", "No such", environ=environ)
    assert named.returncode == Exit.NOT_FOUND and named.stderr.startswith("headway: no process has the name 'No such'")


def test_an_exporter_that_goes_away_is_waited_for(start_exporter: Starter) -> None:
    exporter = start_exporter()
    with Client(exporter.url, exporter.key) as client:
        one = client.create("one", lease="1h")["id"]
        with waiting(one, environ=exporter.client_env) as waiter:
            exporter.stop()
            assert waiter.stderr is not None and "waiting for it" in waiter.stderr.readline()
            exporter.start()
            client.update(one, status="done")
            assert waiter.wait(30) == 0


@contextmanager
def waiting(*args: str, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`headway wait`, which was seen to wait."""
    env = {**surroundings(), **environ}
    child = subprocess.Popen([HEADWAY, "wait", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        assert child.stderr is not None and child.stderr.readline().startswith("headway: waiting for ")
        yield child
    finally:
        child.kill()
        child.communicate()


def test_cleanup(exporter: RunningExporter, admin: Api) -> None:
    one = admin.create(name="job")["id"]
    admin.update(one, status="done")
    assert headway("cleanup", environ=exporter.client_env).stdout == "nothing to clean up\n"
    dry = headway("cleanup", "--older-than", "0s", "--dry-run", environ=exporter.client_env)
    assert dry.stdout.splitlines()[1].split() == ["ended", "job", one] and admin.get(one)["dismissed_at"] is None
    done = headway("cleanup", "--older-than", "0s", "--json", environ=exporter.client_env)
    assert json.loads(done.stdout)["cleaned_count"] == 1 and admin.get(one)["dismissed_at"]


def test_tree(exporter: RunningExporter, admin: Api, start: Started) -> None:
    script = start("say(fork(rest)); rest()", "--password", "hunter2")
    (child,) = script.pids()
    one = track(admin, script, name="top")
    nested = track(admin, child, name="nested", parent_id=one)
    done = headway("tree", one, environ=exporter.client_env, PYTHONIOENCODING="utf-8")
    lines = done.stdout.splitlines()
    assert lines[0] == f"top (running)  {one}"
    assert lines[1].startswith(f"├─ {script.pid}  sleeping  CPU ") and "hunter2" not in done.stdout and "***" in lines[1]
    assert lines[2].startswith(f"│  └─ {child}  sleeping  CPU ") and lines[2].endswith(f"= {nested}")
    assert lines[3] == f"└─ nested (running, shown above)  {nested}"
    plain = headway("tree", one, environ=exporter.client_env, PYTHONIOENCODING="ascii").stdout.splitlines()
    assert plain[1].startswith(f"|- {script.pid}") and plain[3].startswith("`- nested")
    assert json.loads(headway("tree", one, "--json", environ=exporter.client_env).stdout)["os_process"]["pid"] == script.pid


def test_a_name_cannot_draw_on_the_terminal() -> None:
    tree: Any = {"name": "a\x1b[31mb\nc", "status": "running", "reason": None, "id": "i", "os_process": None, "children": []}
    assert list(drawn(tree)) == ["ab c (running)  i"]
