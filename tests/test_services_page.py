"""The page /services: what it shows, what it says to type, and to whom it shows what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests

from calling import make_key
from headway.api.service_row import service_row
from serving import Serving, free_port

SLEEP = {"command": "exec sleep 1000", "autostart": False}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.end()


def page(serving: Serving, key: str | None = None) -> str:
    headers = {"Accept": "text/html"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    answer = requests.get(f"{serving.exporter.url}/services", headers=headers, timeout=30)
    assert answer.status_code == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text and answer.text.count("<script") == 1, "nothing inline"
    return re.sub(r"<template.*?</template>", "", answer.text, flags=re.S)


def rows(text: str) -> dict[str, str]:
    """The text of each row, by name of the service."""
    found = {}
    for row in re.findall(r"<tr class=.*?</tr>", text, re.S):
        words = " ".join(unescape(re.sub(r"<[^>]*>", " ", row)).split())
        found[words.split()[2]] = words
    return found


def test_what_it_shows(serving: Serving) -> None:
    port = free_port()
    web = {"command": ["python3", "-u", "server.py", str(port)], "port": port, "group": "site", "depends_on": ["db"]}
    serving.start(
        {
            "web": {**web, "description": "<b>bold</b>"},
            "db": SLEEP,
            "broken": {"command": "echo '<i>no space</i>' >&2; exit 4", "restart": "never"},
            "nightly": {"command": "true", "schedule": "0 3 * * *", "autostart": False},
        }
    )
    serving.call("POST", "/start", {"name": "web"})
    serving.call("POST", "/start", {"name": "nightly"})
    serving.until("broken", "error")
    serving.until("nightly", "stopped")
    text = page(serving)
    found, one = rows(text), serving.status("web")
    assert found["web"].startswith(f"● running web daemon · site · needs db <b>bold</b> {one['pid']} {port} open ")
    assert found["web"].endswith("headway restart web headway down web headway logs web Log")
    assert "✗ error broken daemon" in found["broken"] and "exit code 4: <i>no space</i>" in found["broken"]
    assert "<b>bold" not in text and "<i>no" not in text, "escaped"
    assert "headway up broken" in found["broken"] and "headway restart" not in found["broken"]
    assert re.search(r" in \d+[hms]", found["nightly"]) and "due 0 3 * * * last run 2" in found["nightly"]
    assert "UTC: done" in found["nightly"]
    for name in ("web", "broken", "nightly"):
        process = re.search(rf'href="(/processes/[^"]+)"><b data-text="name">{name}</b>', text)
        assert process is not None
        assert requests.get(serving.exporter.url + process[1], timeout=30).status_code == 200
    assert re.findall(r"<dt>(\w+)</dt><dd>(\d)</dd>", text) == [
        *(("Running", "2"), ("Starting", "0"), ("Error", "1"), ("Stopped", "1")),
    ]


def test_without_services_it_says_how_to_configure_one(serving: Serving) -> None:
    serving.start({})
    text = page(serving)
    assert "No service is configured here" in text and "docs/services.md" in text and "<table" not in text
    example = re.search(r"<pre>(.*?)</pre>", text, re.S)
    assert example is not None
    serving.exporter.stop()
    serving.config.write_text(unescape(example[1]).replace("8000", str(free_port())))
    serving.exporter.start()
    assert set(rows(page(serving))) == {"web", "nightly"}, "what it says can be used"


def test_a_key_that_is_bound_to_a_user_sees_theirs_only(serving: Serving) -> None:
    serving.start({"hers": {**SLEEP, "user": "ann", "depends_on": ["his"]}, "his": {**SLEEP, "user": "bob"}})
    ann = make_key(serving.exporter, "operator", "--user", "ann")
    assert set(rows(page(serving, ann))) == {"hers"} and set(rows(page(serving))) == {"hers", "his"}
    headers = {"Authorization": f"Bearer {ann}"}
    url = f"{serving.exporter.url}/api/processes"
    for method, path, body in (("GET", "/status?name=his", None), ("GET", "/his/logs", None), ("POST", "/start", {"name": "his"})):
        answer = requests.request(method, url + path, json=body, headers=headers, timeout=30)
        assert answer.status_code == 404 and answer.json()["detail"] == "there is no service his: there are hers"
    answer = requests.post(f"{url}/start-all", json={"names": ["hers"]}, headers=headers, timeout=60)
    said = "hers cannot be started with this key: what it depends on is not yours"
    assert (answer.status_code, answer.json()["detail"]) == (403, said)


def test_one_that_runs_and_does_not_answer_can_be_restarted() -> None:
    known: dict[str, Any] = dict.fromkeys(
        ("reason", "process_id", "last_process_id", "group", "description", "pid", "port", "port_open", "uptime_seconds")
    )
    known |= dict.fromkeys(("cpu_ratio", "memory_bytes", "next_start", "schedule"))
    known |= {"name": "web", "status": "error", "type": "daemon", "depends_on": [], "restarts": 0, "outdated": True, "wanted": True}
    ended, living = service_row(known, 0.0), service_row(known | {"pid": 4711}, 0.0)
    assert ended["commands"] == ["headway up web", "headway down web", "headway logs web"]
    assert living["commands"] == ["headway restart web", "headway down web", "headway logs web"]
    assert living["reasons"] == ["runs with an older configuration than the present one"]
