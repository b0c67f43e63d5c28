"""`headway run --at-most`: of one group so many go at a time, in the order in which they came, whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from calling import Api
from cli import HEADWAY, headway, surroundings
from headway import Client
from headway.reporter.client import ApiError
from headway.supervisor.line import NEW, Place
from osprocesses import Started, wait_gone
from running import RunningExporter, Starter
from waiting import wait_until

NOBODY = "http://127.0.0.1:9"
# Says that it begins, goes on until it may end (or for half a minute), and says so.
WORK = (
    'echo "begin $0" >> said; n=0; while [ ! -e "go-$0" ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n+1)); done; echo "end $0" >> said'
)


class Runs:
    """Runs of commands that end when they are let go, in a folder of their own with lines of its own."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = {**surroundings(), **environ}
        self.started: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, *flags: str, command: str = WORK, at_most: int = 1) -> subprocess.Popen[str]:
        words = [
            HEADWAY,
            "run",
            "--id",
            name,
            "--group",
            "line",
            "--at-most",
            str(at_most),
            *flags,
            "--",
            "sh",
            "-c",
            command,
            name,
        ]
        run = subprocess.Popen(words, env=self.environ, cwd=self.folder, stderr=subprocess.PIPE, text=True)
        self.started[name] = run
        return run

    def waits(self, count: int) -> None:
        """So many stand in line, those that go included."""
        wait_until(lambda: len(self.tickets()) == count, 30, f"{count} tickets")

    def tickets(self) -> list[Path]:
        return sorted((self.folder / "logs" / "queues").glob("*/[0-9]*"))

    def go(self, *names: str) -> None:
        for name in names:
            (self.folder / f"go-{name}").touch()

    def said(self) -> list[str]:
        try:
            return (self.folder / "said").read_text().splitlines()
        except FileNotFoundError:
            return []

    def began(self, name: str) -> None:
        wait_until(lambda: f"begin {name}" in self.said(), 30, f"the beginning of {name}")

    def kill(self, name: str) -> None:
        self.started[name].kill()
        self.started[name].wait(30)

    def end(self) -> None:
        for run in self.started.values():
            with suppress(ProcessLookupError):
                run.kill()
            run.communicate(timeout=30)


@pytest.fixture
def runs(shared_exporter: RunningExporter, tmp_path: Path) -> Iterator[Runs]:
    found = Runs(tmp_path, shared_exporter.environ_of_runs(tmp_path))
    yield found
    found.go(*found.started)
    found.end()


@pytest.fixture
def record(shared_exporter: RunningExporter) -> Callable[[str], dict[str, Any]]:
    """The process of this id as the API shows it; waits until there is one."""
    client = Client(shared_exporter.url, shared_exporter.key)

    def look(process_id: str) -> dict[str, Any] | None:
        try:
            return client.get(process_id)
        except ApiError as error:
            assert error.status == 404
            return None

    return lambda process_id: wait_until(lambda: look(process_id), 30, f"the process {process_id}") or {}


Record = Callable[[str], dict[str, Any]]


def has(record: Record, process_id: str, field: str, value: object) -> None:
    wait_until(lambda: record(process_id)[field] == value, 30, f"{field} {value!r} of {process_id}")


