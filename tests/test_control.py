"""Ending, pausing, cleaning up and looking at real OS processes through a real exporter: API, client, audit, metrics."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from calling import Api
from controlling import IDLE, actions, audit, ids, kill, kill_scope, track
from headway import Client
from headway.control.control import Control
from headway.control.report import Asked
from headway.model import Status
from headway.reporter.client import ApiError
from osprocesses import Started, runs, starting, state, with_pid
from registry_world import START, World, in_loop
from running import RunningExporter, Starter
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")


# ── kill one ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_kill_ends_the_tree_and_writes_down_how(exporter: RunningExporter, admin: Api, start: Started) -> None:
    script = start("say(fork(rest)); rest()")
    (child,) = script.pids()
    one = track(admin, script, name="worker")
    answer = kill(admin, one)
    assert not runs(script.pid) and not runs(child)
    assert answer["killed_count"] == 1 and answer["killed"][0] | {"pid": 0} == {
        "id": one,
        "name": "worker",
        "pid": 0,
        "status": "killed",
        "signal": "SIGTERM",
        "os_processes": 2,
        "gone": False,
    }
    assert (answer["failed"], answer["skipped"], answer["survivors"], answer["dry_run"]) == ([], [], [], False)
    process = admin.get(one)
    assert (process["status"], process["signal"], process["error"]) == ("killed", signal.SIGTERM, None)
    assert [t["to"] for t in process["transitions"]] == ["running", "stopping", "killed"]
    assert process["transitions"][1]["cause"] == "kill asked by first-start"
    assert admin.request("POST", f"/api/processes/{one}/kill")[0] == 409, "it has ended"
    assert [line for line in audit(exporter) if f'kill process "{one}" by "first-start" (admin): done' in line]
    assert actions(admin)["kill", "done"] == 1 and actions(admin)["kill", "failed"] == 1


def test_what_was_killed_on_request_alerts_nobody(admin: Api, start: Started) -> None:
    one = track(admin, start(IDLE, ready=True))
    kill(admin, one)
    page = admin.raw("GET", "/attention", headers={"Accept": "text/html"}).text
    assert one not in page
    other = admin.create(id="unknown")["id"]
    admin.update(other, status="killed", signal=9)
    assert other in admin.raw("GET", "/attention", headers={"Accept": "text/html"}).text, "killed by someone unknown"


def test_the_signal_and_the_grace_can_be_chosen(admin: Api, start: Started) -> None:
    script = start(IDLE, ready=True)
    assert kill(admin, track(admin, script), signal="int")["killed"][0]["signal"] == "SIGINT"
    deaf = start("deaf(); " + IDLE, ready=True)
    began = time.monotonic()
    assert kill(admin, track(admin, deaf), grace=0.3)["killed"][0]["signal"] == "SIGKILL"
    assert 0.3 <= time.monotonic() - began < 5
    for body, field in (
        ({"signal": "SIGSTOP"}, "signal"),
        ({"grace": 61}, "grace"),
        ({"grace": "2h"}, "grace"),
        ({"sig": 9}, "sig"),
    ):
        status, problem = admin.request("POST", "/api/processes/any/kill", body)
        assert status == 422 and problem["field"] == field, problem


REPORTING = """
import signal, sys, time
from headway import Reporter
signal.alarm(60)
reporter = Reporter("speaks", total=10, id=sys.argv[1])
reporter.update(3)
def leave(*_):
    reporter.{word}
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("word", "status"), [("done('in time')", "done"), ("fail('could not')", "failed")])
def test_the_last_word_of_a_reporter_stands(
    exporter: RunningExporter, admin: Api, start: Started, monkeypatch: pytest.MonkeyPatch, word: str, status: str
) -> None:
    for name, value in exporter.client_env.items():
        monkeypatch.setenv(name, value)
    start(REPORTING.replace("{word}", word), "spoke", ready=True)
    wait_until(lambda: admin.request("GET", "/api/processes/spoke")[0] == 200, what="the record")
    answer = kill(admin, "spoke")
    assert answer["process"]["status"] == status and answer["killed"][0]["status"] == status
    assert [t["to"] for t in admin.get("spoke")["transitions"]] == ["running", "stopping", status]


