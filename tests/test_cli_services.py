"""`headway up`, `down`, `restart`, `status`, `logs` and `ensure` against real services of a real exporter."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from calling import make_key
from cli import HEADWAY, headway, on_terminal, surroundings
from headway import Client
from headway.cli.exits import Exit
from headway.cli.services import remark
from headway.cli.text import clean
from headway.reporter.client import Unreachable
from headway.reporter.steady import Steady
from serving import Serve, Serving, free_port
from serving import server as autostarted
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="services are ended by /proc after the test")
Said = subprocess.CompletedProcess[str]
SLEEP = {"command": "exec sleep 1000", "autostart": False}
BROKEN = {"command": "echo 'OSError: no space' >&2; exit 4", "autostart": False, "restart": "never"}


def server(port: int, **more: Any) -> dict[str, Any]:
    return autostarted(port, autostart=False, **more)


def said(serving: Serving, *args: str, key: str | None = None) -> Said:
    environ = serving.exporter.client_env | ({} if key is None else {"HEADWAY_KEY": key})
    return headway(*args, environ=environ, timeout=60)


def statuses(serving: Serving) -> dict[str, str]:
    return {one["name"]: one["status"] for one in serving.call("GET", "/status")}


# ── up ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_up_starts_what_is_named_with_what_it_needs(serve: Serve) -> None:
    one, two = free_port(), free_port()
    serving = serve({"web": server(one, depends_on=["db"], group="site"), "db": server(two), "other": SLEEP})
    done = said(serving, "up", "web")
    pids = {name: serving.status(name)["pid"] for name in ("db", "web")}
    assert (done.returncode, done.stdout.splitlines()) == (
        Exit.OK,
        [f"db runs (pid {pids['db']}, port {two})", f"web runs (pid {pids['web']}, port {one})"],
    )
    waits = [line for line in done.stderr.splitlines() if line.startswith("headway: waiting for db, which is starting")]
    assert waits and len(set(done.stderr.splitlines())) == len(done.stderr.splitlines()), "each is said once"
    assert statuses(serving)["other"] == "stopped"
    again = said(serving, "up", "--group", "site", "--json")
    assert again.returncode == 0 and again.stderr == ""
    assert {found["name"]: found["pid"] for found in json.loads(again.stdout)} == pids, "what runs stays as it is"


def test_up_of_all_waits_for_schedules_and_says_what_failed(serve: Serve) -> None:
    serving = serve(
        {"sleeper": SLEEP, "broken": BROKEN, "nightly": {"command": "true", "schedule": "0 3 * * *", "autostart": False}}
    )
    done = said(serving, "up")
    assert done.returncode == Exit.FAILED
    words = ["headway: broken: in error: OSError: no space (exit code 4)", "headway: 2 of 3 run, not broken"]
    assert done.stderr.splitlines()[-2:] == words
    sleeper, timed = sorted(done.stdout.splitlines(), reverse=True)
    assert sleeper.startswith("sleeper runs (pid ") and timed.startswith("nightly runs by its schedule, next in ")
    assert serving.status("nightly")["schedule"]["last_run"] is None
    assert said(serving, "up", "nightly").returncode == 0
    assert serving.status("nightly")["schedule"]["last_run"] is not None, "one that is named runs at once"


def test_up_of_a_schedule_whose_run_fails(serve: Serve) -> None:
    serving = serve({"nightly": {"command": "echo broken; exit 3", "schedule": "0 3 * * *"}})
    named = said(serving, "up", "nightly")
    assert named.returncode == Exit.FAILED
    assert named.stderr.splitlines()[-1] == "headway: nightly: stopped: exit code 3: broken"
    assert said(serving, "up").returncode == 0, "it waits for its time"


def test_up_says_what_is_not_ready_when_the_wait_is_over(serve: Serve) -> None:
    serving = serve({"slow": {**SLEEP, "health": {"command": ["test", "-e", "ready"]}}})
    done = said(serving, "up", "slow", "--wait", "5s")
    assert done.returncode == Exit.FAILED
    assert done.stderr.splitlines()[-1] == "headway: slow: not ready within 5s: starting: its check test -e ready ended with 1"
    assert statuses(serving) == {"slow": "starting"}, "and goes on"
    assert said(serving, "up", "slow", "--wait", "0").returncode == 0


def test_a_wait_of_nothing_is_answered_while_it_starts(serve: Serve) -> None:
    serving = serve({"slow": {**SLEEP, "health": {"command": ["test", "-e", "ready"]}}, "broken": BROKEN})
    with Client(serving.exporter.url, serving.exporter.key) as client:
        (slow,) = client.start_all(["slow"], wait=0)
        assert (slow["status"], slow["settled"]) == ("starting", False)
        serving.call("POST", "/start", {"name": "broken"}, 409)
        assert client.start("broken", wait=0)["status"] == "starting", "not in the error of the time before"


# ── down, restart ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_down(serve: Serve) -> None:
    serving = serve({"web": {**SLEEP, "depends_on": ["db"], "group": "site"}, "db": {**SLEEP, "group": "site"}, "other": SLEEP})
    said(serving, "up")
    done = said(serving, "down", "db")
    assert (done.returncode, done.stdout) == (0, "stopped db\n")
    assert done.stderr == "headway: web runs on without db\n"
    assert said(serving, "down", "db").stdout == "db was not running\n"
    refused = said(serving, "down", "--group", "site")
    assert refused.returncode == Exit.USAGE and "--yes" in refused.stderr and statuses(serving)["web"] == "running"
    assert said(serving, "down", "--group", "site", "--yes").stdout == "stopped web\n"
    assert said(serving, "down").returncode == Exit.USAGE
    assert said(serving, "down", "-y").stdout == "stopped other\n"
    assert said(serving, "down").stdout == "nothing to end\n"
    assert set(statuses(serving).values()) == {"stopped"}


@pytest.mark.parametrize(("answer", "code", "status"), [("n", Exit.FAILED, "running"), ("y", Exit.OK, "stopped")])
def test_the_question_on_a_terminal(serve: Serve, answer: str, code: Exit, status: str) -> None:
    serving = serve({"one": SLEEP, "idle": SLEEP})
    said(serving, "up", "one")
    with on_terminal("down", environ=serving.exporter.client_env) as command:
        wait_until(lambda: "end this one? [y/N]" in command.text, 30, "the question")
        assert "one" in command.text and "idle" not in command.text
        command.type(answer + "\n")
        assert command.child.wait(30) == code
    assert statuses(serving) == {"one": status, "idle": "stopped"}


def test_restart(serve: Serve) -> None:
    serving = serve({"one": SLEEP, "two": SLEEP, "broken": BROKEN})
    said(serving, "up", "one", "two")
    before = {name: serving.status(name)["pid"] for name in ("one", "two")}
    done = said(serving, "restart", "two", "broken")
    after = {name: serving.status(name)["pid"] for name in ("one", "two")}
    assert done.returncode == Exit.FAILED and done.stdout == f"two runs (pid {after['two']})\n"
    assert "headway: broken: in error: OSError: no space (exit code 4)" in done.stderr
    assert after["one"] == before["one"] and after["two"] != before["two"]
    assert said(serving, "restart", "one").returncode == 0
    assert headway("restart", environ=serving.exporter.client_env).returncode == Exit.USAGE


# ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_status_and_its_exit_code(serve: Serve) -> None:
    port = free_port()
    serving = serve(
        {
            "web": server(port, group="site"),
            "broken": BROKEN,
            "nightly": {"command": "true", "schedule": "0 3 * * *"},
        }
    )
    assert said(serving, "status").returncode == 0, "nothing that is to run does not"
    assert said(serving, "status", "nightly").returncode == 0
    assert said(serving, "status", "web").returncode == Exit.FAILED, "one that is named is to run"
    said(serving, "up", "web", "broken")
    done = said(serving, "status")
    head, *rows = done.stdout.splitlines()
    found = {row.split()[0]: row.split() for row in rows}
    assert done.returncode == Exit.FAILED
    assert head.split() == ["NAME", "STATUS", "PID", "PORT", "UPTIME", "CPU", "MEM", "RESTARTS", "NEXT", "REASON"]
    assert found["web"][1:5] == ["running", str(serving.status("web")["pid"]), str(port), "open"]
    assert " ".join(found["broken"]) == "broken error - - - - - 0 - OSError: no space (exit code 4)"
    assert found["nightly"][1:4] == ["stopped", "-", "-"] and "in" in found["nightly"]
    site = said(serving, "status", "--group", "site", "--json")
    assert site.returncode == 0 and [one["name"] for one in json.loads(site.stdout)] == ["web"]
    said(serving, "down", "broken")
    assert said(serving, "status").returncode == 0, "stopped by somebody"


def test_status_on_a_terminal(serve: Serve) -> None:
    port = free_port()
    serving = serve({"web": server(port), "broken": BROKEN})
    said(serving, "up")
    for width in (140, 40):
        with on_terminal("status", environ=serving.exporter.client_env, width=width) as command:
            assert command.child.wait(30) == Exit.FAILED
        lines = [clean(line).rstrip() for line in command.text.splitlines()]
        assert any(line.startswith("●  web ") and f"{port} open" in line for line in lines), lines
        assert any(line.startswith("✗  broken ") for line in lines)
        assert "broken: OSError: no space (exit code 4)" in " ".join(lines), "in full, however narrow"
        assert max(map(len, lines)) <= width
    with on_terminal("status", "--watch", environ=serving.exporter.client_env) as command:
        wait_until(lambda: "1 of 2 running, 1 not as wanted" in command.text, 30, "the first table")
        serving.call("POST", "/stop", {"name": "web"})
        wait_until(lambda: "0 of 2 running" in command.text, 30, "the next table")
        os.kill(command.child.pid, signal.SIGINT)
        assert command.child.wait(30) == Exit.INTERRUPTED


# ── logs ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_logs_over_all_starts(serve: Serve) -> None:
    serving = serve({"web": server(free_port())})
    empty = said(serving, "logs", "web")
    assert (empty.returncode, empty.stdout) == (0, "") and "has written nothing yet" in empty.stderr
    said(serving, "up", "web")
    said(serving, "restart", "web")
    assert said(serving, "logs", "web").stdout.splitlines() == ["listening", "asked to end", "listening"]
    for flag in ("--lines", "--tail"):
        assert said(serving, "logs", "web", flag, "2").stdout.splitlines() == ["asked to end", "listening"]
    with on_terminal("logs", "web", "--follow", "--lines", "1", environ=serving.exporter.client_env) as command:
        wait_until(lambda: command.text.split() == ["listening"], 30, "the last line")
        said(serving, "restart", "web")
        wait_until(lambda: command.text.splitlines() == ["listening", "asked to end", "listening"], 30, "the next start")
        os.kill(command.child.pid, signal.SIGINT)
        assert command.child.wait(30) == Exit.INTERRUPTED


def test_logs_are_followed_from_before_the_first_line_over_small_files(serve: Serve) -> None:
    """No line is lost, doubled or out of order, however often the file is moved on."""
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; exec sleep 1000"
    serving = serve({"talker": {"command": script, "autostart": False, "log": {"rotate_at": 4096, "keep": 20}}})
    received: list[str] = []

    def follow() -> None:
        with Client(serving.exporter.url, serving.exporter.key) as other, contextlib.suppress(Unreachable):
            for line in other.follow_logs("talker", lines=10_000):
                received.append(line)

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    serving.call("POST", "/start", {"name": "talker"})
    wait_until(lambda: len(received) >= 3000, 30, "all lines")
    assert received == [f"line {number}" for number in range(1, 3001)]
    serving.exporter.stop()
    reader.join(30)
    assert not reader.is_alive(), "it ends with the exporter"


# ── ensure ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ensure_starts_what_is_missing_and_check_only_looks(serve: Serve) -> None:
    port = free_port()
    serving = serve({"web": {**SLEEP, "depends_on": ["db"]}, "db": server(port), "other": SLEEP})
    looked = said(serving, "ensure", "web", "--check")
    assert (looked.returncode, looked.stdout) == (Exit.FAILED, "")
    assert looked.stderr.splitlines() == ["headway: db: stopped", "headway: web: stopped", "headway: 0 of 2 run, not db, web"]
    assert set(statuses(serving).values()) == {"stopped"}
    done = said(serving, "ensure", "web")
    assert done.returncode == 0 and [line.split()[0] for line in done.stdout.splitlines()] == ["db", "web"]
    assert "headway: waiting for db, which is starting" in done.stderr and statuses(serving)["other"] == "stopped"
    pids = {name: serving.status(name)["pid"] for name in ("db", "web")}
    viewer = make_key(serving.exporter, "viewer")
    for flags in ([], ["--check"]):
        again = said(serving, "ensure", "web", *flags, key=viewer)
        assert (again.returncode, again.stderr) == (0, ""), "looking is enough when all run"
    said(serving, "down", "db")
    refused = said(serving, "ensure", "web", key=viewer)
    assert refused.returncode == Exit.REFUSED and "operator" in refused.stderr
    assert said(serving, "ensure", "web").returncode == 0
    assert serving.status("web")["pid"] == pids["web"] and serving.status("db")["pid"] != pids["db"]


def test_ensure_waits_through_new_starts(serve: Serve) -> None:
    port = free_port()
    command = f"echo >> tried; [ $(wc -l < tried) -ge 3 ] || {{ echo not yet; exit 7; }}; exec {sys.executable} server.py {port}"
    serving = serve({"flaky": {"command": command, "port": port, "autostart": False, "restart": {"backoff": "0.1s"}}})
    done = said(serving, "ensure", "flaky")
    assert done.returncode == 0 and statuses(serving) == {"flaky": "running"}, done.stderr
    # Which of the two failed tries the look meets is a matter of the machine's speed; that it waited through one of them is not.
    waits = r"waiting for flaky, which is in error: exit code 7: not yet; started again in (0.1 s \(1|0.2 s \(2) of 5 tries\)"
    assert re.search(waits, done.stderr), done.stderr


def test_ensure_ends_when_one_was_given_up_with_the_reason_of_each(serve: Serve) -> None:
    hopeless = {"command": "echo 'no licence' >&2; exit 9", "autostart": False, "restart": {"backoff": "0.1s", "tries": 2}}
    serving = serve({"hopeless": hopeless, "above": {**SLEEP, "depends_on": ["hopeless"], "restart": "never"}, "good": SLEEP})
    done = said(serving, "ensure", "above", "good")
    assert done.returncode == Exit.FAILED and done.stdout.startswith("good runs (pid ")
    why = "in error: given up after 2 failures in a row: exit code 9: no licence"
    assert {line for line in done.stderr.splitlines() if "waiting for" not in line} == {
        f"headway: hopeless: {why}",
        f"headway: above: in error: it needs hopeless, which is {why}",
        "headway: 1 of 3 runs, not hopeless, above",
    }
    assert done.stderr.endswith("not hopeless, above\n")
    checked = said(serving, "ensure", "hopeless", "--check")
    assert checked.returncode == Exit.FAILED and "no licence" in checked.stderr


def test_ensure_does_not_take_one_for_running_that_ends_at_once(serve: Serve) -> None:
    serving = serve({"brief": {"command": "sleep 0.1; exit 5", "autostart": False, "restart": "never"}})
    done = said(serving, "ensure", "brief")
    assert (done.returncode, done.stdout) == (Exit.FAILED, "") and "brief: in error: " in done.stderr


def test_one_that_fails_again_and_again_is_not_said_to_run(serve: Serve) -> None:
    """Without a port or a health check it looks as if it ran, for longer than a second each time."""
    flapping = {"command": "sleep 2; exit 5", "autostart": False, "restart": {"backoff": "0.1s", "tries": 3}}
    serving = serve({"flapping": flapping})
    assert said(serving, "up", "flapping", "--wait", "0").returncode == 0
    wait_until(lambda: serving.status("flapping")["failures"] >= 1, 30, "its first failure")
    done = said(serving, "ensure", "flapping", "--wait", "30s")
    assert (done.returncode, done.stdout) == (Exit.FAILED, "")
    assert "headway: flapping: in error: given up after 3 failures in a row" in done.stderr, done.stderr


def test_a_start_by_hand_counts_anew_in_all_that_is_said(serve: Serve) -> None:
    """After "1 of 2 tries" there has been one failure in a row, whatever was before the start."""
    # What never failed runs after a second: so the first two end at once, and those that are waited for as failures live for one.
    command = "test -e twice && sleep 1; test -e once && touch twice; touch once; exit 5"
    brief = {"command": command, "autostart": False, "restart": {"backoff": "0.1s", "tries": 2}}
    serving = serve({"brief": brief, "good": SLEEP, "never": {**brief, "command": "exit 5", "restart": {"tries": 1}}})
    assert said(serving, "up", "brief", "--wait", "30s").returncode == Exit.FAILED
    done = said(serving, "ensure", "brief", "good", "never", "--wait", "30s")
    assert done.returncode == Exit.FAILED and "after 2 failures in a row, but" not in done.stderr
    assert "waiting for brief, which runs, but not for long yet: before this start it had failed 2 times in a row" in done.stderr
    assert "waiting for brief, which runs, after a failure, but not for long yet" in done.stderr
    assert "never: in error: given up after 1 failure: ended with exit code 5" in done.stderr
    assert done.stderr.endswith("\nheadway: 1 of 3 runs, not brief, never\n")
    looked = said(serving, "ensure", "brief", "good", "--check")
    assert looked.returncode == Exit.FAILED and looked.stderr.endswith("\nheadway: 1 of 2 runs, not brief\n")


@pytest.mark.parametrize(("missed", "words"), [(0, ""), (1, "1 run was missed"), (3, "3 runs were missed")])
def test_missed_runs_are_counted_in_words(missed: int, words: str) -> None:
    one = {"reason": None, "outdated": False, "schedule": {"last_status": None, "missed": missed}}
    assert remark(one) == words


def test_what_has_failed_needs_to_run_for_longer_but_no_longer_than_is_waited() -> None:
    def after(failures: int, uptime: float | None, wait: float = 90.0, **more: Any) -> bool:
        one = {"name": "one", "port": None, "health": None, "failures": failures, "uptime_seconds": uptime, **more}
        return Steady(wait)(one)

    assert after(0, 1.0) and not after(0, 0.9) and not after(0, None)
    assert not after(1, 9.9) and after(1, 10.0) and not after(3, 29.0) and after(3, 30.0) and after(50, 60.0)
    assert after(3, 5.0, wait=5.0) and not after(3, 4.0, wait=5.0)
    assert after(3, 0.0, port=80) and after(3, 0.0, health="ok")
    seen = {"name": "one", "port": None, "health": None, "failures": 2, "uptime_seconds": None}
    assert not Steady(90, [seen])(seen | {"failures": 0, "uptime_seconds": 9.0}), "a start by hand counts anew, and we do not"


def test_ensure_leaves_schedules_to_their_time(serve: Serve) -> None:
    serving = serve({"nightly": {"command": "true", "schedule": "0 3 * * *"}})
    assert said(serving, "ensure", "nightly").returncode == 0
    assert serving.status("nightly")["schedule"]["last_run"] is None
    said(serving, "down", "nightly")
    done = said(serving, "ensure", "nightly")
    assert (done.returncode, done.stderr) == (Exit.FAILED, "headway: nightly: stopped\n")


def test_ensure_is_ended_by_ctrl_c_and_leaves_the_service_starting(serve: Serve, tmp_path: Path) -> None:
    serving = serve({"slow": {**SLEEP, "health": {"command": ["test", "-e", "ready"]}}})
    with on_terminal("ensure", "slow", environ=serving.exporter.client_env) as command:
        wait_until(
            lambda: "waiting for slow, which is starting: its check test -e ready ended with 1" in command.text, 30, "the waiting"
        )
        os.kill(command.child.pid, signal.SIGINT)
        assert command.child.wait(30) == Exit.INTERRUPTED
    assert "Traceback" not in command.text and statuses(serving) == {"slow": "starting"}
    (tmp_path / "ready").touch()
    serving.until("slow", "running")


def test_ensure_goes_on_over_a_restart_of_the_exporter(serve: Serve, tmp_path: Path) -> None:
    serving = serve({"slow": {**SLEEP, "health": {"command": ["test", "-e", "ready"]}}})
    env = {**surroundings(), **serving.exporter.client_env}
    errors = tmp_path / "errors"
    with errors.open("w") as file, subprocess.Popen([HEADWAY, "ensure", "slow"], env=env, stderr=file, stdout=file) as child:
        wait_until(lambda: "which is starting" in errors.read_text(), 30, "the waiting")
        serving.exporter.stop()
        wait_until(lambda: "waiting for the exporter" in errors.read_text(), 30, "its absence to be noticed")
        (tmp_path / "ready").touch()
        serving.exporter.start()
        assert child.wait(30) == 0, errors.read_text()


# ── mistakes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_mistakes_say_what_is_meant(serve: Serve) -> None:
    serving = serve({"web": {**SLEEP, "group": "site"}, "db": SLEEP})
    for words in (["up", "wep"], ["down", "wep"], ["restart", "wep"], ["status", "wep"], ["ensure", "db", "wep"], ["logs", "wep"]):
        done = said(serving, *words)
        assert (done.returncode, done.stdout) == (Exit.NOT_FOUND, "")
        assert done.stderr == "headway: there is no service wep: did you mean web?\n"
    both = said(serving, "ensure", "wep", "db", "dbb")
    assert both.returncode == Exit.NOT_FOUND and "wep: did you mean web?" in both.stderr and "dbb: did you mean db?" in both.stderr
    assert said(serving, "up", "zzz").stderr.strip().endswith("there is no service zzz: there are web, db")
    for verb in ("up", "down", "status"):
        assert said(serving, verb, "--group", "sit").stderr == "headway: there is no group sit: did you mean site?\n"
        assert said(serving, verb, "web", "--group", "site").returncode == Exit.USAGE
    viewer = make_key(serving.exporter, "viewer")
    for words in (["up"], ["down", "web"], ["restart", "web"], ["ensure", "web"]):
        refused = said(serving, *words, key=viewer)
        assert refused.returncode == Exit.REFUSED and "needs the role operator" in refused.stderr, words
    assert set(statuses(serving).values()) == {"stopped"}
    assert said(serving, "status", key=viewer).returncode == 0


def test_without_services_it_is_said_how_to_configure_one(serve: Serve) -> None:
    serving = serve({})
    for words in (["up"], ["down"], ["restart", "x"], ["status"], ["ensure", "x"], ["logs", "x"]):
        done = said(serving, *words)
        assert done.returncode == Exit.NOT_FOUND and "docs/services.md" in done.stderr, words
    gone = headway("status", "--url", "http://127.0.0.1:9")
    assert gone.returncode == Exit.UNREACHABLE
