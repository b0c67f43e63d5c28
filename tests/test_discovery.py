"""Discovery by a running exporter: what is found becomes a process like any other, once, for as long as it runs."""

from __future__ import annotations

import json
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import headway
from headway import Client
from headway.model import Status
from headway.registry.unheard import unheard
from headway.samples import Exit
from osprocesses import Script, Started, wait_gone
from running import RunningExporter, Starter
from waiting import wait_until

REST = "say('ready'); rest()"
LISTEN = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
say(listener.getsockname()[1])
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(0))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(3))
rest()
"""
# Another program in its place, with the mark that `headway run` leaves in the environment of what it runs.
BECOME = """
then = "import time; print('ready', flush=True); time.sleep(60)"
os.execve(sys.executable, [sys.executable, "-c", then, sys.argv[1]], {**os.environ, "HEADWAY_PARENT_ID": "the-run"})
"""
Json = dict[str, Any]
Watching = Callable[..., tuple[RunningExporter, Client]]
KERNEL = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])


@pytest.fixture
def watching(start_exporter: Starter, tmp_path: Path) -> Iterator[Watching]:
    """An exporter with these rules (YAML below `discover:`), and a client with its admin key."""
    clients: list[Client] = []

    def begin(rules: str) -> tuple[RunningExporter, Client]:
        file = tmp_path / "headway.yaml"
        file.write_text(f"sample_interval: 200ms\ndiscovery_interval: 200ms\ndiscover:\n{rules}\n")
        exporter = start_exporter("--config", str(file))
        clients.append(Client(exporter.url, exporter.key))
        return exporter, clients[-1]

    yield begin
    for client in clients:
        client.close()


def found(client: Client, **filters: Any) -> Json:
    """The one process that matches, as soon as there is one."""
    (process,) = wait_until(lambda: client.list(**filters), what="a process that was found")
    return process


def match_of(client: Client, pid: int) -> Json:
    return wait_until(lambda: next((m for m in client.discovered()["matches"] if m["pid"] == pid), None), what="a match") or {}


def decided(client: Client, pid: int, reason: str = "") -> Json:
    """The match of a pid once it is no longer only new, and has this in its reason."""

    def answer() -> Json | None:
        match = match_of(client, pid)
        said = match["reason"] or ""
        return match if "from the next" not in said and reason in said else None

    return wait_until(answer, what=f"what became of {pid}") or {}


def next_look(client: Client, looks: int = 2) -> None:
    for _ in range(looks):
        before = client.discovered()["looked_at"]
        wait_until(lambda before=before: client.discovered()["looked_at"] != before, what="the next look")  # type: ignore[misc]


def ended(client: Client, process_id: str) -> Json:
    def over() -> Json | None:
        one = client.get(process_id)
        return one if one["finished_at"] and one["transitions"][-1]["to"] == one["status"] else None

    return wait_until(over, what="its end") or {}


# ── from the first look to the end ──────────────────────────────────────────────────────────────────────────────────


def test_a_daemon_that_listens_is_tracked_with_what_the_rule_says(watching: Watching, start: Started) -> None:
    script = start(LISTEN, "--token=abcdefgh12345678")
    port = int(script.said())
    exporter, client = watching(
        f'  web: {{port: {port}, name: "Web on {{port}}", project: shop, task: t, attempt: a, agent: g, group: front, user: ann, '
        f"description: the shop, executor: true}}\n  none: {{command: no such command line}}"
    )
    process = found(client, project="shop")
    expected = {
        **{"name": f"Web on {port}", "type": "daemon", "status": "running", "project": "shop", "task": "t", "attempt": "a"},
        **{"agent": "g", "group": "front", "user": "ann", "description": "the shop", "executor": True, "pid": script.pid},
        **{"cwd": str(Path.cwd()), "metadata": {"discovered_by": "web"}, "parent_id": None},
    }
    assert {name: process[name] for name in expected} == expected
    assert "--token=***" in process["command"] and "abcdefgh" not in json.dumps(process)
    assert abs(process["create_time"] - (script.process.create_time or 0)) < 1
    assert process["elapsed_seconds"] >= time.time() - process["create_time"] - 3
    wait_until(lambda: client.get(process["id"])["memory_bytes"], what="its samples")

    next_look(client)
    answer = client.discovered()
    (match,) = answer["matches"]
    assert (match["rule"], match["name"], match["process_id"], match["reason"]) == ("web", process["name"], process["id"], None)
    assert match["why"] == [f"it listens on port {port}"] and "***" in match["command"] and match["cwd"] == str(Path.cwd())
    assert [(rule["rule"], rule["matches"], rule["reason"]) for rule in answer["rules"]] == [
        ("web", 1, None),
        ("none", 0, "no OS process matches"),
    ]
    page = client._session.get(f"{exporter.url}/metrics", timeout=30).text
    assert 'headway_discovered_processes{rule="web"} 1.0\nheadway_discovered_processes{rule="none"} 0.0' in page
    assert float(page.partition("\nheadway_discovery_duration_seconds ")[2].split("\n")[0]) > 0
    assert len(client.list(state="all")) == 1, "once"


@pytest.mark.parametrize(
    ("number", "status", "words", "code"),
    [
        (signal.SIGTERM, "cancelled", "its OS process was ended by SIGTERM", None),
        (signal.SIGKILL, "killed", "its OS process was ended by SIGKILL", None),
        (signal.SIGUSR1, "done", "its OS process exited with code 0", 0),
        (signal.SIGUSR2, "failed", "its OS process exited with code 3", 3),
    ],
)
def test_its_end_is_a_fact_and_a_failure_only_when_it_is_known_to_be_one(
    watching: Watching, start: Started, number: signal.Signals, status: str, words: str, code: int | None
) -> None:
    script = start(LISTEN)
    _, client = watching(f"  web: {{port: {script.said()}}}")
    process = found(client, name="web")
    wait_until(lambda: client.get(process["id"])["memory_bytes"], what="that it is followed")
    script.child.send_signal(number)
    script.child.wait(30)
    process = ended(client, process["id"])
    said = (process["status"], process["summary"] or process["error"], process["exit_code"], process["signal"])
    if KERNEL < (6, 15):
        status, words, code = "done", "its OS process ended; how is not known", None
    assert said == (status, words, code, int(number) if "ended by" in words else None)
    assert process["transitions"][-1]["cause"] == words
    wait_until(lambda: not client.discovered()["matches"], what="nobody")


def test_what_an_exit_means() -> None:
    def status(**known: int) -> Status:
        return unheard(Exit(at=0.0, **known))[0]

    assert unheard(None) == unheard(Exit(at=1.0)) == (Status.DONE, "its OS process ended; how is not known")
    assert [status(code=code) for code in (0, 143, 130, 129, 1, 137)] == [
        *(Status.DONE, Status.CANCELLED, Status.CANCELLED, Status.CANCELLED),
        *(Status.FAILED, Status.FAILED),
    ]
    assert [status(signal=number) for number in (15, 2, 1, 9, 11)] == [
        *(Status.CANCELLED, Status.CANCELLED, Status.CANCELLED),
        *(Status.KILLED, Status.FAILED),
    ]


def test_a_restart_is_a_new_process_of_the_same_name(watching: Watching, start: Started, tmp_path: Path) -> None:
    file = tmp_path / "daemon.pid"
    source = f"open({str(file)!r}, 'w').write(str(os.getpid())); {REST}"
    first = start(source, ready=True)
    _, client = watching(f"  daemon: {{pid_file: {file}, project: p}}")
    one = found(client, name="daemon")
    first.child.terminate()
    first.child.wait(30)
    wait_until(lambda: client.discovered()["stale"], what="a stale pid file")
    answer = client.discovered()
    reason = f"there is no OS process {first.pid}: it ended and left the file behind"
    assert answer["stale"] == [{"rule": "daemon", "pid_file": str(file), "pid": first.pid, "reason": reason}]
    assert answer["rules"][0]["reason"] == reason
    second = start(source, ready=True)
    other = found(client, name="daemon")
    assert other["id"] != one["id"] and other["pid"] == second.pid
    assert client.get(one["id"])["status"] in ("cancelled", "done")
    assert len(client.list(name="daemon", state="all")) == 2


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_after_a_restart_of_the_exporter_it_is_the_same(watching: Watching, start: Started, tmp_path: Path, how: str) -> None:
    (tmp_path / "app").mkdir()
    scripts = [start(f"os.chdir({str(tmp_path / 'app')!r}); {REST}", ready=True) for _ in range(2)]
    exporter, client = watching(f"  app: {{cwd: {tmp_path}/app}}")
    # Of the list of all it is known that they are on the disk: what runs is told from memory, a moment before that.
    wait_until(lambda: len(client.list(name="app", state="all")) == 2, what="both")
    ids = {process["pid"]: process["id"] for process in client.list(name="app")}
    getattr(exporter, how)()
    scripts[0].child.kill()
    scripts[0].child.wait(30)
    exporter.start()
    assert decided(client, scripts[1].pid)["process_id"] == ids[scripts[1].pid]
    next_look(client)
    assert ended(client, ids[scripts[0].pid])["status"] == "done", "what it missed it does not know"
    assert len(client.list(name="app", state="all")) == 2


# ── who is tracked already ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_reported_is_not_tracked_again(watching: Watching, start: Started, tmp_path: Path) -> None:
    script = start("pid = fork(lambda: (os.setsid(), rest())); say(pid); rest()")
    (child,) = script.pids()
    _, client = watching(f"  own: {{pid_file: {tmp_path}/own.pid}}\n  all: {{pid_file: '{tmp_path}/*.pid', children: true}}")
    client.create(id="made", name="by hand", type="pipeline", pid=script.pid)
    (tmp_path / "own.pid").write_text(str(script.pid))
    (tmp_path / "child.pid").write_text(str(child))
    assert decided(client, child)["reason"] == "part of the tree of by hand"
    found_by = [(match["rule"], match["process_id"]) for match in client.discovered()["matches"]]
    assert sorted(found_by) == [("all", "made"), ("all", "made"), ("own", "made")]
    next_look(client)
    assert [process["id"] for process in client.list(state="all")] == ["made"]


def test_what_headway_run_runs_is_not_tracked_again(watching: Watching, tmp_path: Path) -> None:
    work = tmp_path / "work.py"
    work.write_text("import sys; print('ready', flush=True); sys.stdin.read()")
    exporter, client = watching(f"  work: {{command: {work}, children: true}}")
    command = [sys.executable, "-m", "headway", "run", "--no-log-file", "--", sys.executable, str(work)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=exporter.client_env) as run:
        process = found(client, type="task")
        wait_until(lambda: match_of(client, process["pid"])["process_id"] == process["id"], what="what reports it")
        assert decided(client, run.pid)["reason"] == "it is a command of Headway's own"
        next_look(client)
        assert run.stdin is not None
        run.stdin.close()
    assert len(client.list(state="all")) == 1


def test_what_left_the_tree_of_a_run_belongs_to_it_while_that_goes_on(watching: Watching, start: Started, tmp_path: Path) -> None:
    runner = start(REST, ready=True)
    _, client = watching("  daemon: {command: left-it$}")
    client.create(id="the-run", name="deploy", type="task", pid=runner.pid)
    script = start(BECOME, "left-it", ready=True)
    match = decided(client, script.pid, "started by deploy")
    assert match["process_id"] == "the-run"
    client.update("the-run", status="done")
    assert found(client, name="daemon")["pid"] == script.pid


def test_a_rule_may_track_children_as_processes_of_their_own(watching: Watching, start: Started) -> None:
    script = start("a, b = fork(rest), fork(rest); say(a, b); rest()", "a-pool-of-workers")
    workers = set(script.pids())
    _, client = watching("  pool: {command: a-pool-of-workers, children: true, project: p}")
    wait_until(lambda: len(client.list(project="p")) == 3, what="all three")
    by_pid = {process["pid"]: process for process in client.list(project="p")}
    assert set(by_pid) == {script.pid, *workers}
    assert {by_pid[pid]["parent_id"] for pid in workers} == {by_pid[script.pid]["id"]}
    next_look(client)
    assert not [process["conditions"] for process in client.list(project="p") if process["conditions"]], "workers are no duplicates"


def test_one_that_begins_to_report_itself_is_not_two(watching: Watching, start: Started) -> None:
    script = start(REST, "late-reporter", ready=True)
    _, client = watching("  daemon: {command: late-reporter}")
    process = found(client, name="daemon")
    client.create(id="a-task-in-it", name="task", type="task", pid=script.pid)
    next_look(client)
    assert client.get(process["id"])["status"] == "running", "work within a daemon is not the daemon"
    client.create(id="itself", name="Late", type="daemon", pid=script.pid)
    process = ended(client, process["id"])
    assert (process["status"], process["summary"]) == ("done", "it reports itself now, as itself")
    next_look(client)
    assert {p["id"] for p in client.list()} == {"itself", "a-task-in-it"}


def test_one_that_was_ended_in_the_records_only_stays_so(watching: Watching, start: Started) -> None:
    script = start(REST, "ended-on-paper", ready=True)
    _, client = watching("  daemon: {command: ended-on-paper}")
    process = found(client, name="daemon")
    client.update(process["id"], status="done")
    assert decided(client, script.pid, "which is done although it runs")["process_id"] is None
    next_look(client)
    assert len(client.list(name="daemon", state="all")) == 1


def test_one_that_is_killed_through_headway_was_killed_on_request(watching: Watching, start: Started) -> None:
    script = start(REST, "to-be-killed", ready=True)
    _, client = watching("  daemon: {command: to-be-killed}")
    process = found(client, name="daemon")
    report = client.kill(process["id"])
    script.child.wait(30)
    assert report["killed_count"] == 1 and client.get(process["id"])["status"] == "killed"
    wait_gone(script.pid)


# ── who sees it ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_of_a_user_shows_only_theirs(watching: Watching, start: Started, tmp_path: Path) -> None:
    scripts = [start(REST, f"for-{name}", ready=True) for name in ("ann", "bob")]
    exporter, client = watching(
        f"  a: {{command: for-ann, user: ann}}\n  b: {{command: for-bob, user: bob}}\n  c: {{pid_file: {tmp_path}/c.pid}}"
    )
    (tmp_path / "c.pid").write_text("nobody")
    for script in scripts:
        decided(client, script.pid)
    done = headway("key", "create", "--name", "ann", "--role", "viewer", "--user", "ann", "--data-dir", str(exporter.data_dir))
    key = done.stdout.split()[-1]
    with Client(exporter.url, key) as hers:
        answer = hers.discovered()
        assert [match["pid"] for match in answer["matches"]] == [scripts[0].pid]
        assert ([rule["rule"] for rule in answer["rules"]], answer["stale"]) == (["a"], [])
        assert [process["pid"] for process in hers.list()] == [scripts[0].pid]
    with Client(exporter.url) as anyone:
        assert len(anyone.discovered()["matches"]) == 2


def test_the_command_line(watching: Watching, start: Started, start_exporter: Starter, tmp_path: Path) -> None:
    script: Script = start(REST, "seen-in-a-table", ready=True)
    exporter, client = watching(
        f"  daemon: {{command: seen-in-a-table, name: My daemon}}\n  gone: {{pid_file: {tmp_path}/gone.pid}}\n  none: {{port: 1}}"
    )
    (tmp_path / "gone.pid").write_text("4194304")
    process = found(client, name="My daemon")
    next_look(client)
    done = headway("discovered", environ=exporter.client_env)
    assert done.returncode == 0
    matches, rules, stale = done.stdout.split("\n\n")
    assert matches.splitlines()[0].split() == ["RULE", "NAME", "PID", "PROCESS", "WHY", "COMMAND"]
    row = matches.splitlines()[1]
    assert row.startswith("daemon  My daemon  ") and f"{script.pid}  {process['id']}  its command line matches seen" in row
    assert "none  nobody listens on port 1" in rules
    assert f"gone  {tmp_path}/gone.pid  4194304  there is no OS process 4194304" in stale
    answer = json.loads(headway("discovered", "--json", environ=exporter.client_env).stdout)
    assert [match["process_id"] for match in answer["matches"]] == [process["id"]]
    without = start_exporter(data_dir=tmp_path / "none")
    assert headway("discovered", environ=without.client_env).stdout.startswith("there are no rules: ")
    config = headway("config", "--config", str(tmp_path / "headway.yaml")).stdout
    assert re.search(r"^discover\.daemon +command seen-in-a-table +file .*headway\.yaml:4$", config, re.M)


# ── filters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_filters_of_what_was_found_and_of_what_runs_within(watching: Watching, start: Started) -> None:
    script = start("pid = fork(rest); say(pid); rest()", "filtered-daemon")
    (child,) = script.pids()
    exporter, client = watching(
        "  daemon: {command: filtered-daemon, project: shop, task: t1, attempt: a1, agent: g1, group: front, executor: true}"
    )
    daemon = found(client, name="daemon")
    made = {"parent_id": daemon["id"], "type": "task", "pid": child}
    client.create(id="inner", name="inner", project="shop", task="t1", attempt="a2", group="front", **made)
    client.create(id="other", name="other", project="blog", task="t2", attempt="a1", executor=True, type="task")
    both, outer, inner, other = {daemon["id"], "inner"}, {daemon["id"]}, {"inner"}, {"other"}
    for filters, expected in (
        ({"project": "shop"}, both),
        ({"task": "t1"}, both),
        ({"attempt": "a1"}, outer | other),
        ({"attempt": "a2"}, inner),
        ({"group": "front"}, both),
        ({"agent": "g1"}, outer),
        ({"parent": daemon["id"]}, inner),
        ({"executors_only": True}, outer | other),
        ({"executors_only": True, "project": "shop"}, outer),
        ({"project": "shop", "attempt": "a1"}, outer),
        ({"project": "blog", "task": "t1"}, set()),
        ({"type": "daemon"}, outer),
    ):
        for state in ("running", "active", "all"):
            assert {process["id"] for process in client.list(state=state, **filters)} == expected, (filters, state)
        flags = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in filters.items()]
        done = headway("ps", "--json", *flags, environ=exporter.client_env)
        assert {process["id"] for process in json.loads(done.stdout)} == expected, flags