def test_a_reporter_without_a_last_word_was_killed_on_request(
    exporter: RunningExporter, admin: Api, start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in exporter.client_env.items():
        monkeypatch.setenv(name, value)
    start(REPORTING.replace("reporter.{word}", "os._exit(0)").replace("import signal", "import os, signal"), "mute", ready=True)
    wait_until(lambda: admin.request("GET", "/api/processes/mute")[0] == 200, what="the record")
    assert kill(admin, "mute")["process"]["status"] == "killed"


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_catches_the_signal_was_killed_whatever_its_exit_code(admin: Api, code: int) -> None:
    command = f"trap 'exit {code}' TERM; echo ready; while :; do sleep 0.05; done"
    status, answer = admin.request("POST", "/api/processes/track", {"command": command, "name": f"catches {code}"})
    assert status == 201, answer
    process_id = answer["data"]["id"]
    wait_until(lambda: "ready" in admin.get(process_id)["log_tail"], 30, "the trap")
    assert kill(admin, process_id)["process"]["status"] == "killed"
    found = admin.get(process_id)
    assert (found["status"], found["exit_code"]) == ("killed", code)
    assert f'headway_finished_total{{name="catches {code}",kind="task",outcome="killed"}} 1' in admin.raw("GET", "/metrics").text


def test_a_command_that_ignores_the_signal_was_killed_not_paused(admin: Api) -> None:
    """It is stopped before SIGKILL, which whoever runs it sees."""
    command = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
    status, answer = admin.request("POST", "/api/processes/track", {"command": command, "name": "deaf"})
    assert status == 201, answer
    process_id = answer["data"]["id"]
    wait_until(lambda: "ready" in admin.get(process_id)["log_tail"], 30, "the trap")
    assert kill(admin, process_id, grace=2)["process"]["status"] == "killed"
    found = admin.get(process_id)
    assert (found["status"], found["signal"], [t["to"] for t in found["transitions"]][-2:]) == ("killed", 9, ["stopping", "killed"])


def test_what_was_killed_is_not_run_again(admin: Api) -> None:
    """A command that catches the signal and fails is one that --retry would start anew."""
    command = "trap 'exit 1' TERM; echo ready; while :; do sleep 0.05; done"
    status, answer = admin.request("POST", "/api/processes/track", {"command": command, "name": "again and again", "retry": 3})
    assert status == 201, answer
    process_id = answer["data"]["id"]
    wait_until(lambda: "ready" in admin.get(process_id)["log_tail"], 30, "the trap")
    runner = psutil.Process(admin.get(process_id)["pid"]).parent()
    assert runner is not None
    kill(admin, process_id)
    wait_until(lambda: not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE, 30, "the end of headway run")
    listed = admin.request("GET", "/api/processes?state=all&name=again%20and%20again")[1]["data"]
    assert [(one["id"], one["status"]) for one in listed] == [(process_id, "killed")]


def test_one_that_is_gone_already_counts_as_ended(start_exporter: Starter, start: Started) -> None:
    exporter = start_exporter("--sample-interval", "60")  # nobody else notices
    admin = Api(exporter, exporter.key)
    script = start(IDLE, ready=True)
    one = track(admin, script)
    script.child.kill()
    script.child.wait(30)
    answer = kill(admin, one)
    assert answer["killed"][0]["gone"] and answer["killed"][0]["signal"] is None and answer["killed_count"] == 1
    assert answer["process"]["status"] == "killed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose the next pid")
def test_a_pid_that_someone_else_has_by_now_is_not_signalled(start_exporter: Starter, start: Started) -> None:
    exporter = start_exporter("--sample-interval", "60")
    admin = Api(exporter, exporter.key)
    old = start(IDLE, ready=True)
    one, began = track(admin, old), time.monotonic()
    old.child.kill()
    old.child.wait(30)
    wait_until(lambda: time.monotonic() - began > 2.3, what="a while: within it no pid comes round again on its own")
    new = with_pid(old.pid, start)
    if new is None:
        pytest.skip("the pid was not to be had")
    assert kill(admin, one)["killed"][0]["gone"] and runs(new.pid)
    assert new.child.poll() is None


