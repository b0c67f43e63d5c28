"""Output beyond the lines that are kept comes from the log file, after a restart too, and only from the process's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import requests

from running import RunningExporter, Starter
from waiting import wait_until

LINES = 300


def call(exporter: RunningExporter, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    headers["Authorization"] = f"Bearer {exporter.key}"
    answer = requests.request(method, f"{exporter.url}/api/processes{path}", json=body, headers=headers, timeout=30)
    assert answer.ok, answer.text
    return answer


def texts(exporter: RunningExporter, process_id: str, tail: int = 1000) -> list[str]:
    return [line["text"] for line in call(exporter, "GET", f"/{process_id}/output?tail={tail}").json()["data"]]


def test_all_of_it_is_found_again_after_a_restart(start_exporter: Starter) -> None:
    exporter = start_exporter("--log-tail-lines", "20")
    program = f"for number in range({LINES}): print('line', number)"
    made = call(exporter, "POST", "/track", {"command": [sys.executable, "-c", program], "name": "Talk"}).json()["data"]
    wait_until(lambda: call(exporter, "GET", f"/{made['id']}").json()["data"]["status"] == "done", 30, "its end")
    everything = [f"line {number}" for number in range(LINES)]
    assert texts(exporter, made["id"], 20) == everything[-20:], "what is kept has numbers and times"
    assert call(exporter, "GET", f"/{made['id']}/output?tail=20").json()["data"][-1]["number"] == LINES
    exporter.restart()
    assert texts(exporter, made["id"]) == everything
    assert texts(exporter, made["id"], 100) == everything[-100:]
    plain = call(exporter, "GET", f"/{made['id']}/output?tail=1000", Accept="text/plain").text
    assert plain.splitlines() == everything
    call(exporter, "DELETE", f"/{made['id']}")
    assert texts(exporter, made["id"]) == everything, "it is in the history only"


def test_a_file_that_a_record_names_is_not_read(start_exporter: Starter, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    exporter = start_exporter("--log-tail-lines", "2", HEADWAY_LOG_DIR=str(logs))
    secret = tmp_path / "secret.log"
    secret.write_text("a\nb\nc\nd\n")
    body = {"name": "Spy", "type": "task", "metadata": {"log_file": str(secret)}}
    for process_id in ("named", "linked", "older", "own"):
        call(exporter, "POST", "", {"id": process_id, **body})
        call(exporter, "PATCH", f"/{process_id}", {"log": ["1", "2", "3"]})
    (logs / "linked.log").symlink_to(secret)
    (logs / "older.log").write_text("of another\n" * 9)
    os.utime(logs / "older.log", (1e9, 1e9))
    (logs / "own.log").write_text("1\n2\n3\n")
    assert {one: texts(exporter, one) for one in ("named", "linked", "older", "own")} == {
        "named": ["2", "3"],
        "linked": ["2", "3"],
        "older": ["2", "3"],
        "own": ["1", "2", "3"],
    }
