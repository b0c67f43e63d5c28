"""Scripts that end without a word, and words that arrive late: real scripts, a real exporter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from calling import Api
from cli import headway
from headway.sampler.base import identify
from headway.sampler.exits import exit_of_zombie
from running import RunningExporter, Starter
from waiting import wait_until

SILENT = """
import os, signal, sys, time
from headway import Reporter
reporter = Reporter("dies", type="pipeline", total=10, id=sys.argv[1])
reporter.update(3, "three")
print("working", flush=True)
time.sleep(60)
"""


def start_script(source: str, exporter: RunningExporter, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source, *args], env=exporter.client_env, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def has_progress(api: Api, process_id: str) -> bool:
    status, body = api.request("GET", f"/api/processes/{process_id}")
    return status == 200 and body["data"]["progress"]["current"] is not None


def reported(exporter: RunningExporter, process_id: str) -> None:
    """Waits for its first progress, and until what an exporter that is killed must know of it is on the disk."""
    api = Api(exporter)
    wait_until(lambda: has_progress(api, process_id), what="its first progress")
    api.list("state=all")  # answered after everything before it was written


def test_a_killed_script_becomes_orphaned_not_running(exporter: RunningExporter) -> None:
    api = Api(exporter)
    script = start_script(SILENT, exporter, "killed")
    wait_until(lambda: has_progress(api, "killed"), what="its first progress")
    wait_until(lambda: api.get("killed")["memory_bytes"], what="a sample of it")
    script.send_signal(signal.SIGKILL)
    script.wait()
    wait_until(lambda: api.get("killed")["status"] == "orphaned", timeout=30, what="its orphaning")
    process = api.get("killed")
    assert "gone" in process["error"] and process["finished_at"] is not None
    assert process["progress"]["current"] == 3 and process["log_tail"] == ["three"]


def test_a_script_that_died_while_the_exporter_was_away_is_orphaned_at_its_start(exporter: RunningExporter) -> None:
    script = start_script(SILENT, exporter, "died-meanwhile")
    reported(exporter, "died-meanwhile")
    exporter.kill()
    script.kill()
    script.wait()
    exporter.start()
    wait_until(lambda: Api(exporter).get("died-meanwhile")["status"] == "orphaned", timeout=30, what="its orphaning")


def test_a_script_that_lives_on_is_taken_over_after_a_restart(exporter: RunningExporter) -> None:
    script = start_script(SILENT, exporter, "survivor")
    try:
        reported(exporter, "survivor")
        exporter.kill()
        exporter.start()
        process = wait_until(lambda: Api(exporter).get("survivor"), what="the record")
        assert process["status"] == "running"
        wait_until(lambda: Api(exporter).get("survivor")["memory_bytes"], what="a sample of it")
    finally:
        script.kill()
        script.wait()


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_the_last_words_of_a_script_wait_in_the_spool(start_exporter: Starter, tmp_path: Path, outcome: str) -> None:
    exporter = start_exporter("--sample-interval", "0.2", HEADWAY_SPOOL=str(tmp_path / "spool"))
    exporter.stop()
    ending = "reporter.done('said late')" if outcome == "done" else "reporter.fail('broke late')"
    source = f"from headway import Reporter\nreporter = Reporter('late', total=3, id='late')\nreporter.update(3)\n{ending}\n"
    environ = exporter.client_env | {"HEADWAY_SPOOL": str(tmp_path / "spool")}
    done = subprocess.run([sys.executable, "-c", source], env=environ, timeout=30, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "spool").glob("*.ready"))) == 1
    exporter.start()
    api = Api(exporter)
    wait_until(lambda: api.request("GET", "/api/processes/late")[0] == 200, timeout=30, what="the late event")
    wait_until(lambda: list((tmp_path / "spool").iterdir()) == [], timeout=30, what="the spool is empty again")
    process = api.get("late")
    assert process["status"] == outcome
    assert (process["summary"] or process["error"]).endswith("late") and process["progress"]["current"] == 3


def test_a_pid_that_was_given_to_another_process_is_not_believed(exporter: RunningExporter) -> None:
    """PID reuse: the pid lives, but it is not the process that was reported."""
    api = Api(exporter)
    api.create(id="reused", pid=os.getpid(), create_time=1_700_000_000)
    wait_until(lambda: api.get("reused")["status"] == "orphaned", timeout=30, what="its orphaning")
    assert api.get("reused")["memory_bytes"] is None


def test_a_reporter_that_was_given_up_and_speaks_again_by_a_batch_is_running(exporter: RunningExporter) -> None:
    api = Api(exporter)
    for one in ("silent", "other"):
        api.request(
            "POST", "/api/processes", json={"name": one, "type": "task", "id": one, "lease": "1s", "progress": {"total": 9}}
        )
    wait_until(lambda: api.get("silent")["status"] == "orphaned", timeout=30, what="its orphaning")
    items = [{"id": one, "progress": {"current": 3}} for one in ("silent", "other")]
    results = api.request("POST", "/api/processes/batch", json={"items": items})[1]["data"]
    assert [result["status"] for result in results] == [200, 200]
    found = api.get("silent")
    assert (found["status"], found["progress"]["current"], found["error"], found["finished_at"]) == ("running", 3, None, None)


def gone_pid() -> int:
    """A pid that no OS process has, for a while."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_a_pid_that_nobody_has_is_said_and_where_it_is_sure_the_process_is_orphaned(exporter: RunningExporter) -> None:
    api, pid = Api(exporter), gone_pid()
    body = {"name": "x", "type": "task", "pid": pid}
    for more in ({"id": "curl"}, {}):
        (warning,) = api.request("POST", "/api/processes", json=body | more)[1]["warnings"]
        assert warning.startswith("pid: no OS process of this host has it") and "leave pid away" in warning
    assert "warnings" not in api.request("POST", "/api/processes", json={**body, "pid": os.getpid()})[1]
    away = api.request("POST", "/api/processes", json={**body, "host": "elsewhere", "id": "away"})[1]
    assert "warnings" not in away, "the exporter knows nothing of another host"
    environ = {"HEADWAY_URL": exporter.url, "HEADWAY_DATA_DIR": str(exporter.data_dir)}
    said = headway("report", "create", "--name", "x", "--id", "sure", "--pid", str(pid), environ=environ)
    assert "no OS process of this host has it" in said.stderr and said.returncode == 0
    wait_until(lambda: api.get("sure")["status"] == "orphaned", timeout=30, what="its orphaning")
    assert "gone before it was reported" in api.get("sure")["error"]
    assert api.get("curl")["status"] == api.get("away")["status"] == "running", "the number may be one of a container"


