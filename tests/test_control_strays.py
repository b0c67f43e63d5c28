"""OS processes that left the tree of a process, through a real exporter: shown, paused and ended with it, and after its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calling import Api, make_key
from controlling import ids, kill, kill_scope, track
from headway.sampler.strays import MARK
from osprocesses import DAEMON, PRELUDE, Script, Started, runs, state, wait_gone
from running import RunningExporter
from test_strays import INNER
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")
LEAVES = DAEMON + "say(daemon())"


def marked(start: Started, source: str, run_id: str) -> tuple[Script, list[int]]:
    script = start(source, environ={MARK: run_id})
    return script, script.pids()


def tree(api: Api, process_id: str) -> dict[str, Any]:
    status, answer = api.request("GET", f"/api/processes/{process_id}/tree")
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data


def pids(nodes: list[dict[str, Any]]) -> set[int]:
    return {node["pid"] for node in nodes}


def test_one_that_runs_is_shown_paused_and_ended_with_its_daemon(admin: Api, start: Started) -> None:
    script, (daemon,) = marked(start, LEAVES + "; rest()", "runs")
    one = track(admin, script, id="runs")
    found = tree(admin, one)
    assert (found["os_process"]["pid"], pids(found["strays"]), found["os_processes"]) == (script.pid, {daemon}, 2)
    assert found["os_process"]["children"] == [] and found["strays"][0]["process_ids"] == []
    assert kill_scope(admin, "all", dry_run=True)["killed"][0]["os_processes"] == 2 and runs(daemon)
    assert admin.request("POST", f"/api/processes/{one}/pause")[0] == 200
    assert state(script.pid) == state(daemon) == "T"
    assert admin.request("POST", f"/api/processes/{one}/resume")[0] == 200
    wait_until(lambda: "T" not in state(daemon), what="its going on")
    assert kill(admin, one)["killed"][0]["os_processes"] == 2
    assert not runs(daemon) and not runs(script.pid)
    assert admin.request("POST", f"/api/processes/{one}/kill")[0] == 409, "nobody is left"


def test_an_orphan_says_who_is_left_and_they_can_be_ended(admin: Api, start: Started) -> None:
    script, (daemon,) = marked(start, LEAVES + "; rest()", "lost")
    one = track(admin, script, id="lost")
    wait_until(lambda: admin.get(one)["memory_bytes"], what="a sample")
    script.child.kill()
    script.child.wait(30)
    wait_until(lambda: admin.get(one)["status"] == "orphaned", timeout=30, what="its being given up")
    process = admin.get(one)
    assert "; 1 that had left its tree lives on;" in process["error"]
    found = tree(admin, one)
    assert (found["os_process"], found["reason"], pids(found["strays"])) == (None, "its OS process is gone", {daemon})
    answer = kill(admin, one)
    assert not runs(daemon) and answer["process"]["status"] == "killed"
    assert answer["killed"][0] | {"name": ""} == {
        "id": one,
        "name": "",
        "pid": script.pid,
        "status": "killed",
        "signal": "SIGTERM",
        "os_processes": 1,
        "gone": False,
    }
    assert tree(admin, one)["strays"] == []


def test_what_ended_well_keeps_its_end_when_its_daemon_is_ended(admin: Api, start: Started) -> None:
    """As its own, and as what it is part of shows it."""
    top = admin.create(id="top")["id"]
    script, (daemon,) = marked(start, LEAVES + "; rest()", "well")
    one = track(admin, script, id="well", parent_id=top)
    admin.update(one, status="done")
    script.child.kill()
    script.child.wait(30)
    (child,) = tree(admin, top)["children"]
    assert (child["id"], pids(child["strays"])) == (one, {daemon})
    assert kill_scope(admin, "all")["killed_count"] == 0 and runs(daemon), "scopes mean what is active"
    assert kill(admin, one)["process"]["status"] == "done" and not runs(daemon)


def test_with_the_outer_process_goes_what_left_an_inner_one(admin: Api, start: Started) -> None:
    script = start(INNER + "inner('say(os.getpid(), daemon()); rest()', 'in'); rest()", PRELUDE + DAEMON, environ={MARK: "out"})
    root, daemon = script.pids()
    track(admin, script, id="out")
    track(admin, root, id="in", parent_id="out")
    found = tree(admin, "out")
    assert pids(found["os_process"]["children"]) == {root} and pids(found["strays"]) == {daemon}
    assert found["children"][0]["strays"] == [] and found["children"][0]["reason"] == "shown above"
    assert {hit["id"]: hit["os_processes"] for hit in kill(admin, "out")["killed"]} == {"out": 3, "in": 0}
    wait_gone(script.pid, root, daemon)


def test_executors_are_spared_with_what_left_them(admin: Api, start: Started) -> None:
    """An executor that a stray has started, with a daemon of its own."""
    source = INNER + "say(daemon(lambda: inner('say(os.getpid(), daemon()); rest()', 'ex').wait())); rest()"
    script = start(DAEMON + source, PRELUDE + DAEMON, environ={MARK: "top"})
    (stray,), (executor, daemon) = sorted((script.pids(), script.pids()), key=len)
    track(admin, script, id="top")
    track(admin, executor, id="ex", executor=True)
    answer = kill_scope(admin, "all_except_executors")
    assert ids(answer["killed"]) == {"top"} and answer["killed"][0]["os_processes"] == 2
    assert "ex" in ids(answer["skipped"]) and executor in {miss["pid"] for miss in answer["skipped"]}
    wait_gone(script.pid, stray)
    assert runs(executor) and runs(daemon) and admin.get("ex")["status"] == "running"
    assert kill_scope(admin, "all")["killed"][0]["os_processes"] == 2
    wait_gone(executor, daemon)


def test_who_may_not_see_a_run_does_not_reach_who_left_it(exporter: RunningExporter, admin: Api, start: Started) -> None:
    """What says that it is of somebody else's run is left alone, though it stands below ours."""
    script = start(
        """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, "HEADWAY_PARENT_ID": "bobs"})
say(child.pid)
rest()
""",
        environ={MARK: "anns"},
    )
    (claims,) = script.pids()
    other, (daemon,) = marked(start, LEAVES + "; rest()", "bobs")
    track(admin, script, id="anns", user="ann")
    track(admin, other, id="bobs", user="bob")
    wait_until(lambda: Path(f"/proc/{claims}/environ").read_bytes().count(b"HEADWAY_PARENT_ID=bobs"), what="its exec")
    ann = Api(exporter, make_key(exporter, "operator", "--user", "ann"))
    assert ann.request("POST", "/api/processes/bobs/kill")[0] == 404
    answer = kill_scope(ann, "all")
    assert ids(answer["killed"]) == {"anns"} and not runs(script.pid)
    assert runs(daemon) and runs(other.pid)
    assert kill_scope(admin, "all")["killed_count"] == 1
    wait_gone(daemon, other.pid)