def test_one_at_a_time_in_the_order_in_which_they_came(runs: Runs, record: Record) -> None:
    runs.start("line-a")
    runs.began("line-a")
    runs.start("line-b", "--timeout", "1h")
    has(record, "line-b", "stage", "waits for 1 of line")
    runs.start("line-c")
    has(record, "line-c", "stage", "waits for 2 of line")
    first, waiting = record("line-a"), record("line-b")
    assert (first["status"], first["stage"]) == ("running", None)
    assert (waiting["status"], waiting["started_at"], waiting["elapsed_seconds"]) == ("queued", None, None)
    assert waiting["pid"] == runs.started["line-b"].pid, "nothing of it runs but who waits"
    runs.go("line-a")
    runs.began("line-b")
    has(record, "line-b", "status", "running")
    has(record, "line-b", "stage", None)
    has(record, "line-c", "stage", "waits for 1 of line")
    begun = record("line-b")
    assert begun["started_at"] >= record("line-a")["finished_at"] > begun["created_at"]
    assert begun["last_progress_at"] is None, "to wait is no progress"
    runs.go("line-b", "line-c")
    assert [run.wait(30) for run in runs.started.values()] == [0, 0, 0]
    assert runs.said() == [f"{what} line-{who}" for who in "abc" for what in ("begin", "end")]
    assert [record(f"line-{who}")["status"] for who in "abc"] == ["done", "done", "done"]
    assert record("line-a")["metadata"]["at_most"] == 1, "which is why equal ones of the line are no duplicates"
    assert runs.tickets() == [] and not list((runs.folder / "logs" / "queues").glob("*/")), "nothing is left"


def test_never_more_than_two_with_no_exporter_either(tmp_path: Path) -> None:
    runs = Runs(
        tmp_path, {"HEADWAY_URL": NOBODY, "HEADWAY_LOG_DIR": str(tmp_path / "logs"), "HEADWAY_SPOOL": str(tmp_path / "spool")}
    )
    names = [f"away-{number}" for number in range(5)]
    try:
        for number, name in enumerate(names):
            runs.start(name, at_most=2)
            runs.waits(number + 1)
        runs.began("away-1")
        runs.go(*names)
        assert [run.wait(30) for run in runs.started.values()] == [0] * 5
    finally:
        runs.go(*names)
        runs.end()
    going, most = 0, 0
    for line in runs.said():
        going += 1 if line.startswith("begin") else -1
        most = max(most, going)
    assert most == 2
    begun = [line.split()[1] for line in runs.said() if line.startswith("begin")]
    assert set(begun[:2]) == {"away-0", "away-1"} and sorted(begun) == names


def test_who_is_killed_leaves_the_place(runs: Runs, record: Record) -> None:
    runs.start("dead-a")
    runs.began("dead-a")
    for number, name in enumerate(("dead-b", "dead-c", "dead-d"), 2):
        runs.start(name)
        runs.waits(number)
    has(record, "dead-b", "status", "queued")
    runs.kill("dead-b")  # while it waits
    runs.go("dead-a")
    runs.began("dead-c")
    runs.kill("dead-c")  # while its command runs
    runs.began("dead-d")
    runs.go("dead-b", "dead-c", "dead-d")
    assert runs.started["dead-d"].wait(30) == 0
    assert "begin dead-b" not in runs.said()
    has(record, "dead-b", "status", "orphaned")


def test_who_is_ended_while_it_waits_never_runs(runs: Runs, record: Record) -> None:
    runs.start("end-a")
    runs.began("end-a")
    for name in ("end-cancel", "end-int", "end-term"):
        runs.start(name)
        has(record, name, "status", "queued")
    refused = headway("kill", "--yes", "end-cancel", environ=runs.environ)
    assert refused.returncode == 1 and "use cancel" in refused.stderr
    assert headway("cancel", "end-cancel", environ=runs.environ).returncode == 0
    runs.started["end-int"].send_signal(signal.SIGINT)
    runs.started["end-term"].send_signal(signal.SIGTERM)
    codes = [runs.started[name].wait(30) for name in ("end-cancel", "end-int", "end-term")]
    assert codes == [128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM]
    for name, how in (("end-cancel", "on request"), ("end-int", "by SIGINT"), ("end-term", "by SIGTERM")):
        has(record, name, "status", "cancelled")
        found = record(name)
        assert (found["error"], found["started_at"]) == (f"ended {how} while it was queued: nothing of it was run", None)
    assert runs.said() == ["begin end-a"] and len(runs.tickets()) == 1


