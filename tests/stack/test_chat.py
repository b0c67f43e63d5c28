"""`make up` with receivers switched on: from a process that hangs to a message in a chat, through every real part."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alertmanagers import binaries, relays_teams
from cli import headway
from live_stack import LiveStack
from standins import StandIns
from waiting import wait_until


@pytest.fixture
def standins(tmp_path: Path) -> Iterator[StandIns]:
    services = StandIns(tmp_path / "secrets")
    yield services
    services.close()


def test_a_process_that_hangs_is_in_every_chat_and_so_is_its_end(stack: LiveStack, standins: StandIns) -> None:
    stack.up(HEADWAY_ALERTING_SECRETS=str(standins.folder), HEADWAY_GRAFANA_URL="http://grafana.example")
    script = """
import sys
from headway import Reporter
with Reporter("sync <all> & more", "cron", 100, thresholds={"stuck_after": 2}) as run:
    run.update(40, "and then nothing")
    sys.stdin.readline()
"""
    child = subprocess.Popen([sys.executable, "-c", script], env=stack.client_env, stdin=subprocess.PIPE)
    try:
        (said,) = standins.slack.wait(lambda m: "sync" in m["attachments"][0]["title"], 60)["attachments"]
        # Critical where its CPU and I/O were seen to be quiet for as long already.
        assert re.match("[🟠🔴] sync &lt;all&gt; &amp; more writes nothing", said["title"])
        assert said["title_link"].startswith(f"{stack.url('exporter')}/processes/")
        assert f"<{said['title_link']}|Output> · <{said['title_link']}?cancel|Cancel> · <http://grafana.example/" in said["text"]
        for service in (standins.discord, standins.teams, standins.telegram, standins.webhook):
            service.wait(lambda m: "sync" in json.dumps(m))
        mail = standins.mail.wait(lambda m: "sync <all> & more" in str(m["Subject"]))
        assert mail["To"] == "ops@example.org"
    finally:
        child.communicate(b"\n", timeout=30)
    over = "✅ Resolved: sync &lt;all&gt; &amp; more: Stuck"
    standins.slack.wait(lambda m: m["attachments"][0]["title"] == over, 120)

    environ = {"HEADWAY_ALERTING_SECRETS": str(standins.folder), "HEADWAY_ALERTMANAGER_URL": stack.url("alertmanager")}
    done = headway("alerting", "check", "--send", "--exporter", stack.url("exporter"), environ=environ, timeout=60)
    assert done.returncode == 0 and "not in force" not in done.stdout, done.stdout + done.stderr
    assert done.stdout.count(" delivered") == (5 if relays_teams(binaries()[0]) else 6), "a relay for Teams is a webhook, too"
    assert standins.refused == []
    wait_until(lambda: len([m for m in standins.teams.messages if "a test of Headway" in json.dumps(m)]) == 1, 30)


def test_a_secret_that_cannot_be_used_is_said_before_anything_starts(stack: LiveStack, standins: StandIns) -> None:
    (standins.folder / "slack.url").chmod(0o644)
    done = stack.make("up", HEADWAY_ALERTING_SECRETS=str(standins.folder))
    assert done.returncode != 0 and f"chmod 600 {standins.folder / 'slack.url'}" in done.stdout
    assert stack.pids() == {}
