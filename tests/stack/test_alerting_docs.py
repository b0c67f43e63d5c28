"""docs/alerting.md shows messages as they arrive: fired once more here, they are the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from alertmanagers import RunningAlertmanager, binaries, relays_teams
from live_stack import ROOT
from mailserver import part
from running import Starter
from standins import StandIns, telegram_text

DOCUMENT = (ROOT / "docs/alerting.md").read_text(encoding="utf-8")
LABELS = {
    "alertname": "HeadwayProcessTimeSink",
    "severity": "critical",
    "gate": "time_sink",
    "instance": "127.0.0.1:14323",
    "id": "0192f0c1-8f7a-7b52",
    "name": "Nightly import",
    "kind": "cron",
}
SAID = {
    "summary": "A process runs far longer than expected",
    "description": "The cron Nightly import (0192f0c1-8f7a-7b52) has run 3.5 times as long as the 10m 0s that were expected.",
    "process_url": "http://127.0.0.1:14323/processes/0192f0c1-8f7a-7b52",
    "dashboard_url": "http://127.0.0.1:3000/d/headway-process?var-id=0192f0c1-8f7a-7b52",
    "runbook_url": "http://127.0.0.1:9090/user/runbook.txt#:~:text=HeadwayProcessTimeSink",
}
HEAD = "🔴 Nightly import runs far longer than expected"


def test_the_messages_are_those_that_arrive(tmp_path: Path, tools: None, start_exporter: Starter) -> None:
    standins = StandIns(tmp_path / "secrets")
    exporter = start_exporter("--alerting-secrets", str(standins.folder))
    alertmanager = RunningAlertmanager(tmp_path, binaries()[0], standins.folder, exporter.url)
    try:
        alertmanager.start().fire(LABELS, SAID)
        (slack,) = standins.slack.wait(lambda m: m["attachments"][0]["title"] == HEAD)["attachments"]
        (discord,) = standins.discord.wait(lambda m: True)["embeds"]
        telegram = standins.telegram.wait(lambda m: True)["text"]
        (teams,) = standins.teams.wait(lambda m: True)["attachments"]
        mail = standins.mail.wait(lambda m: True)
        webhook = standins.webhook.wait(lambda m: True)
        alertmanager.fire(LABELS, SAID, resolve=True)
        (over,) = standins.slack.wait(lambda m: "Resolved" in m["attachments"][0]["title"])["attachments"]
    finally:
        alertmanager.stop()
        standins.close()
    shown = {
        "Slack": f"{slack['title']}\n{slack['text']}",
        "Discord": f"{discord['title']}\n{discord['description']}",
        "Telegram": telegram,
        "Telegram, as it is shown": telegram_text(telegram),
        "e-mail": f"Subject: {mail['Subject']}\n\n{part(mail, 'text/plain').strip()}",
        "resolved, in Slack": f"{over['title']}\n{over['text']}",
    }
    shown = {name: same(text, alertmanager.url) for name, text in shown.items()}
    documented = dict(re.findall(r"^\*\*([^*\n]+)\*\*\n\n```text\n(.*?)\n```$", DOCUMENT, re.M | re.S))
    card = documented.pop("Microsoft Teams")
    if relays_teams(alertmanager.binary):  # else the card is one of Alertmanager's own
        body = ["".join(run["text"] for run in one["inlines"]) for one in teams["content"]["body"]]
        buttons = " ".join(f"[{action['title']}]" for action in teams["content"]["actions"])
        assert card == same("\n".join([*body, buttons]), alertmanager.url)
    assert documented == shown
    (example,) = re.findall(r"^\*\*webhook\*\*\n\n```json\n(.*?)\n```$", DOCUMENT, re.M | re.S)
    (alert,) = webhook["alerts"]
    alert["startsAt"] = "2026-03-01T02:35:00.123+01:00"
    told = json.loads(same(json.dumps(webhook), alertmanager.url))
    documented = json.loads(example)
    assert documented == {name: told[name] for name in documented}, "newer ones tell more"
    if relays_teams(alertmanager.binary):
        assert told == documented


def test_the_messages_of_the_readme_are_the_same() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    form = r"^\*\*([^*\n]+)\*\*\n\n```(?:text|json)\n(.*?)\n```$"
    documented, shown = (dict(re.findall(form, text, re.M | re.S)) for text in (DOCUMENT, readme))
    assert list(shown) == ["Slack", "Discord", "Telegram", "Microsoft Teams", "e-mail", "webhook"]
    assert {name: documented[name] for name in shown} == shown


def same(text: str, url: str) -> str:
    """With the times and the address of the document."""
    text = re.sub(r"\d+ \w{3} \d\d:\d\d \w+", "1 Mar 02:35 CET", text.replace(url, "http://127.0.0.1:9093"))
    return re.sub(r"It lasted \S+,", "It lasted 5m12s,", text)


def test_every_secret_file_is_documented_and_every_example_can_be_used() -> None:
    from headway.alerting.secrets import FILES, FORMS, NEEDED

    assert [name for name in FILES if f"`{name}`" not in DOCUMENT] == []
    examples = re.findall(r"^# alerting/secrets/(\w+)\.yml\n(.*?)^```", DOCUMENT, re.M | re.S)
    assert {name for name, _ in examples} == set(FORMS)
    for name, text in examples:
        content = yaml.safe_load(text)
        assert set(NEEDED[name]) <= set(content) <= set(FORMS[name])
        for key, value in content.items():
            FORMS[name][key].read(value if isinstance(value, str) else json.dumps(value))