RUN = [sys.executable, "-m", "headway", "run", "--no-log-file"]


def test_a_command_that_is_run_is_known_by_its_mark(exporter: RunningExporter, admin: Api, start: Started, tmp_path: Path) -> None:
    """headway run ends at once, the daemon that it started lives; another run within it is one of its own."""
    note = tmp_path / "pid"
    daemon = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
    daemon += f"  open({str(note)!r}, 'w').write(str(os.getpid()))\n  os.dup2(os.open('/dev/null', 2), 1); os.dup2(1, 2)\n"
    daemon += "  time.sleep(60)\n os._exit(0)\nos.wait()"
    command = [*RUN, "--id", "outer", "--", *RUN, "--id", "inner", "--", sys.executable, "-c", daemon]
    environ = {**exporter.client_env, "TREE_OF_A_TEST": start.mark.partition("=")[2]}
    assert subprocess.run(command, env=environ, timeout=30, stdout=subprocess.DEVNULL).returncode == 0
    pid = int(wait_until(lambda: note.exists() and note.read_text(), what="the daemon"))
    wait_until(lambda: admin.get("outer")["status"] == "done", what="the end")
    assert admin.request("POST", "/api/processes/outer/kill")[0] == 409, "it is the inner one's"
    assert pids(tree(admin, "outer")["children"][0]["strays"]) == {pid} and tree(admin, "outer")["strays"] == []
    shown = subprocess.run([sys.executable, "-m", "headway", "tree", "inner"], env=environ, capture_output=True, text=True).stdout
    assert f"left its tree: {pid}  sleeping" in shown
    assert kill(admin, "inner")["process"]["status"] == "done" and not runs(pid)