def test_what_has_no_os_process_here_is_to_be_cancelled(admin: Api) -> None:
    remote = admin.create(id="remote", host="elsewhere", pid=os.getpid(), create_time=1.0)["id"]
    bare = admin.create(id="bare")["id"]
    queued = admin.create(id="queued", status="queued", pid=os.getpid())["id"]
    for one in (remote, bare, queued):
        for verb in ("kill", "pause"):
            status, problem = admin.request("POST", f"/api/processes/{one}/{verb}")
            assert status == 409 and ("cancel" in problem["detail"] or verb == "pause"), problem
    answer = kill_scope(admin, "all")
    assert ids(answer["failed"]) == {remote, bare, queued} and all("cancel" in miss["reason"] for miss in answer["failed"])
    assert answer["killed_count"] == 0
    assert {admin.get(one)["status"] for one in (remote, bare)} == {"running"}


def test_processes_that_were_reported_below_end_with_it(admin: Api, start: Started) -> None:
    script = start("say(fork(rest)); rest()")
    (child,) = script.pids()
    one, nested = track(admin, script), track(admin, child, name="nested")
    sharing = track(admin, script, name="the same OS process")
    answer = kill(admin, one)
    assert ids(answer["killed"]) == {one, nested, sharing} and answer["killed_count"] == 3
    assert {admin.get(each)["status"] for each in (one, nested, sharing)} == {"killed"}
    assert {admin.get(each)["signal"] for each in (one, nested, sharing)} == {signal.SIGTERM}


