"""Ends of processes as they arrive in chat: a real exporter, the real Alertmanager, and stand-ins of the services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alertmanagers import RunningAlertmanager, binaries
from headway import Client
from live_stack import fetch
from running import RunningExporter, Starter
from standins import StandIns
from waiting import wait_until


@pytest.fixture
def standins(tmp_path: Path) -> Iterator[StandIns]:
    services = StandIns(tmp_path / "secrets")
    yield services
    services.close()


@pytest.fixture
def alertmanager(tmp_path: Path, standins: StandIns, tools: None) -> Iterator[RunningAlertmanager]:
    running = RunningAlertmanager(tmp_path, binaries()[0], standins.folder)
    yield running
    running.stop()


def ended(exporter: RunningExporter, name: str, status: str, **said: str) -> str:
    client = Client(exporter.url, exporter.key)
    process_id = str(client.create(name, "pipeline", progress={"current": 80, "total": 80, "unit": "sessions"})["id"])
    client.update(process_id, status=status, **said)
    return process_id


def test_told_once_over_an_absent_alertmanager(
    start_exporter: Starter, alertmanager: RunningAlertmanager, standins: StandIns
) -> None:
    exporter = start_exporter("--alertmanager-url", alertmanager.url, "--announce-failures-after", "0")
    # Nobody listens yet: it waits.
    done = ended(exporter, "NLP Backfill", "done", summary="80 sessions, 3 repaired")
    alertmanager.start()
    # Between two tries there may be a minute.
    (said,) = standins.slack.wait(lambda m: "NLP Backfill" in m["attachments"][0]["title"], 150)["attachments"]
    assert said["title"] == "✅ NLP Backfill is done"
    assert said["text"].startswith("80 sessions, 3 repaired. It took ")
    assert said["title_link"] == f"{exporter.url}/processes/{done}" and "80 of 80 sessions." in said["text"]
    failed = ended(exporter, "NLP Backfill", "failed", error="no space left on device")
    (said,) = standins.slack.wait(lambda m: "failed" in m["attachments"][0]["title"], 60)["attachments"]
    assert said["title"] == "❌ NLP Backfill failed" and said["text"].startswith("no space left on device. It took ")
    assert said["title_link"] == f"{exporter.url}/processes/{failed}"
    # What is over is never resolved, and a restart says nothing twice.
    labels = {"alertname": "HeadwayProcessEnded", "severity": "info", "id": "x", "name": "other", "outcome": "done"}
    alertmanager.fire(labels)
    standins.slack.wait(lambda m: "other" in m["attachments"][0]["title"], 60)
    alertmanager.fire(labels, resolve=True)
    exporter.restart()
    ended(exporter, "Last", "done")
    wait_until(lambda: any("Last" in m["attachments"][0]["title"] for m in standins.slack.messages), 60, "the last message")
    titles = [m["attachments"][0]["title"] for m in standins.slack.messages]
    assert sorted(titles) == sorted(set(titles)) and not any("Resolved" in title for title in titles)
    assert standins.refused == []


def test_what_an_alert_tells_is_not_announced_as_well(
    start_exporter: Starter, alertmanager: RunningAlertmanager, standins: StandIns
) -> None:
    """Prometheus may call the exporter by another name. Where no alert tells it, it is announced."""
    alertmanager.start()
    exporter = start_exporter("--alertmanager-url", alertmanager.url, "--announce-failures-after", "6")
    told, alone = (ended(exporter, name, "failed", error="no space") for name in ("Told by an alert", "Alone"))
    labels = {"severity": "warning", "gate": "failed", "instance": "exporter:14323", "name": "Told by an alert", "kind": "pipeline"}
    labels |= {"alertname": "HeadwayProcessFailed", "id": told}
    alertmanager.fire(labels, {"summary": "A process failed"})

    def ends() -> dict[str, list[str]]:
        known = fetch(f"{alertmanager.url}/api/v2/alerts", filter='alertname="HeadwayProcessEnded"')
        return {alert["labels"]["id"]: alert["status"]["inhibitedBy"] for alert in known}

    wait_until(lambda: ends().keys() == {told, alone}, 60, "both to be announced")
    assert ends()[told] and not ends()[alone]
    standins.slack.wait(lambda m: "Alone failed" in m["attachments"][0]["title"], 60)
    # The alert is over, and nothing is made up for.
    alertmanager.fire(labels, resolve=True)
    wait_until(lambda: not ends().get(told), 60, "it to be inhibited no more")
    ended(exporter, "Last", "done")
    standins.slack.wait(lambda m: "Last" in m["attachments"][0]["title"], 60)
    titles = [m["attachments"][0]["title"] for m in standins.slack.messages]
    assert sorted(titles) == sorted(["🟠 Told by an alert failed", "❌ Alone failed", "✅ Last is done"])
