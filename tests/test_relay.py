"""Messages that the exporter sends on for Alertmanager: the card, who may ask for it, and what is tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests

from cli import headway
from headway.alerting.card import card
from headway.alerting.message import MessageIn
from headway.schemas.decoding import decode
from running import RunningExporter, Starter
from standins import StandIn, teams

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LABELS = {"alertname": "HeadwayProcessTimeSink", "severity": "critical", "instance": "a:1", "name": "Nightly", "id": "p-1"}
SAID = {
    "summary": "A process runs far longer than expected",
    "description": "3.5x its usual 10 s",
    "process_url": "http://e/processes/p-1",
}


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    over = status == "resolved"
    ends = (START + timedelta(seconds=725)).isoformat() if over else "0001-01-01T00:00:00Z"
    return {"status": status, "labels": LABELS | labels, "annotations": SAID, "startsAt": START.isoformat(), "endsAt": ends}


def body(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    status = "firing" if any(one["status"] == "firing" for one in alerts) else "resolved"
    common = {k: v for k, v in alerts[0]["labels"].items() if all(one["labels"].get(k) == v for one in alerts)}
    known = {"version": "4", "status": status, "alerts": list(alerts), "commonLabels": common, "externalURL": "http://am:9093"}
    return {**known, "receiver": "everything", "groupKey": "{}", "truncatedAlerts": 0, "somethingNew": 1, **more}


def texts(message: dict[str, Any]) -> list[str]:
    content = card(decode(json.dumps(message).encode(), MessageIn))["attachments"][0]["content"]
    return ["".join(run["text"] for run in one["inlines"]) for one in content["body"]]


def actions(message: dict[str, Any]) -> dict[str, str]:
    content = card(decode(json.dumps(message).encode(), MessageIn))["attachments"][0]["content"]
    return {action["title"]: action["url"] for action in content["actions"]}


# ── the card ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_that_fires() -> None:
    title, description, since = texts(body(alert()))
    assert (title, description) == ("🔴 Nightly runs far longer than expected", "3.5x its usual 10 s")
    assert since.startswith("critical since 1 Mar ") and since.endswith(" on a:1")
    found = actions(body(alert()))
    assert list(found) == ["Output", "Cancel", "Silence"] and found["Cancel"] == "http://e/processes/p-1?cancel"
    assert unquote(found["Silence"]) == 'http://am:9093/#/silences/new?filter={alertname="HeadwayProcessTimeSink", id="p-1"}'


def test_one_that_is_over() -> None:
    title, lasted = texts(body(alert("resolved")))
    assert title == "✅ Resolved: Nightly: Time Sink" and lasted.startswith("It lasted 12m 5s, until 1 Mar ")
    assert list(actions(body(alert("resolved")))) == ["Output"]


def test_many_are_a_list_that_ends() -> None:
    crowd = [alert(id=f"p-{n}") for n in range(12)] + [alert("resolved", id="old")]
    lines = texts(body(*crowd))
    assert lines[0] == "🔴 12 × Time Sink: Nightly" and len(lines) == 1 + 10 + 1 + 1
    assert lines[11] == "… and 2 more" and lines[12].startswith("✅ Nightly: Time Sink · It lasted")
    assert unquote(actions(body(*crowd))["Silence"]).endswith(
        '{alertname="HeadwayProcessTimeSink", instance="a:1", name="Nightly"}'
    )


def test_what_is_no_link_is_none() -> None:
    message = body({**alert(), "annotations": SAID | {"process_url": "javascript:alert(1)", "runbook_url": 'http://a/"b'}})
    assert list(actions(message)) == ["Silence"]


# ── the call ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def service(tmp_path: Path) -> Iterator[StandIn]:
    found = StandIn(teams)
    (tmp_path / "secrets").mkdir()
    for name in ("teams.url", "teams.critical.url", "slack.url"):
        (tmp_path / "secrets" / name).write_text(f"{found.url}/{name}?sig=s3cret")
        (tmp_path / "secrets" / name).chmod(0o600)
    yield found
    found.close()


@pytest.fixture
def relaying(start_exporter: Starter, tmp_path: Path, service: StandIn) -> RunningExporter:
    return start_exporter("--alerting-secrets", str(tmp_path / "secrets"))


def post(exporter: RunningExporter, name: str = "teams", message: Any = None, **headers: str) -> requests.Response:
    url = f"{exporter.url}/api/alerting/relay/{name}"
    return requests.post(url, json=body(alert()) if message is None else message, headers=headers, timeout=30)


def test_a_message_is_sent_on(relaying: RunningExporter, service: StandIn) -> None:
    for name in ("teams", "teams.critical"):
        answer = post(relaying, name)
        assert (answer.status_code, answer.json()) == (200, {"data": {"receiver": name, "alerts": 1}})
    assert len(service.messages) == 2 and service.refused == []


def test_what_may_go_later_is_answered_so_that_it_is_tried_again(relaying: RunningExporter, service: StandIn) -> None:
    service.away = True
    answer = post(relaying)
    assert answer.status_code == 503 and answer.json()["detail"] == "teams answered 503"
    service.close()
    answer = post(relaying)
    assert answer.status_code == 503 and "cannot be reached" in answer.json()["detail"] and "s3cret" not in answer.text


def test_what_never_will_is_not_tried_again(relaying: RunningExporter, service: StandIn) -> None:
    huge = body(*[alert(id="x" * 60 + str(n), name="n" * 60) for n in range(10)])
    for one in huge["alerts"]:
        one["annotations"] = one["annotations"] | {"process_url": f"http://e/{'x' * 290}"}
    assert post(relaying, message=huge).status_code == 200, "as much as there can be is taken"
    for wrong in ({"version": "4", "status": "firing", "alerts": []}, {"alerts": [alert()]}, body({**alert(), "startsAt": "now"})):
        assert post(relaying, message=wrong).status_code == 422
    for name in ("slack", "discord", "nobody", "teams.urgent"):
        assert post(relaying, name).status_code == 404, "Alertmanager knows them, or nobody does"


def test_from_elsewhere_a_key_is_needed(start_exporter: Starter, tmp_path: Path, service: StandIn) -> None:
    exporter = start_exporter("--alerting-secrets", str(tmp_path / "secrets"), "--anonymous", "none")
    assert post(exporter).status_code == 401
    keys = {}
    for role in ("viewer", "reporter"):
        made = headway("key", "create", "--name", role, "--role", role, "--data-dir", str(exporter.data_dir))
        keys[role] = made.stdout.strip()
    assert post(exporter, Authorization=f"Bearer {keys['viewer']}").status_code == 403
    assert post(exporter, Authorization=f"Bearer {keys['reporter']}").status_code == 200
    assert len(service.messages) == 1


def test_a_page_of_another_site_cannot_send_anything(relaying: RunningExporter, service: StandIn) -> None:
    assert post(relaying, Origin="http://evil.example").status_code == 403
    assert service.messages == []
