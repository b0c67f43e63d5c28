"""Messages as they arrive: the real Alertmanager, and at each receiver a stand-in that refuses what the real service refuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alertmanagers import RunningAlertmanager, binaries
from mailserver import part
from running import RunningExporter
from standins import StandIns, telegram_text

# What would break careless templates: markup of every receiver, quotes, an emoji, a line end.
NASTY = 'a <b>&amp; "q" *x* _y_ `z` [l](http://evil) {{ .Labels }} \\ ~s~ 🚚\nnext'
PROCESS = "http://exporter.example:14323/processes/0192f0c1-8f7a"
LINKS = {
    "process_url": PROCESS,
    "dashboard_url": "http://grafana.example/d/headway-overview",
    "runbook_url": "http://prometheus.example/user/runbook.txt#:~:text=HeadwayProcessStuck",
}
LABELS = {
    "alertname": "HeadwayProcessStuck",
    "severity": "warning",
    "instance": "127.0.0.1:14323",
    "id": "0192f0c1-8f7a",
    "name": "Nightly import",
    "kind": "cron",
}
SAID = {"summary": "Nightly import is stuck: silent for 2m 5s", "description": "The cron Nightly import (0192f0c1-8f7a) runs."}


@pytest.fixture(scope="module")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    services = StandIns(tmp_path_factory.mktemp("standins") / "secrets")
    yield services
    services.close()


@pytest.fixture(scope="module", params=range(len(binaries())))
def alertmanager(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, standins: StandIns, tools: None
) -> Iterator[RunningAlertmanager]:
    folder = tmp_path_factory.mktemp("alertmanager")
    exporter = RunningExporter(folder / "exporter", ("--alerting-secrets", str(standins.folder))).start()
    running = RunningAlertmanager(folder, binaries()[request.param], standins.folder, exporter.url)
    try:
        yield running.start()
    finally:
        running.stop()
        exporter.kill()


def test_a_stuck_process_reads_well_everywhere(alertmanager: RunningAlertmanager, standins: StandIns) -> None:
    standins.forget()
    alertmanager.fire(LABELS, SAID | LINKS)
    head = f"🟠 {SAID['summary']}"
    (said,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == head)["attachments"]
    print(said["text"])
    embed = standins.discord.wait(lambda m: m["embeds"][0]["title"] == head)["embeds"][0]
    print(embed["description"])
    text = standins.telegram.wait(lambda m: SAID["summary"] in m["text"])["text"]
    print(telegram_text(text), text)
    card = standins.teams.wait(lambda m: SAID["summary"] in str(m))
    print(card)
    mail = standins.mail.wait(lambda m: m["Subject"] == head)
    print(part(mail, "text/plain"), part(mail, "text/html"))
    assert standins.refused == []