@pytest.mark.parametrize(("end", "words"), [("sys.exit(7)", "exited with code 7"), ("os.kill(os.getpid(), 9)", "ended by SIGKILL")])
def test_a_zombie_is_given_up_with_how_it_ended(start_exporter: Starter, end: str, words: str) -> None:
    exporter = start_exporter("--sample-interval", "0.2", "--zombie-cleanup", "1s", "--cleanup-interval", "1s")
    api = Api(exporter)
    source = f"import os, sys, time\nif not os.fork(): sys.stdin.read(); {end.replace('sys.exit', 'os._exit')}\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE) as parent:
        try:
            children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
            child = int(wait_until(children.read_text, what="its child").split()[0])
            identity = identify(child)
            assert identity is not None
            api.create(id="zombie", pid=child, create_time=identity.create_time, pid_namespace=identity.pid_namespace)
            assert parent.stdin is not None
            parent.stdin.close()
            wait_until(lambda: api.get("zombie")["status"] == "orphaned", timeout=30, what="its orphaning")
            assert words in api.get("zombie")["error"] and "its parent has not waited for it" in api.get("zombie")["error"]
            assert exit_of_zombie(parent.pid) is None, "it is none"
        finally:
            parent.kill()


def test_no_line_of_a_command_is_lost_with_the_exporter(start_exporter: Starter, tmp_path: Path) -> None:
    """What a reporter was told has arrived is not sent again, so it must be on the disk by then."""
    exporter = start_exporter("--sample-interval", "0.2", "--log-tail-lines", "100000")  # however long it takes here
    gate = tmp_path / "gate"
    source = f"""
import os, time
number = 0
while not os.path.exists({str(gate)!r}):
    number += 1
    print("line", number, flush=True)
    time.sleep(0.04)
"""
    environ = exporter.client_env | {"HEADWAY_INTERVAL": "0.05", "HEADWAY_LOG_DIR": str(tmp_path / "logs")}
    command = [sys.executable, "-m", "headway", "run", "--id", "lines", "--", sys.executable, "-c", source]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for count in (30, 60, 90):
            for _ in range(30):
                running.stdout.readline()
            wait_until(partial(more_than, count - 20, exporter), what="lines")
            exporter.kill()
            exporter.start()
        gate.touch()
        written = 90 + len(running.stdout.readlines())
        assert running.wait(30) == 0
    wait_until(lambda: Api(exporter).get("lines")["status"] == "done", what="its end")
    assert tail(exporter) == [f"line {number}" for number in range(1, written + 1)]


def more_than(count: int, exporter: RunningExporter) -> bool:
    return len(tail(exporter)) > count


def tail(exporter: RunningExporter) -> list[str]:
    status, body = Api(exporter).request("GET", "/api/processes/lines/output?tail=5000")
    return [line["text"] for line in body["data"]] if status == 200 else []
