"""Ending by scope through a real exporter: whom each scope reaches, whom it spares, and who may."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from calling import Api, make_key
from controlling import IDLE, actions, audit, ids, kill_scope, track
from osprocesses import Started, runs, state, wait_gone
from running import RunningExporter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")


# ── scopes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["task", "project", "group", "attempt"])
def test_a_scope_ends_its_own_and_nobody_elses(admin: Api, start: Started, kind: str) -> None:
    mine, others = [start(IDLE, ready=True) for _ in range(2)], start(IDLE, ready=True)
    hit = {track(admin, script, **{kind: "x"}) for script in mine}
    missed = track(admin, others, **{kind: "y"})
    scope: Any = {f"{kind}_id": "x"}
    dry = kill_scope(admin, kind, dry_run=True, **scope)
    assert dry["dry_run"] and ids(dry["killed"]) == hit and dry["killed_count"] == 2
    assert all(runs(script.pid) for script in mine) and {admin.get(one)["status"] for one in hit} == {"running"}
    assert actions(admin)["kill_scope", "done"] == 0
    answer = kill_scope(admin, kind, **scope)
    assert ids(answer["killed"]) == hit and not answer["failed"]
    assert not any(runs(script.pid) for script in mine) and runs(others.pid)
    assert admin.get(missed)["status"] == "running"
    assert actions(admin)["kill_scope", "done"] == 1


def test_all_except_executors_spares_them_and_what_only_they_run(admin: Api, start: Started) -> None:
    """An executor within a tracked tree; its own helper lives, the tracked work below it does not."""
    script = start("fork(lambda: (say(os.getpid(), fork(rest), fork(rest)), rest())); rest()")
    executor_pid, helper, work_pid = script.pids()
    top, executor = track(admin, script, name="top"), track(admin, executor_pid, name="executor", executor=True)
    work = track(admin, work_pid, name="work")
    answer = kill_scope(admin, "all_except_executors")
    assert ids(answer["killed"]) == {top, work} and answer["killed_count"] == 2
    assert executor in ids(answer["skipped"]) and all("executor" in miss["reason"] for miss in answer["skipped"])
    wait_gone(script.pid, work_pid)
    assert runs(executor_pid) and runs(helper) and admin.get(executor)["status"] == "running"
    assert ids(kill_scope(admin, "all")["killed"]) == {executor}
    wait_gone(executor_pid, helper)


def test_an_os_process_that_is_not_tracked_needs_its_pid_and_an_admin(
    exporter: RunningExporter, admin: Api, start: Started
) -> None:
    script, tracked = start(IDLE, ready=True), start(IDLE, ready=True)
    one = track(admin, tracked)
    operator = Api(exporter, make_key(exporter, "operator"))
    assert kill_scope(operator, "all", dry_run=True)["killed_count"] == 1
    refused = kill_scope(operator, "pid", 403, pid=script.pid)
    assert "admin" in refused["detail"] and runs(script.pid)
    assert kill_scope(admin, "pid", pid=script.pid, create_time=1.0)["killed"][0]["gone"] and runs(script.pid)
    answer = kill_scope(admin, "pid", pid=script.pid)
    assert answer["killed"][0]["id"] is None and answer["killed"][0]["pid"] == script.pid and not runs(script.pid)
    assert ids(kill_scope(operator, "pid", pid=tracked.pid)["killed"]) == {one}, "this one is tracked"
    assert [line for line in audit(exporter) if "refused" in line and f"pid {script.pid}" in line]


def test_a_scope_that_is_wrong_says_how_it_is_right(admin: Api) -> None:
    for scope, field in (({"type": "task"}, "scope.task_id"), ({"type": "world"}, "scope"), ({"type": "all", "x": 1}, "scope.x")):
        status, problem = admin.request("POST", "/api/processes/kill", {"scope": scope})
        assert status == 422 and problem["field"].startswith(field), problem
    for scope, says in (({"type": "tusk"}, ": not one of pid, process, task,"), ({}, " is required: one of pid, process, task,")):
        problem = admin.request("POST", "/api/processes/kill", {"scope": scope})[1]
        assert problem["field"] == "scope.type" and says in problem["detail"] and "tusk" not in problem["detail"]
    assert admin.request("POST", "/api/processes/kill", {})[0] == 422
    assert kill_scope(admin, "process", 404, process_id="nobody")["status"] == 404
    assert not any(actions(admin)[key] for key in actions(admin) if key != ("kill_scope", "failed"))


# ── who may ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", ["viewer", "reporter", None])
def test_control_needs_the_role_operator(exporter: RunningExporter, admin: Api, start: Started, role: str | None) -> None:
    script = start(IDLE, ready=True)
    one = track(admin, script)
    caller = Api(exporter, None if role is None else make_key(exporter, role))
    for path in (f"/api/processes/{one}/kill", f"/api/processes/{one}/pause", f"/api/processes/{one}/resume"):
        assert caller.request("POST", path)[0] == 403, path
    assert caller.request("POST", "/api/processes/cleanup")[0] == 403
    assert caller.request("POST", "/api/processes/kill", {"scope": {"type": "all"}})[0] == 403
    assert caller.request("GET", f"/api/processes/{one}/tree")[0] == 200
    assert runs(script.pid) and state(script.pid) == "S"
    counts = actions(admin)
    assert {counts[action, "refused"] for action in ("kill", "kill_scope", "pause", "resume", "cleanup")} == {1}
    assert len([line for line in audit(exporter) if ": refused: " in line]) == 5


def test_a_key_of_a_user_reaches_only_what_is_theirs(exporter: RunningExporter, admin: Api, start: Started) -> None:
    script = start("say(fork(rest)); rest()")
    (below,) = script.pids()
    alone = start(IDLE, ready=True)
    mine, bobs = track(admin, script, user="ann"), track(admin, below, user="bob")
    lonely = track(admin, alone, user="bob")
    ann = Api(exporter, make_key(exporter, "admin", "--user", "ann"))
    assert ann.request("POST", f"/api/processes/{lonely}/kill")[0] == 404
    assert ann.request("GET", f"/api/processes/{lonely}/tree")[0] == 404
    kill_scope(ann, "pid", 403, pid=alone.pid)
    tree = ann.request("GET", f"/api/processes/{mine}/tree")[1]["data"]
    assert tree["os_process"]["children"] == [] and tree["os_process"]["process_ids"] == [mine]
    answer = kill_scope(ann, "all")
    assert ids(answer["killed"]) == {mine} and [miss["pid"] for miss in answer["skipped"]] == [below]
    assert runs(below) and runs(alone.pid) and admin.get(bobs)["status"] == "running"
