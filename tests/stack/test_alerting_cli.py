"""`headway alerting check` and `headway snooze` with the real Alertmanager."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from alertmanagers import RunningAlertmanager, binaries
from cli import headway
from live_stack import ROOT
from running import Starter
from standins import StandIns


@pytest.fixture(scope="module")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    services = StandIns(tmp_path_factory.mktemp("standins") / "secrets")
    for name in ("discord.url", "teams.url", "telegram.yml"):
        (services.folder / name).unlink()
    services.put("slack.critical.url", f"{services.slack.url}/critical")
    yield services
    services.close()


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory, standins: StandIns, tools: None) -> Iterator[RunningAlertmanager]:
    running = RunningAlertmanager(tmp_path_factory.mktemp("alertmanager"), binaries()[0], standins.folder)
    yield running.start()
    running.stop()


@pytest.fixture
def where(alertmanager: RunningAlertmanager, standins: StandIns) -> dict[str, str]:
    path = f"{Path(alertmanager.binary).parent}:{ROOT / '.headway/bin'}:/usr/bin:/bin"
    secrets = {"HEADWAY_ALERTING_SECRETS": str(standins.folder)}
    return {"HEADWAY_ALERTMANAGER_URL": alertmanager.url, "PATH": path, **secrets}


def base(alertmanager: RunningAlertmanager) -> tuple[str, ...]:
    return ("--base", str(alertmanager.folder / "base.yml"), "--templates", str(ROOT / "alerting/templates"))


# ── check ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_check_says_what_is_on_and_that_a_test_alert_arrived(
    alertmanager: RunningAlertmanager, standins: StandIns, where: dict[str, str]
) -> None:
    done = headway("alerting", "check", "--send", *base(alertmanager), environ=where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"runs at {alertmanager.url}" in done.stdout and "the configuration is valid" in done.stdout
    assert (
        f"on   slack     every alert, by Alertmanager's own integration, address read from its file ({standins.folder}"
        in done.stdout
    )
    assert "on   slack     critical alerts" in done.stdout and "not in force" not in done.stdout
    assert f"off  discord   put its secret into {standins.folder / 'discord.url'}" in done.stdout
    for name in ("email", "slack", "webhook"):
        assert f"  {name:<9} delivered" in done.stdout
    assert "goes to email, slack, webhook in 0.3s,\nand that it is over follows in about 21s\n" in done.stdout
    head = "🟠 This is a test of Headway's messages"
    assert standins.mail.wait(lambda m: m["Subject"] == head)
    assert [m["attachments"][0]["title"] for m in standins.slack.messages] == [head], "not the one for critical alerts"
    assert "secret=1" not in done.stdout and "pass word" not in done.stdout


def test_amtool_of_another_version_is_not_asked(
    alertmanager: RunningAlertmanager, standins: StandIns, where: dict[str, str]
) -> None:
    """It knows the fields of its own version: those of a newer Alertmanager would be mistakes."""
    done = headway("alerting", "check", *base(alertmanager), "--for", "0.99", environ=where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the configuration was not checked: it is for Alertmanager 0.99, and /" in done.stdout


def test_a_critical_one_goes_to_everybody(alertmanager: RunningAlertmanager, standins: StandIns, where: dict[str, str]) -> None:
    standins.forget()
    done = headway("alerting", "check", "--send", "--severity", "critical", *base(alertmanager), environ=where)
    assert done.returncode == 0, done.stdout + done.stderr
    titles = [m["attachments"][0]["title"] for m in standins.slack.messages]
    assert titles == ["🔴 This is a test of Headway's messages"] * 2


def test_one_that_fails_is_said(alertmanager: RunningAlertmanager, standins: StandIns, where: dict[str, str]) -> None:
    standins.webhook.away = True
    try:
        done = headway("alerting", "check", "--send", *base(alertmanager), environ=where)
    finally:
        standins.webhook.away = False
    assert done.returncode == 1 and "webhook   failed: the log of Alertmanager says why (headway logs alertmanager" in done.stdout
    assert "slack     delivered" in done.stdout


def test_check_sees_that_the_running_one_has_other_receivers(
    alertmanager: RunningAlertmanager, tmp_path: Path, where: dict[str, str]
) -> None:
    done = headway("alerting", "check", *base(alertmanager), "--secrets", str(tmp_path), environ=where)
    assert done.returncode == 0 and "nothing is switched on" in done.stdout
    assert "not in force yet: the running Alertmanager has email, slack, webhook" in done.stdout


def test_a_webhook_of_the_environment_that_make_up_remembers_is_no_difference(
    alertmanager: RunningAlertmanager, standins: StandIns, tmp_path: Path, where: dict[str, str]
) -> None:
    for path in standins.folder.iterdir():
        if path.name != "webhook.url":
            shutil.copy(path, tmp_path / path.name)
    done = headway("alerting", "check", *base(alertmanager), "--secrets", str(tmp_path), environ=where)
    assert "has one webhook more: that of HEADWAY_WEBHOOK_URL" in done.stdout and "not in force" not in done.stdout


def test_without_alertmanager_it_is_said_what_to_do(tmp_path: Path) -> None:
    nobody = {"HEADWAY_ALERTMANAGER_URL": "http://127.0.0.1:9", "HEADWAY_ALERTING_SECRETS": str(tmp_path)}
    flags = ("--for", "0.25", "--base", str(ROOT / "alerting/alertmanager.yml"))
    done = headway("alerting", "check", *flags, environ=nobody)
    assert done.returncode == 3 and "no Alertmanager answers at http://127.0.0.1:9: start it (make up)" in done.stdout
    done = headway("alerting", "check", "--send", *flags, environ=nobody)
    assert done.returncode == 3 and "no Alertmanager answers" in done.stderr


# ── snooze ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_snoozed_name_is_quiet_until_the_snooze_is_ended(
    alertmanager: RunningAlertmanager, standins: StandIns, where: dict[str, str]
) -> None:
    standins.forget()
    done = headway("snooze", "--name", 'job "x" \\ y', "2h", "--comment", "known", environ=where)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == 'quiet for 2h: name job "x" \\ y'
    listed = headway("snooze", "--list", environ=where).stdout.splitlines()
    assert listed[0].split() == ["SILENCE", "OF", "LEFT", "BY", "COMMENT"]
    assert 'name=job "x" \\ y' in listed[1] and "2h" in listed[1] and "known" in listed[1] and len(listed) == 2

    labels = {"alertname": "HeadwayProcessStuck", "severity": "warning", "id": "snoozed-1", "name": 'job "x" \\ y'}
    alertmanager.fire(labels)
    alertmanager.fire(labels | {"name": "another", "id": "other"})
    standins.webhook.wait(lambda m: m["alerts"][0]["labels"].get("name") == "another")
    assert [name for m in standins.webhook.messages if (name := m["alerts"][0]["labels"].get("name"))] == ["another"]
    (silence,) = alertmanager.client.silences()
    assert silence.comment == "known" and 7100 < silence.ends_at - time.time() <= 7200

    done = headway(*second.removesuffix(" ends it").split()[1:], environ=where)
    assert done.returncode == 0 and done.stdout == 'ended: name=job "x" \\ y is told of again\n'
    standins.webhook.wait(lambda m: m["alerts"][0]["labels"].get("name") == labels["name"])
    assert headway("snooze", "--list", environ=where).stdout == "nothing is snoozed\n"


def test_one_process_is_found_by_the_beginning_of_its_id(
    alertmanager: RunningAlertmanager, standins: StandIns, where: dict[str, str], start_exporter: Starter
) -> None:
    exporter = start_exporter()
    made = requests.post(f"{exporter.url}/api/processes", json={"name": "snoozed", "type": "task"}, timeout=30)
    process_id = made.json()["data"]["id"]
    known = where | {"HEADWAY_URL": exporter.url, "HEADWAY_KEY": exporter.key}
    done = headway("snooze", process_id[:-4], "--alert", "HeadwayProcessStuck", "30m", environ=known)
    assert done.returncode == 0 and f"quiet for 30m: id {process_id} and alertname HeadwayProcessStuck" in done.stdout, done.stderr
    # A whole id needs no exporter.
    requests.post(f"{exporter.url}/api/processes", json={"name": "Night's import", "type": "cron"}, timeout=30)
    done = headway("snooze", "Night's import", "2h", environ=known)
    assert done.returncode == 5
    assert done.stderr.endswith("; every run of that name: headway snooze --name 'Night'\"'\"'s import' 2h\n"), done.stderr
    done = headway("snooze", process_id, "1m", environ=where | {"HEADWAY_URL": "http://127.0.0.1:9"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "say what to keep quiet and for how long"),
        (("2h",), 2, "one id, --name or --alert, then a duration"),
        (("--name", "x"), 2, "does not say for how long"),
        (("--name", "x", "soon"), 2, "'soon' does not say for how long"),
        (("--name", "x", "0s"), 2, "from a second to a year"),
        (("--list", "--end", "abcd"), 2, "or --list, or --end"),
        (("--end", "ffffffff"), 5, "there is no silence ffffffff: headway snooze --list shows them"),
    ],
)
def test_mistakes(words: tuple[str, ...], code: int, said: str, where: dict[str, str]) -> None:
    done = headway("snooze", *words, environ=where)
    assert (done.returncode, done.stdout) == (code, "") and said in done.stderr


def test_a_snooze_without_alertmanager_says_how_to_start_it() -> None:
    done = headway("snooze", "--name", "x", "2h", environ={"HEADWAY_ALERTMANAGER_URL": "127.0.0.1:9"})
    assert done.returncode == 3 and "no Alertmanager answers at http://127.0.0.1:9: start it (make up)" in done.stderr
