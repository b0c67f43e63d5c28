"""Analysis, report and suggestions of a real exporter, over HTTP and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from headway import Client
from headway.keys import KeyRing, Role
from headway.reporter.client import ApiError
from running import RunningExporter
from waiting import wait_until


@pytest.fixture
def client(exporter: RunningExporter) -> Client:
    return Client(exporter.url, exporter.key)


def key_of(exporter: RunningExporter, user: str) -> str:
    made = KeyRing(exporter.data_dir)
    _, text = made.create(f"{user}'s", Role.REPORTER, user)
    return text


def run(client: Client, name: str, error: str | None = None, **fields: Any) -> str:
    id: str = client.create(name, fields.pop("type", "task"), **fields)["id"]
    client.update(id, **({"status": "done"} if error is None else {"status": "failed", "error": error}))
    return id


def headway(exporter: RunningExporter, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headway", *args]
    return subprocess.run(command, env=exporter.client_env, capture_output=True, text=True, timeout=60, check=False)


def test_what_ended_a_moment_ago_is_in_the_analysis(client: Client) -> None:
    ids = [run(client, "Dump", f"cannot open /data/{i}: no space") for i in range(8)]
    run(client, "Dump", project="shop")
    found = client.analyze()
    (pattern,) = found["patterns"]
    assert (pattern["name"], pattern["type"], pattern["runs"], pattern["failed"]) == ("Dump", "task", 9, 8)
    assert pattern["errors"][0]["message"] == "cannot open <path>: no space" and pattern["errors"][0]["last_id"] == ids[-1]
    assert pattern["last_finished_at"].endswith("Z")
    (advice,) = found["recommendations"]
    assert advice["priority"] == "high" and advice["command"] == f"headway output {ids[-1]} --tail 50"
    assert [p["runs"] for p in client.analyze(project="shop")["patterns"]] == [1]
    assert client.analyze(name="else")["patterns"] == client.analyze(type="cron")["patterns"] == []
    assert client.analyze(since="2099-01-01T00:00:00Z")["patterns"] == []
    assert client.analyze(timeframe="1h")["patterns"] != []


def test_what_runs_and_is_not_as_it_should_be(client: Client, exporter: RunningExporter) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        late = client.create("Late", expected_duration=0.05, timeout=0.1, pid=process.pid)["id"]
        client.create("Twin", command="make", cwd="/srv")
        twin = client.create("Twin", command="make", cwd="/srv")["id"]
        wait_until(lambda: [s["severity"] for s in client.analyze()["time_sinks"]] == ["high"], what="a time sink")
        found = client.analyze()
        assert found["time_sinks"][0]["id"] == late
        assert [i["original"] for i in found["duplicates"][0]["instances"]] == [True, False]
        commands = {one["command"] for one in client.analyze()["recommendations"]}
        assert {f"headway kill {late}", f"headway kill {twin}"} <= commands
        # The command does what it says.
        done = headway(exporter, "kill", late)
        assert done.returncode == 0, done.stderr
        assert client.get(late)["status"] == "killed"
    finally:
        process.kill()
        process.wait()


def test_a_key_of_a_user_sees_only_theirs(client: Client, exporter: RunningExporter) -> None:
    run(client, "Hers", "secret of hers", user="ann")
    client.create("Hers running", user="ann", command="make", cwd="/x")
    own = Client(exporter.url, key_of(exporter, "bob"))
    run(own, "His", "his error")
    twin = own.create("His running", command="make", cwd="/x")["id"]
    wait_until(lambda: client.get(twin)["conditions"], what="the duplicate, whose reason names hers")
    answers = (json.dumps(own.analyze()), own.report(), json.dumps(own.report_parts()))
    for answer in answers:
        assert "His" in answer and "Hers" not in answer and "hers" not in answer
    assert own.analyze()["duplicates"] == []
    with pytest.raises(ApiError) as refused:
        own.suggest("Hers")
    assert refused.value.status == 404
    assert "Hers" in client.report()


def test_the_report_on_the_command_line_and_as_json(client: Client, exporter: RunningExporter) -> None:
    client.create("Backfill", progress={"current": 5, "total": 10})
    run(client, "Dump", "no disk")
    done = headway(exporter, "report")
    assert done.returncode == 0 and done.stdout == done.stdout.replace("\x1b", "")
    assert "- Backfill running 50%" in done.stdout and "- 1x Dump: no disk; " in done.stdout
    parts = json.loads(headway(exporter, "report", "--json").stdout)
    assert [one["name"] for one in parts["running"]] == ["Backfill"]
    assert parts["services"] == [] and parts["patterns"][0]["failed"] == 1
    assert headway(exporter, "report", "--timeframe", "soon").returncode == 2
    none = headway(exporter, "report", "--timeframe", "0")
    assert none.returncode == 2 and "more than 0" in none.stderr
    told = headway(exporter, "analyze")
    assert told.returncode == 0 and "no disk" in told.stdout
    assert json.loads(headway(exporter, "analyze", "--json").stdout)["active"] == 1


def used(client: Client, id: str, memory: int, seconds: float) -> bool:
    found = client.get(id)
    return (found["memory_bytes"] or 0) > memory and (found["cpu_seconds"] or 0.0) > seconds


def test_what_a_run_used_is_kept_and_makes_suggestions(client: Client, exporter: RunningExporter) -> None:
    burn = (
        "import time\nkeep = bytearray(60 << 20)\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass\ninput()"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE)
        id = client.create("Burn", pid=process.pid)["id"]
        wait_until(partial(used, client, id, 60 << 20, 0.3), what="a sample of what it uses")
        process.communicate(b"\n")
        client.update(id, status="done")
    ended = client.get(id)
    assert ended["cpu_seconds"] > 0.3 and 60 << 20 < ended["peak_memory_bytes"] < 200 << 20
    (found,) = client.suggest("Burn")
    assert found["memory"]["runs"] == 3 and found["memory"]["trust"] == "weak"
    assert found["memory"]["value"] >= 1.25 * (60 << 20) and found["memory"]["value"] % (16 << 20) == 0
    assert "--memory-limit" in found["command"] and "--cpu-limit" in found["command"]
    exporter.restart()
    with Client(exporter.url, exporter.key) as after:
        assert after.get(id)["peak_memory_bytes"] == ended["peak_memory_bytes"]
    done = headway(exporter, "suggest", "Burn")
    assert done.returncode == 0 and "memory limit" in done.stdout and "-- COMMAND" in done.stdout
    assert headway(exporter, "suggest", "Nobody").returncode == 5


def test_a_peak_outlasts_a_restart_in_the_middle(client: Client, exporter: RunningExporter) -> None:
    source = "keep = bytearray(80 << 20)\nprint(flush=True)\ninput()\ndel keep\nprint(flush=True)\ninput()"
    process = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdout.readline()
        id = client.create("Peak", pid=process.pid)["id"]
        wait_until(lambda: (client.get(id)["memory_bytes"] or 0) > 80 << 20, what="a sample at the peak")
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        exporter.restart()
        with Client(exporter.url, exporter.key) as after:
            wait_until(lambda: 0 < (after.get(id)["memory_bytes"] or 0) < 60 << 20, what="a sample after the peak")
            assert after.update(id, status="done")["peak_memory_bytes"] > 80 << 20
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=1&timeframe=1h", "since"),
        ("timeframe=soon", "timeframe"),
        ("timeframe=0", "timeframe"),
        ("since=x", "since"),
        ("nam=x", "nam"),
    ],
)
def test_wrong_parameters_are_named(client: Client, query: str, field: str) -> None:
    with pytest.raises(ApiError) as refused:
        client.analyze(**dict(part.split("=") for part in query.split("&")))
    assert (refused.value.status, refused.value.field) == (422, field)