def test_what_waited_is_watched_and_can_be_killed(runs: Runs, record: Record) -> None:
    runs.start("watch-a")
    runs.began("watch-a")
    run = runs.start("watch-b", command="echo $$ > pid; exec sleep 60")
    has(record, "watch-b", "status", "queued")
    runs.go("watch-a")
    pid = int(wait_until(lambda: (runs.folder / "pid").exists() and (runs.folder / "pid").read_text(), 30, "its pid"))
    has(record, "watch-b", "pid", pid)
    found = wait_until(lambda: (one := record("watch-b"))["memory_bytes"] and one, 30, "its memory")
    assert found["memory_bytes"] < 8 * 2**20, "that of sleep, not of the interpreter that waited"
    assert headway("kill", "--yes", "watch-b", environ=runs.environ).returncode == 0
    wait_gone(pid)
    assert run.wait(30) == 128 + signal.SIGTERM
    assert record("watch-b")["status"] == "killed"


def test_the_place_is_kept_until_the_last_try(runs: Runs) -> None:
    runs.start("try-a", "--retry", "1", command='echo "begin $0" >> said; exit 3')
    runs.began("try-a")
    runs.start("try-b")
    runs.go("try-b")
    assert (runs.started["try-a"].wait(30), runs.started["try-b"].wait(30)) == (3, 0)
    assert runs.said() == ["begin try-a", "begin try-a", "begin try-b", "end try-b"]


def test_what_the_exporter_starts_waits_too(shared_exporter: RunningExporter, tmp_path: Path, record: Record) -> None:
    client = Client(shared_exporter.url, shared_exporter.key)
    go = tmp_path / "go"
    command = f"while [ ! -e {go} ]; do sleep 0.05; done"
    try:
        first = client.track(command, group="tracked line", at_most=1)
        second = client.track("true", group="tracked line", at_most=1)
        assert (first["status"], second["status"], second["stage"]) == ("running", "queued", "waits for 1 of tracked line")
    finally:
        go.touch()
    has(record, second["id"], "status", "done")
    with pytest.raises(ApiError, match="at_most: needs a group"):
        client.track("true", at_most=1)


def test_the_os_process_of_what_waited_is_told_when_it_begins(start_exporter: Starter, start: Started) -> None:
    exporter = start_exporter("--sample-interval", "0.2")
    api, work = Api(exporter, exporter.key), start("rest()").process
    api.create(id="w", status="queued", pid=os.getpid())
    for body, field, fix in (
        ({"pid": work.pid}, "pid", "send it together with the status running"),
        ({"status": "running", "create_time": 5}, "create_time", "belongs to a pid"),
        ({"status": "cancelled", "pid_namespace": 7}, "pid_namespace", "send it together with the status running"),
    ):
        status, problem = api.request("PATCH", "/api/processes/w", body)
        assert (status, problem["field"]) == (422, field) and fix in problem["detail"], problem
    assert api.get("w")["status"] == "queued"
    _, begun = api.request("PATCH", "/api/processes/w", {"status": "running", "pid": work.pid})
    assert "warnings" not in begun
    assert (begun["data"]["pid"], begun["data"]["create_time"]) == (work.pid, pytest.approx(work.create_time, abs=0.02))
    status, again = api.request("PATCH", "/api/processes/w", {"status": "running", "pid": work.pid})
    assert status == 422 and "this one is running: leave it away" in again["detail"]
    wait_until(lambda: api.get("w")["memory_bytes"], 30, "its memory")
    api.create(id="none", status="queued")
    _, unwatched = api.request("PATCH", "/api/processes/none", {"status": "running", "pid": 4_194_304})
    assert "no OS process of this host has it" in unwatched["warnings"][0]
    exporter.kill()
    exporter.start()
    found = api.get("w")
    assert (found["status"], found["pid"]) == ("running", work.pid)
    os.kill(work.pid, signal.SIGKILL)
    start.scripts[0].child.wait(30)
    wait_until(lambda: api.get("w")["status"] == "orphaned", 30, "its end")


