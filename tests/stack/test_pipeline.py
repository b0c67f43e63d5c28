"""From a script to a number in Prometheus and a message at a webhook, through every real part."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from live_stack import LiveStack, Webhook, fetch
from waiting import wait_until

Script = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def script(live: LiveStack) -> Iterator[Script]:
    """Starts a script of its own process, with the reporter imported; its standard input is a pipe to command it by."""
    children = []

    def run(body: str) -> subprocess.Popen[bytes]:
        head = "import select, sys, time\nfrom headway import Reporter, track\n"
        child = subprocess.Popen([sys.executable, "-c", head + body], env=live.client_env, stdin=subprocess.PIPE)
        children.append(child)
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


def end(child: subprocess.Popen[bytes]) -> None:
    """Closes its standard input, for which it waits, and sees it end well."""
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(30) == 0


def one(answer: list[tuple[dict[str, str], float]]) -> tuple[dict[str, str], float]:
    assert len(answer) == 1, answer
    return answer[0]


def test_progress_rate_and_status_are_in_prometheus_and_the_end_too(live: LiveStack, script: Script) -> None:
    child = script("""
with Reporter('count "sheep"', "pipeline", 1000, "sheep", project="farm") as run:
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        run.advance()
    run.done("all asleep")
""")
    named = 'name="count \\"sheep\\""'
    live.wait_for(f"headway_process_items_done{{{named}}} >= 50")
    labels, ratio = one(live.query(f"headway_process_progress_ratio{{{named}}}"))
    assert 0.05 <= ratio < 0.2 and labels["kind"] == "pipeline" and labels["job"] == "headway"
    assert labels["instance"] == f"127.0.0.1:{live.ports['exporter']}"
    assert one(live.query(f"headway_process_status_code{{{named}}}"))[1] == 3
    rate = one(live.query(f"headway_process_rate_items_per_second{{{named}}}"))[1]
    assert 5 < rate <= 11, "ten a second, fewer on a busy machine"
    left = one(live.query(f"headway_process_eta_seconds{{{named}}}"))[1]
    assert 900 / 11 < left < 950 / 5
    info, _ = one(live.query(f"headway_process_info{{{named}}}"))
    assert info["project"] == "farm" and info["unit"] == "sheep"
    # What the machine says about it, from the pid that the reporter gave.
    memory = live.wait_for(f"headway_process_resident_memory_bytes{{{named}}}")
    assert one(memory)[1] > 5e6

    end(child)
    live.wait_for(f"headway_process_status_code{{{named}}} == 10")
    result, _ = one(live.wait_for(f"headway_process_result_info{{{named}}}"))
    assert result["text"] == "all asleep"


def test_the_first_update_is_in_prometheus_within_a_scrape_or_two(live: LiveStack, script: Script) -> None:
    live.wait_for('up{job="headway"} == 1')
    begun = time.time()
    script('r = Reporter("quick", total=10)\nr.update(1)\nsys.stdin.read()')
    seen = one(live.wait_for('timestamp(headway_process_items_done{name="quick"} >= 1)'))[1]
    # The reporter gathers for a second at most, then comes the next scrape (2 s); the rest is for a busy machine.
    assert seen - begun < 6


def test_one_that_goes_silent_reaches_the_webhook(live: LiveStack, hook: Webhook, script: Script) -> None:
    child = script("""
with Reporter("sync", total=100, thresholds={"stuck_after": 3}) as run:
    run.update(40, "and then nothing")
    sys.stdin.readline()
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        run.advance()
""")
    name = "HeadwayProcessStuck"
    firing = wait_until(lambda: [a for a in hook.alerts(name, "firing") if a["labels"]["name"] == "sync"], 45, "the alert")[0]
    labels, annotations = firing["labels"], firing["annotations"]
    assert labels["severity"] in ("warning", "critical") and (labels["gate"], labels["kind"]) == ("stuck", "task")
    assert annotations["description"].startswith(f"The task sync ({labels['id']}) runs, but neither it nor ")
    assert annotations["process_url"] == f"{live.url('exporter')}/processes/{labels['id']}"
    assert not annotations.get("dashboard_url"), "there is no Grafana, and no link that leads nowhere"
    assert annotations["runbook_url"] == f"{live.url('prometheus')}/user/runbook.txt#:~:text={name}"
    assert fetch(f"{live.url('exporter')}/api/processes/{labels['id']}")["data"]["conditions"][0]["name"] == "stuck"

    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    end(child)


def test_a_failure_reaches_the_webhook_with_its_error_and_is_over_without_a_word_when_dismissed(
    live: LiveStack, hook: Webhook, script: Script
) -> None:
    child = script("""
with Reporter("import", "cron"):
    raise RuntimeError("no space left on {{device}}")
""")
    assert child.wait(30) == 1
    name = "HeadwayProcessFailed"

    def of_import(status: str) -> list[dict[str, Any]]:
        return [alert for alert in hook.alerts(name, status) if alert["labels"]["name"] == "import"]

    alert = wait_until(lambda: of_import("firing"), 45, "the alert")[0]
    assert "no space left on {{device}}" in alert["annotations"]["description"]
    assert alert["annotations"]["summary"] == "A process failed"

    key = (live.state / "exporter/admin.key").read_text().strip()
    dismiss = [sys.executable, "-m", "headway", "dismiss", alert["labels"]["id"]]
    subprocess.run(dismiss, env={**live.client_env, "HEADWAY_KEY": key}, check=True, capture_output=True)
    of_it = f'ALERTS{{alertname="{name}",id="{alert["labels"]["id"]}"}}'
    wait_until(lambda: not live.query(of_it), 120, "its end")
    assert of_import("resolved") == [], "it has happened"


def test_time_sinks_by_rule_and_by_exporter_agree(live: LiveStack, script: Script) -> None:
    script('r = Reporter("slow", expected_duration=2)\nwhile True: r.log("on"); time.sleep(0.5)')
    labels, ratio = one(live.wait_for('ALERTS{alertname="HeadwayProcessTimeSink",name="slow",severity="critical"}', 40))
    ratio = one(live.query(f'instance_id:headway_process_elapsed_to_expected:ratio{{id="{labels["id"]}"}}'))[1]
    assert ratio >= 3

    def severities() -> list[str]:
        shown = fetch(f"{live.url('exporter')}/api/processes/{labels['id']}")["data"]["conditions"]
        return [condition["severity"] for condition in shown if condition["name"] == "time_sink"]

    wait_until(lambda: severities() == ["critical"], 30, "the exporter's next look")


def test_the_watchdog_fires_and_is_sent_nowhere(live: LiveStack, hook: Webhook) -> None:
    def known() -> list[Any]:
        alerts = fetch(f"{live.url('alertmanager')}/api/v2/alerts")
        return [a for a in alerts if a["labels"]["alertname"] == "Watchdog"]

    (alert,) = wait_until(known, 30, "the watchdog at Alertmanager")
    assert [receiver["name"] for receiver in alert["receivers"]] == ["nobody"]
    assert hook.alerts("Watchdog", "firing") == []
