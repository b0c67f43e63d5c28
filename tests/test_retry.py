"""POST /api/processes/{id}/retry and `headway retry`: what the exporter started, once more. And nothing else."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from calling import Api, make_key
from cli import headway
from controlling import actions, audit
from headway import Client
from headway.reporter.client import ApiError
from headway.supervisor.launches import Launch, Launches, Secret
from running import RunningExporter, Starter
from test_track import ended
from waiting import wait_until


@pytest.fixture
def client(exporter: RunningExporter) -> Client:
    return Client(exporter.url, exporter.key)


def refused(client: Client, process_id: str) -> str:
    with pytest.raises(ApiError) as found:
        client.retry(process_id)
    assert found.value.status == 409
    return str(found.value.detail)


def records(exporter: RunningExporter) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (exporter.data_dir / "launches").glob("*.json")}


def test_it_runs_again_with_everything_it_was_given(client: Client, exporter: RunningExporter, admin: Api, tmp_path: Path) -> None:
    first = client.track(
        'echo "$GREETING in $PWD $(ulimit -n)"; exit 3',
        name="greeter",
        type="cron",
        project="p",
        env={"GREETING": "hello --there"},
        cwd=str(tmp_path),
        timeout="1h",
        limits={"open_files": 99},
        metadata={"ticket": 7},
    )
    assert ended(client, first["id"])["status"] == "failed"
    path = exporter.data_dir / "launches" / f"{first['id']}.json"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    done = headway("retry", first["id"], environ=exporter.client_env)
    assert done.returncode == 0 and done.stdout.endswith(f" (greeter), again for {first['id']}\n"), done.stderr
    second = ended(client, done.stdout.split()[1])
    assert second["log_tail"] == [f"hello --there in {tmp_path} 99"]
    said = [second[field] for field in ("status", "name", "type", "project", "timeout", "cwd")]
    assert said == ["failed", "greeter", "cron", "p", 3600, first["cwd"]]
    shown = {key: second["metadata"][key] for key in ("ticket", "retry_of", "retry")}
    assert shown == {"ticket": 7, "retry_of": first["id"], "retry": 1}
    third = ended(client, client.retry(second["id"])["id"])
    assert (third["metadata"]["retry_of"], third["metadata"]["retry"]) == (second["id"], 2)
    assert third["log_tail"] == second["log_tail"]
    assert [line for line in audit(exporter) if f'retry process "{first["id"]}"' in line and f"process {second['id']}" in line]
    assert actions(admin)["retry", "done"] == 2


def test_not_while_it_runs(client: Client) -> None:
    first = client.track("sleep 300")
    assert "is running; only one that has ended can be retried" in refused(client, first["id"])
    client.kill(first["id"], grace=0.5)
    second = client.retry(first["id"])
    assert second["status"] == "running" and second["name"] == first["name"]
    assert f"run again already, as {second['id']}" in refused(client, first["id"])
    client.kill(second["id"], grace=0.5)


def test_what_a_record_says_is_never_run(client: Client, exporter: RunningExporter, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    reporter = Api(exporter)
    reporter.create(id="forged", command=f"touch {trap}", metadata={"retry_of": "forged", "words": ["touch", str(trap)]})
    reporter.update("forged", status="failed")
    words = refused(client, "forged")
    assert "was not started by this exporter" in words and "POST /api/processes/track" in words
    done = headway("run", "--id", "in-a-terminal", "--", "touch", str(trap), environ=exporter.client_env)
    assert done.returncode == 0 and trap.exists()
    trap.unlink()
    ended(client, "in-a-terminal")
    refused(client, "in-a-terminal")
    assert not trap.exists() and records(exporter) == {}


@pytest.mark.parametrize(
    "how",
    [
        {"command": ["true", "--password", "hunter2"]},
        {"command": "true --token=hunter2"},
        {"command": "true", "env": {"DB_PASSWORD": "hunter2"}},
        {"command": "true", "metadata": {"api_key": "hunter2"}},
        {"command": "true", "description": "with password=hunter2"},
    ],
)
def test_a_secret_is_not_kept(client: Client, exporter: RunningExporter, how: dict[str, Any]) -> None:
    process = ended(client, client.track(**how)["id"])
    assert records(exporter) == {process["id"]: {"secret": True}}
    words = refused(client, process["id"])
    assert "what looks like a secret" in words and "start it again by POST /api/processes/track" in words and "hunter2" not in words
    page = requests.get(f"{exporter.url}/processes/{process['id']}", timeout=30).text
    assert "headway retry" not in page


def test_its_own_repetitions_lead_to_the_first(client: Client, exporter: RunningExporter) -> None:
    first = client.track("exit 4", retry=1, name="flaky")

    def both() -> list[dict[str, Any]]:
        found = client.list(name="flaky", state="failed")
        return found if len(found) == 2 else []

    repetition = next(one for one in wait_until(both, 30, "the repetition") if one["id"] != first["id"])
    assert repetition["metadata"]["retry"] == 1
    assert f"retry {first['id']} instead" in refused(client, repetition["id"])
    again = client.retry(first["id"])["id"]
    wait_until(lambda: len(client.list(name="flaky", state="failed")) == 4, 30, "two more")
    counts = {one["metadata"].get("retry", 0): one["metadata"].get("retry_of") for one in client.list(name="flaky", state="failed")}
    assert counts == {0: None, 1: first["id"], 2: again}


def test_it_is_remembered_over_restarts_and_shown_on_its_page(client: Client, exporter: RunningExporter) -> None:
    first = client.track("sleep 300")
    assert "headway retry" not in requests.get(f"{exporter.url}/processes/{first['id']}", timeout=30).text
    client.kill(first["id"], grace=0.5)
    exporter.restart()
    page = requests.get(f"{exporter.url}/processes/{first['id']}", timeout=30).text
    assert f"<code>headway retry {first['id']}</code>" in page
    again = client.retry(first["id"])
    assert again["status"] == "running"
    client.kill(again["id"], grace=0.5)


def test_who_may(client: Client, exporter: RunningExporter) -> None:
    first = ended(client, client.track("true", user="bob")["id"])["id"]
    for role in ("viewer", "reporter", None):
        caller = Api(exporter, None if role is None else make_key(exporter, role))
        assert caller.request("POST", f"/api/processes/{first}/retry")[0] == 403, role
    ann = Api(exporter, make_key(exporter, "operator", "--user", "ann"))
    bob = Api(exporter, make_key(exporter, "operator", "--user", "bob", "--name", "bob"))
    assert ann.request("POST", f"/api/processes/{first}/retry")[0] == 404
    status, answer = bob.request("POST", f"/api/processes/{first}/retry")
    assert status == 201 and answer["data"]["user"] == "bob"
    assert client.list(user="ann", state="all") == []
    assert ann.request("POST", "/api/processes/nobody/retry")[0] == 404


def test_what_leaves_the_history_is_forgotten(start_exporter: Starter) -> None:
    exporter = start_exporter("--cleanup-interval", "1s", "--history-max", "1", "--sample-interval", "0.2")
    client = Client(exporter.url, exporter.key)
    first, second = (ended(client, client.track("true")["id"])["id"] for _ in range(2))
    wait_until(lambda: list(records(exporter)) == [second], 30, f"{first} to be forgotten")


# ── the files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_kept_is_found_and_nothing_else(tmp_path: Path) -> None:
    launches = Launches(tmp_path)
    how = Launch(["echo", "ü"], ["--name=n"], {"A": "b"}, "/tmp")
    launches.keep("one", how)
    assert launches.find("one") == how and launches.find("two") is None
    assert how.again("one").all_flags() == ["--name=n", '--metadata=retry_of="one"', "--metadata=retry=1"]
    launches.keep("two", Launch(["true", "--password=hunter2"]))
    assert isinstance(launches.find("two"), Secret)
    (tmp_path / "launches" / "three.json").write_text("{")
    (tmp_path / "launches" / "four.json").write_text('{"words": ["true"], "more": 1}')
    assert launches.find("three") is None and launches.find("four") is None
    launches.remove(["one", "one", "nobody"])
    assert launches.find("one") is None


def test_old_ones_are_told(tmp_path: Path) -> None:
    launches = Launches(tmp_path)
    assert launches.older_than(0) == []
    for name in ("old", "new"):
        launches.keep(name, Launch(["true"]))
    os.utime(tmp_path / "launches" / "old.json", (1, 1))
    assert launches.older_than(3600) == ["old"]


def test_a_full_disk_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "launches").write_text("in the way")
    Launches(tmp_path).keep("one", Launch(["true"]))
    assert "process one cannot be retried later" in caplog.text


def test_of_two_who_ask_at_once_one_is_served(client: Client, exporter: RunningExporter, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    first = client.track(f"echo ran >> {tmp_path / 'runs'}; while [ -e {hold} ]; do sleep 0.05; done", name="once")
    assert ended(client, first["id"])["status"] == "done"
    hold.touch()  # what had ended could be run again by the next one
    url = f"{exporter.url}/api/processes/{first['id']}/retry"

    def ask(_: int) -> int:
        return requests.post(url, headers={"Authorization": f"Bearer {exporter.key}"}, timeout=30).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(4))) == [201, 409, 409, 409]
    hold.unlink()
    again = [row for row in client.list(state="all", name="once") if row["metadata"].get("retry_of") == first["id"]]
    assert len(again) == 1 and ended(client, again[0]["id"])["status"] == "done"
    assert (tmp_path / "runs").read_text() == "ran\n" * 2