def test_what_cannot_be_is_said() -> None:
    done = headway("run", "--at-most", "2", "--", "true", HEADWAY_URL=NOBODY)
    assert done.returncode == 2 and "--at-most needs --group" in done.stderr
    done = headway("run", "--group", "g", "--at-most", "0", "--", "true", HEADWAY_URL=NOBODY)
    assert done.returncode == 2 and "'0' is not a whole number from 1" in done.stderr
    done = headway(
        "run", "--group", "g", "--at-most", "1", "--", "echo", "ran", HEADWAY_URL=NOBODY, HEADWAY_LOG_DIR="/dev/null/logs"
    )
    assert done.returncode == 1 and "HEADWAY_LOG_DIR" in done.stderr and done.stdout == "", "not one too many"


# ── one place ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_counts_by_its_own_number(tmp_path: Path) -> None:
    places = [Place("g", at_most, tmp_path) for at_most in (1, 1, 2, 2, 9)]
    other = Place("another", 1, tmp_path)
    assert [place.before() for place in places] == [0, 1, 1, 2, 0] and other.before() == 0
    places[0].leave()
    assert [place.before() for place in places[1:]] == [0, 0, 1, 0]
    for place in (*places[1:], other):
        place.leave()
    assert [path.name for path in tmp_path.iterdir()] == ["door"]


def test_a_clock_that_goes_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Place("g", 1, tmp_path)
    monkeypatch.setattr(time, "time_ns", lambda: 1_000)
    second = Place("g", 1, tmp_path)
    assert (first.before(), second.before()) == (0, 1)


def test_what_a_crash_leaves_is_in_nobodys_way(tmp_path: Path) -> None:
    first = Place("g", 1, tmp_path)
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    (folder / NEW).touch()  # killed before it had its place
    (folder / f"{1:020d}-1").touch()  # killed later
    second = Place("g", 1, tmp_path)
    assert (first.before(), second.before()) == (0, 1)
    assert not (folder / f"{1:020d}-1").exists()
    first.leave()
    assert second.before() == 0


def test_a_folder_that_rests_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Place("g", 1, tmp_path), Place("g", 1, tmp_path)
    folder = next(path for path in tmp_path.iterdir() if path.is_dir())
    os.utime(folder, (1, 1))
    assert second.before() == 1
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail("it was listed"))
    assert second.before() == 1
    monkeypatch.undo()
    first.leave()
    assert second.before() == 0


def test_a_text_of_any_kind_names_a_group(tmp_path: Path) -> None:
    for group in ("../../etc", "a/b", "ü" * 256, "\udcff", "."):
        place = Place(group, 1, tmp_path)
        assert place.before() == 0
        place.leave()
    assert oct((tmp_path / "door").stat().st_mode & 0o777) == "0o600"


CROWD = """
import os, random, sys, time
from pathlib import Path
from headway.supervisor.line import Place
root, said = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
children = []
for number in range(40):
    children.append(os.fork())
    if not children[-1]:
        place = Place("g", 2, root)
        while place.before():
            time.sleep(0.002 + random.random() / 500)
        if number % 7:  # else it is killed in its place
            os.write(said, b"begin\\n")
            time.sleep(random.random() / 100)
            os.write(said, b"end\\n")
            place.leave()
        os.kill(os.getpid(), 9)
for child in children:
    os.waitpid(child, 0)
"""


def test_of_a_crowd_that_comes_at_once_two_go_at_a_time(tmp_path: Path) -> None:
    said = tmp_path / "said"
    subprocess.run([sys.executable, "-c", CROWD, str(tmp_path / "queues"), str(said)], check=True, timeout=60)
    going = list(accumulate(1 if line == "begin" else -1 for line in said.read_text().splitlines()))
    assert (len(going), going[-1], max(going)) == (2 * 34, 0, 2)
