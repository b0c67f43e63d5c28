"""POST /api/processes/track: commands that the exporter starts, and that outlive it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from headway import Client
from headway.reporter.client import ApiError
from osprocesses import wait_gone
from running import RunningExporter, Starter
from waiting import wait_until


@pytest.fixture
def client(exporter: RunningExporter) -> Client:
    return Client(exporter.url, exporter.key)


def ended(client: Client, process_id: str) -> dict[str, Any]:
    """The process, once it has ended."""

    def look() -> dict[str, Any] | None:
        found = client.get(process_id)
        return found if found["finished_at"] else None

    return wait_until(look, 30, f"the end of {process_id}") or {}


def test_a_command_is_all_it_takes(client: Client, exporter: RunningExporter) -> None:
    started = client.track("echo one; echo two >&2; exit 3")
    assert (started["name"], started["type"], started["pid"] is not None) == ("echo one", "task", True)
    found = ended(client, started["id"])
    assert (found["status"], found["exit_code"], found["error"]) == ("failed", 3, "exit code 3: two")
    assert sorted(found["log_tail"]) == ["one", "two"]
    log = Path(found["metadata"]["log_file"])
    assert log.parent == exporter.data_dir / "logs" and sorted(log.read_text().split()) == ["one", "two"]


def test_everything_that_can_be_said_of_it(client: Client, tmp_path: Path) -> None:
    started = client.track(
        [
            "sh",
            "-c",
            'pwd; echo "$GREETING"; env | grep -c "^HEADWAY_RUN\\|^HEADWAY_KEY"; for n in 1 2 3; do echo "[$n/3] step"; done',
        ],
        id="track-all",
        name="Everything",
        type="pipeline",
        description="what it is for",
        project="p",
        task="t",
        attempt="a",
        agent="g",
        group="together",
        user="ann",
        cwd=str(tmp_path),
        env={"GREETING": "hello --there"},
        expected_duration="5m",
        timeout="1h",
        thresholds={"stuck_after": "2m", "cpu_ratio": 0.5, "memory_ratio": None},
        metadata={"ticket": 7, "note": "a=b", "deep": {"x": [1, None]}},
    )
    assert started["id"] == "track-all"
    found = ended(client, "track-all")
    assert found["status"] == "done" and found["log_tail"][:3] == [str(tmp_path), "hello --there", "0"]
    said = {
        field: found[field] for field in ("name", "type", "description", "project", "task", "attempt", "agent", "group", "user")
    }
    assert list(said.values()) == ["Everything", "pipeline", "what it is for", "p", "t", "a", "g", "together", "ann"]
    assert (found["expected_duration"], found["timeout"]) == (300, 3600)
    assert (found["thresholds"]["stuck_after"], found["thresholds"]["cpu_ratio"], found["thresholds"]["memory_ratio"]) == (
        120,
        0.5,
        0.7,
    )
    assert (found["metadata"]["ticket"], found["metadata"]["note"], found["metadata"]["deep"]) == (7, "a=b", {"x": [1, None]})
    assert found["progress"]["ratio"] == 1


def test_a_command_that_there_is_not_has_failed(client: Client) -> None:
    found = ended(client, client.track(["no-such-program-here"])["id"])
    assert (found["status"], found["error"]) == ("failed", "no-such-program-here: command not found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "command"),
        ({"command": ""}, "command"),
        ({"command": []}, "command"),
        ({"command": "true", "cwd": "/no/such/place"}, "cwd"),
        ({"command": "true", "kill_on_timeout": True}, "kill_on_timeout"),
        ({"command": "true", "timeout": "soon"}, "timeout"),
        ({"command": "true", "id": "stats"}, "id"),
        ({"command": "true", "env": {"A B": "c"}}, "env"),
        ({"command": "true", "commands": "x"}, "commands"),
        ({"command": ["true", "a\0b"]}, "command"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_runs(
    client: Client, exporter: RunningExporter, body: dict[str, Any], field: str
) -> None:
    headers = {"Authorization": f"Bearer {exporter.key}"}
    answer = requests.post(f"{exporter.url}/api/processes/track", json=body, headers=headers, timeout=30)
    assert answer.status_code == 422 and field in answer.text, answer.text
    assert client.list(state="all") == []


def test_a_text_that_no_system_call_takes(client: Client) -> None:
    with pytest.raises(ApiError, match="NUL"):
        client.track("true", name="a\0b")


def test_an_id_that_is_taken(client: Client) -> None:
    client.track("true", id="taken")
    with pytest.raises(ApiError) as refused:
        client.track("true", id="taken")
    assert (refused.value.status, refused.value.field) == (409, "id")


def test_only_operators_start_things(start_exporter: Starter) -> None:
    exporter = start_exporter()
    with pytest.raises(ApiError) as refused:
        Client(exporter.url).track("true")
    assert refused.value.status == 403
    assert Client(exporter.url, exporter.key).list(state="all") == []


def test_killing_it_ends_its_children_too(client: Client, tmp_path: Path) -> None:
    started = client.track(f"sleep 300 & echo $! > {tmp_path}/pid; wait; sleep 300")
    child = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), 30, "its child") or 0)
    client.kill(started["id"])
    assert client.get(started["id"])["status"] == "killed"
    wait_gone(child)


def test_a_timeout_ends_it(client: Client) -> None:
    started = client.track("sleep 300", timeout=1, kill_on_timeout=True, grace=1)
    assert ended(client, started["id"])["status"] == "timed_out"


def test_what_was_started_outlives_the_exporter_and_is_told_of_when_it_is_back(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter("--sample-interval", "0.2")
    client = Client(exporter.url, exporter.key)
    gates = [tmp_path / f"gate{n}" for n in range(4)]
    script = 'echo begun; while [ ! -e "$GATE" ]; do sleep 0.05; done; echo over; exit $CODE'
    ids = [
        client.track(script, name=f"outlives {n}", env={"GATE": str(gate), "CODE": str(n)})["id"] for n, gate in enumerate(gates)
    ]
    gates[0].touch()
    ended(client, ids[0])
    for round_number in range(2):
        exporter.kill()
        gates[1 + round_number].touch()  # ends while nobody listens
        exporter.start()
    wait_until(lambda: client.get(ids[3])["memory_bytes"], 30, "the one that still runs is watched again")
    assert client.get(ids[3])["status"] == "running"
    gates[3].touch()
    for n, process_id in enumerate(ids):
        found = ended(client, process_id)
        assert (found["status"], found["exit_code"]) == ("done" if n == 0 else "failed", n)
        assert Path(found["metadata"]["log_file"]).read_text() == "begun\nover\n"
    assert client.get(ids[3])["log_tail"][-1] == "over"


def test_no_zombies_gather(client: Client, exporter: RunningExporter) -> None:
    for _ in range(3):
        ended(client, client.track("true")["id"])
    assert exporter.process is not None
    parent = exporter.process.pid
    wait_until(lambda: not zombies_of(parent), 30, "all were waited for")


def zombies_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found