def test_the_exporter_and_what_it_runs_below_cannot_be_killed(tmp_path: Path) -> None:
    """A small parent of the exporter stands for what it runs below: it ends with it, so that nothing else can be hit."""
    exporter = RunningExporter(tmp_path / "data", prefix=("unshare", "--fork", "--kill-child")).start()
    try:
        admin = Api(exporter, exporter.key)
        assert exporter.process is not None
        parent = exporter.process.pid
        (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        own, above = track(admin, int(child)), track(admin, parent)
        for one in (own, above):
            status, problem = admin.request("POST", f"/api/processes/{one}/kill")
            assert status == 409 and "exporter" in problem["detail"], problem
            assert admin.request("POST", f"/api/processes/{one}/pause")[0] == 409
        answer = kill_scope(admin, "all", grace=0)
        assert ids(answer["skipped"]) == {own, above} and answer["killed_count"] == 0
        answer = kill_scope(admin, "pid", pid=1, dry_run=True)
        assert "init" in answer["skipped"][0]["reason"] and answer["killed_count"] == 0
        assert exporter.process.poll() is None and admin.get(own)["status"] == "running"
    finally:
        exporter.kill()


# Root without the right to signal others' processes (CAP_KILL), which an exec does not give back.
POWERLESS = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 5, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of somebody else")
def test_one_that_cannot_be_ended_goes_on_and_says_so(tmp_path: Path, start: Started) -> None:
    exporter = RunningExporter(tmp_path / "data", prefix=(sys.executable, "-c", POWERLESS)).start()
    try:
        admin = Api(exporter, exporter.key)
        script = start("os.setuid(65534); " + IDLE, ready=True)
        one = track(admin, script)
        answer = kill(admin, one, grace=0.2)
        assert answer["killed_count"] == 0 and "not permitted" in answer["failed"][0]["reason"]
        assert answer["survivors"][0]["pid"] == script.pid and runs(script.pid)
        process = admin.get(one)
        assert process["status"] == "running" and not process["cancel_requested"]
        assert "failed" in process["transitions"][-1]["cause"]
        assert actions(admin)["kill", "failed"] == 1
        status, problem = admin.request("POST", f"/api/processes/{one}/pause")
        assert status == 409 and "not permitted" in problem["detail"] and state(script.pid) == "S"
    finally:
        exporter.kill()


def test_an_ended_record_whose_os_process_lives_on_can_be_killed(admin: Api, start: Started) -> None:
    script = start(IDLE, ready=True)
    one = track(admin, script)
    admin.update(one, status="done")
    assert kill_scope(admin, "all")["killed_count"] == 0 and runs(script.pid), "scopes mean what is active"
    answer = kill(admin, one)
    assert not runs(script.pid) and answer["process"]["status"] == "done", "how it ended is history"


def test_an_exporter_that_stops_during_a_kill_leaves_it_to_the_next(exporter: RunningExporter, start: Started) -> None:
    """The record says «stopping» on the disk; the one that comes next sees the end and knows that it was asked for."""
    script = start("deaf(); " + IDLE, ready=True)
    one = track(Api(exporter, exporter.key), script)
    asking = threading.Thread(target=kill_unanswered, args=(exporter, one))
    asking.start()
    wait_until(lambda: Api(exporter).get(one)["transitions"][-1]["to"] == "stopping", what="the kill, on the disk")
    exporter.kill()
    asking.join(30)
    script.child.kill()
    script.child.wait(30)
    exporter.start()
    wait_until(lambda: Api(exporter).get(one)["status"] == "killed", timeout=30, what="its end")
    assert one not in Api(exporter).raw("GET", "/attention", headers={"Accept": "text/html"}).text


def test_the_exporter_stops_in_time_during_a_long_grace(exporter: RunningExporter, start: Started) -> None:
    script = start("deaf(); " + IDLE, ready=True)
    one = track(Api(exporter, exporter.key), script)
    asking = threading.Thread(
        target=lambda: Api(exporter, exporter.key).raw("POST", f"/api/processes/{one}/kill", json={"grace": 60})
    )
    asking.daemon = True
    asking.start()
    wait_until(lambda: Api(exporter).get(one)["status"] == "stopping", what="the kill")
    exporter.stop()
    assert runs(script.pid), "nobody was killed in passing"


@pytest.mark.parametrize("stands", [False, True])
@pytest.mark.parametrize("politely", [True, False])
def test_a_kill_goes_on_when_the_exporter_is_started_again(
    start_exporter: Starter, start: Started, politely: bool, stands: bool
) -> None:
    exporter = start_exporter("--sample-interval", "0.2", "--stop-grace", "1s")
    script, other = start("deaf(); " + IDLE, ready=True), start("deaf(); " + IDLE, ready=True)
    one, kept = track(Api(exporter, exporter.key), script), track(Api(exporter, exporter.key), other)
    asking = threading.Thread(target=kill_unanswered, args=(exporter, one), kwargs={"grace": 6 if politely else 3})
    asking.start()
    wait_until(lambda: Api(exporter).get(one)["transitions"][-1]["to"] == "stopping", what="the kill, on the disk")
    if politely:
        exporter.stop()
    else:
        exporter.kill()
    asking.join(30)
    if stands:
        os.kill(script.pid, signal.SIGSTOP)
    exporter.start()
    wait_until(lambda: Api(exporter).get(one)["status"] == "killed", timeout=30, what="its end")
    found = Api(exporter).get(one)
    assert [step["to"] for step in found["transitions"]] == ["running", "stopping", "killed"] and found["signal"] == 9
    assert found["transitions"][-1]["cause"] == "killed by first-start" and found["error"] is None and not runs(script.pid)
    assert Api(exporter).get(kept)["status"] == "running" and runs(other.pid)


def test_of_a_kill_that_goes_on_nobody_is_hit_who_was_not_meant(start_exporter: Starter, start: Started) -> None:
    """Who was spared before is spared again; what ended meanwhile has ended as was asked."""
    exporter = start_exporter("--sample-interval", "0.2")
    api = Api(exporter, exporter.key)
    scripts = [start("deaf(); " + IDLE, ready=True) for _ in range(3)]
    spared, ended, lives = (track(api, one, project="p", executor=one is scripts[0]) for one in scripts)
    asking = threading.Thread(target=kill_unanswered, args=(exporter, None), kwargs={"grace": 20})
    asking.start()
    wait_until(
        lambda: {api.get(one)["transitions"][-1]["to"] for one in (ended, lives)} == {"stopping"}, what="the kill, on the disk"
    )
    exporter.kill()
    asking.join(30)
    scripts[1].child.kill()
    scripts[1].child.wait(30)
    exporter.start()
    wait_until(lambda: Api(exporter).get(ended)["status"] == "killed", timeout=30, what="the one that ended meanwhile")
    assert Api(exporter).get(ended)["transitions"][-1]["cause"].endswith("as was asked")
    assert Api(exporter).get(lives)["status"] == "stopping", "its grace is not over"
    assert kill(api, lives, signal="KILL")["process"]["status"] == "killed"
    assert Api(exporter).get(spared)["status"] == "running" and runs(scripts[0].pid)


@in_loop
async def test_an_exporter_that_stops_does_not_say_that_the_kill_failed() -> None:
    world = World()
    control = Control(world.watch)
    with starting() as start:
        script = start("signal.signal(signal.SIGTERM, lambda *_: say('heard')); " + IDLE, ready=True)
        process = world.create(id="a", host="here", pid=script.pid, create_time=script.process.create_time)
        killing = asyncio.ensure_future(control.kill([process], Asked(by="ann", grace=50)))
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(script.said) == "heard"
            control.close()
            await killing
        assert world.status("a") is Status.STOPPING and runs(script.pid)


@in_loop
async def test_a_kill_does_not_go_on_with_who_has_the_pid_by_now() -> None:
    world = World()
    control = Control(world.watch)
    with starting() as start:
        other, script = start(IDLE, ready=True), start("deaf(); " + IDLE, ready=True)
        at = other.process.create_time
        assert at is not None
        world.create(id="gone", host="here", pid=other.pid, create_time=at - 100)
        world.create(id="a", host="here", pid=script.pid, create_time=script.process.create_time)
        for one in ("gone", "a"):
            asked = Asked(by="ann", grace=1)
            world.registry.move(one, Status.STOPPING, cause="kill asked by ann", cancel_requested_at=START, ending=asked.ending)
        await control.go_on(["gone", "a", "unknown"])
        assert world.status("a") is Status.KILLED and not runs(script.pid)
        assert world.status("gone") is Status.STOPPING and runs(other.pid), "what is gone is the watch's"
        control.close()


def kill_unanswered(exporter: RunningExporter, process_id: str | None, grace: float = 50) -> None:
    """None: all but executors."""
    try:
        if process_id is None:
            kill_scope(Api(exporter, exporter.key), "all_except_executors", grace=grace)
        else:
            kill(Api(exporter, exporter.key), process_id, grace=grace)
    except Exception:  # noqa: S110  the answer never comes
        pass


def test_other_calls_are_answered_during_a_kill_and_a_second_one_is_quicker(
    admin: Api, exporter: RunningExporter, start: Started
) -> None:
    script = start("deaf(); " + IDLE, ready=True)
    one = track(admin, script)
    found: list[dict[str, Any]] = []
    patient = threading.Thread(target=lambda: found.append(kill(Api(exporter, exporter.key), one, grace=50)))
    patient.start()
    wait_until(lambda: admin.get(one)["status"] == "stopping", what="the kill")
    assert admin.request("POST", f"/api/processes/{one}/pause")[0] == 409
    assert kill(admin, one, signal="KILL")["process"]["status"] == "killed"
    patient.join(30)
    assert not patient.is_alive()
    assert found[0]["process"]["status"] == "killed"


# ── pause and resume ────────────────────────────────────────────────────────────────────────────────────────────────


def test_pause_and_resume(admin: Api, start: Started) -> None:
    script = start("say(fork(rest)); rest()")
    (child,) = script.pids()
    one, nested = track(admin, script), track(admin, child)
    status, answer = admin.request("POST", f"/api/processes/{one}/pause")
    assert status == 200 and answer["data"]["status"] == "paused" and answer["failed"] == []
    assert state(script.pid) == state(child) == "T" and admin.get(nested)["status"] == "paused"
    status, answer = admin.request("POST", f"/api/processes/{one}/resume")
    assert status == 200 and answer["data"]["status"] == "running"
    wait_until(lambda: state(script.pid) == state(child) == "S", what="its going on")
    assert [t["to"] for t in admin.get(one)["transitions"]] == ["running", "paused", "running"]
    assert admin.get(nested)["status"] == "running"
    admin.request("POST", f"/api/processes/{one}/pause")
    assert kill(admin, one)["process"]["status"] == "killed" and not runs(child), "a paused one can be ended politely too"
    assert admin.request("POST", f"/api/processes/{one}/resume")[0] == 409


# ── cleanup ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cleanup_takes_away_what_is_over_and_touches_no_os_process(admin: Api, start: Started) -> None:
    orphan = admin.create(id="orphan")["id"]
    admin.update(orphan, status="orphaned")
    script = start("say(fork(lambda: None)); rest()")
    (zombie_pid,) = script.pids()
    wait_until(lambda: state(zombie_pid) == "Z", what="the zombie")
    zombie, alive = track(admin, zombie_pid), track(admin, script)
    old, failed = admin.create(id="old")["id"], admin.create(id="failed")["id"]
    admin.update(old, status="done")
    admin.update(failed, status="failed", error="x")
    wait_until(lambda: admin.get(alive)["memory_bytes"], what="a sample")

    def clean(**body: Any) -> dict[str, Any]:
        status, answer = admin.request("POST", "/api/processes/cleanup", body)
        assert status == 200, answer
        data: dict[str, Any] = answer["data"]
        return data

    dry = clean(older_than=0, dry_run=True)
    assert (ids(dry["orphans"]), ids(dry["zombies"]), ids(dry["ended"])) == ({orphan}, {zombie}, {old}) and dry[
        "cleaned_count"
    ] == 3
    assert admin.get(zombie)["status"] == "running" and admin.get(orphan)["dismissed_at"] is None
    assert clean(older_than="1h")["ended"] == []
    done = clean(older_than=0)
    assert ids(done["ended"]) == {old} and done["orphans"] == [] == done["zombies"], "those went the time before"
    assert all(admin.get(one)["dismissed_at"] for one in (orphan, zombie, old))
    assert admin.get(zombie)["status"] == "orphaned" and "zombie" in admin.get(zombie)["transitions"][-1]["cause"]
    assert admin.get(failed)["dismissed_at"] is None and admin.get(alive)["status"] == "running"
    assert runs(script.pid) and state(zombie_pid) == "Z"


# ── tree ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_tree_shows_os_processes_and_what_was_reported_below(admin: Api, start: Started) -> None:
    script = start("say(fork(rest)); rest()", "--token", "hunter2hunter2")
    (child,) = script.pids()
    one = track(admin, script, name="top")
    nested = track(admin, child, parent_id=one, name="nested")
    remote = admin.create(name="remote", parent_id=one, host="elsewhere")["id"]
    queued = admin.create(name="waits", parent_id=remote, status="queued", pid=script.pid)["id"]
    tree = admin.request("GET", f"/api/processes/{one}/tree")[1]["data"]
    root = tree["os_process"]
    assert (root["pid"], root["process_ids"], tree["os_processes"]) == (script.pid, [one], 2)
    assert root["memory_bytes"] > 0 and root["state"] == "sleeping" and root["cpu_ratio"] is not None
    assert "hunter2" not in str(tree) and "***" in root["command"]
    assert [(node["pid"], node["process_ids"]) for node in root["children"]] == [(child, [nested])]
    first, second = tree["children"]
    assert (first["id"], first["os_process"], first["reason"]) == (nested, None, "shown above")
    assert second["id"] == remote and second["os_process"] is None and "no OS process" in second["reason"]
    assert second["children"][0]["id"] == queued and second["children"][0]["reason"] == "it is queued"


# ── the client ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_client_has_a_method_for_each(exporter: RunningExporter, admin: Api, start: Started) -> None:
    client = Client(exporter.url, exporter.key)
    deaf, other = start("deaf(); " + IDLE, ready=True), start(IDLE, ready=True)
    one, two = track(admin, deaf, task="t"), track(admin, other, task="t")
    assert client.tree(one)["os_process"]["pid"] == deaf.pid
    assert client.pause(two)["status"] == "paused" and client.resume(two)["status"] == "running"
    assert client.kill_scope({"type": "task", "task_id": "t"}, dry_run=True)["killed_count"] == 2
    with Client(exporter.url, exporter.key, timeout=1) as hasty:
        assert hasty.kill(one, "TERM", grace=1.5)["process"]["status"] == Status.KILLED, "longer than its timeout"
    assert client.kill_scope({"type": "task", "task_id": "t"})["killed_count"] == 1
    assert client.cleanup(older_than=0)["cleaned_count"] == 2
    with pytest.raises(ApiError) as caught:
        client.kill(one)
    assert caught.value.status == 409
    client.close()
