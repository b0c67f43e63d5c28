"""compose.yaml on a real Docker Engine: everything comes up healthy, sees what it has to see, and keeps what it knows."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from typing import Any

import pytest
import requests

from composed_stack import LONG, SERVICES, Composed
from headway import Client, Reporter
from live_stack import fetch
from waiting import wait_until

pytestmark = pytest.mark.composed


def key(stack: Composed) -> str:
    """That of scripts on this machine, from the file that the first start wrote."""
    return (stack.folder / ".headway/compose/scripts.key").read_text().strip()


def client(stack: Composed) -> Client:
    return Client(url=stack.url("exporter"), key=key(stack))


def admin(stack: Composed) -> dict[str, str]:
    key = stack.run("exec", "-T", "exporter", "cat", "/var/lib/headway/admin.key").stdout.strip()
    return {"Authorization": f"Bearer {key}"}


def alerts(stack: Composed) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fetch(f"{stack.url('alertmanager')}/api/v2/alerts")
    return found


def test_everything_is_healthy_and_what_had_to_end_has_ended(stack: Composed) -> None:
    assert stack.states() == {**dict.fromkeys(SERVICES, "healthy"), "alerting": "exited"}
    assert stack.inspect("alerting")["State"]["ExitCode"] == 0


def test_containers_are_as_locked_up_as_the_file_says(stack: Composed) -> None:
    for service in SERVICES:
        container = stack.inspect(service)
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
        assert "no-new-privileges:true" in host["SecurityOpt"] and host["Memory"] > 0 and host["PidsLimit"] > 0
        assert host["RestartPolicy"]["Name"] == "unless-stopped" and host["LogConfig"]["Config"]["max-size"] == "10m"
        bound = [one["HostIp"] for ports in container["NetworkSettings"]["Ports"].values() for one in ports or ()]
        assert bound == ["127.0.0.1"], f"{service} listens on {bound}"
    # The code of what is executed does not always get through.
    tried = "(echo > /opt/x) 2>/dev/null && echo written || echo refused"
    assert stack.run("exec", "-T", "exporter", "sh", "-c", tried).stdout.strip() == "refused"


def test_grafana_is_given_what_it_needs(stack: Composed) -> None:
    found = json.loads(stack.run("exec", "-T", "grafana", "cat", "/var/lib/grafana/report.json").stdout)
    assert found["urls"] == {
        "prometheus": "http://prometheus:9090",
        "alertmanager": "http://alertmanager:9093",
        "loki": "http://loki:3100",
    }
    assert found["answers"] == {"prometheus": 200, "alertmanager": 200}
    assert found["home"] == "headway-overview.json" and found["dashboards"] == {uid: uid for uid in found["dashboards"]}
    assert len(found["dashboards"]) == 7 and found["root_url"] == stack.url("grafana") and found["listens"] == "0.0.0.0"
    can_write = {path for path, yes in found["writable"].items() if yes}
    assert can_write == {"/var/lib/grafana", "/tmp"} and found["uid"] == 472 and int(found["capabilities"], 16) == 0


def test_nobody_gets_in_without_a_key(stack: Composed) -> None:
    for path in ("/metrics", "/api/processes"):
        assert requests.get(stack.url("exporter") + path, timeout=30).status_code == 401
    assert client(stack).list(state="all") is not None


def test_a_process_of_the_machine_from_report_to_alert(stack: Composed) -> None:
    """A script on the machine reports with the key from the file, the exporter sees its OS process, Prometheus reads that, its rule
    fires, and Alertmanager has the alert."""
    wait_until(lambda: stack.query('up{job="headway"} == 1'), LONG, "Prometheus reads the exporter", interval=0.5)
    child = subprocess.Popen(["sleep", "600"])
    try:
        run = Reporter("Composed run", type="pipeline", total=10, pid=child.pid, url=stack.url("exporter"), key=key(stack))
        run.update(4, line="four of ten")
        processes = f'headway_process_os_processes{{id="{run.id}"}}'
        assert wait_until(lambda: stack.query(f"{processes} == 1"), 60, "its OS process is seen", interval=0.5)
        assert wait_until(
            lambda: stack.query(f'headway_process_progress_ratio{{id="{run.id}"}} == 0.4'), 60, "its progress", interval=0.5
        )
        shown = requests.get(f"{stack.url('exporter')}/api/processes/{run.id}/tree", headers=admin(stack), timeout=30).json()
        assert "sleep" in json.dumps(shown)
        run.fail("ValueError: composed")
        run.close() if hasattr(run, "close") else None
    finally:
        child.kill()
        child.wait()
    firing = wait_until(lambda: [one for one in alerts(stack) if one["labels"].get("id") == run.id], LONG, "the alert", interval=1)
    assert firing[0]["annotations"]["dashboard_url"].startswith(stack.url("grafana"))
    assert "Composed run" in firing[0]["annotations"]["description"]


def test_each_can_be_restarted_and_keeps_what_it_knows(stack: Composed) -> None:
    started = client(stack)
    made = requests.post(
        f"{stack.url('exporter')}/api/processes",
        json={"id": "kept-1", "name": "Kept", "type": "task"},
        headers={"Authorization": f"Bearer {key(stack)}"},
        timeout=30,
    )
    assert made.status_code in (200, 201), made.text
    code = 'headway_process_status_code{id="kept-1"}'
    wait_until(lambda: stack.query(code), 60, "it is in Prometheus", interval=0.5)
    seen_at = time.time()
    silence = {
        "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": False, "isEqual": True}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "test",
        "comment": "kept",
    }
    requests.post(f"{stack.url('alertmanager')}/api/v2/silences", json=silence, timeout=30).raise_for_status()
    starts = json.loads(stack.run("exec", "-T", "grafana", "cat", "/var/lib/grafana/report.json").stdout)["starts"]
    for service in SERVICES:
        before = stack.inspect(service)["State"]["StartedAt"]
        stack.run("restart", service)
        wait_until(lambda service=service: stack.states()[service] == "healthy", LONG, f"{service} is healthy again", interval=1)  # type: ignore[misc]
        assert stack.inspect(service)["State"]["StartedAt"] > before
    assert started.get("kept-1")["name"] == "Kept"
    wait_until(lambda: stack.query(code, at=seen_at), 30, "what Prometheus knew before", interval=0.5)
    wait_until(lambda: stack.query('up{job="headway"} == 1'), LONG, "Prometheus is still let in", interval=0.5)
    assert "kept" in [one["comment"] for one in fetch(f"{stack.url('alertmanager')}/api/v2/silences")]
    assert json.loads(stack.run("exec", "-T", "grafana", "cat", "/var/lib/grafana/report.json").stdout)["starts"] == starts + 1


def test_down_and_up_again_keeps_the_volumes_and_the_keys(stack: Composed) -> None:
    kept, processes = key(stack), {one["id"] for one in client(stack).list(state="all", limit=100)}
    stack.run("down", "--timeout", "10")
    stack.run("up", "--detach", "--wait", "--no-build", "--pull", "never", timeout=2 * LONG)
    assert key(stack) == kept and {one["id"] for one in client(stack).list(state="all", limit=100)} >= processes
    wait_until(lambda: stack.query('up{job="headway"} == 1'), LONG, "the key of Prometheus is the same", interval=0.5)


def test_the_demonstration_is_real_work_that_can_be_watched(stack: Composed) -> None:
    stack.environ["DEMO_SECONDS"] = "20"
    stack.run("--profile", "demo", "up", "--detach", "--no-build", "--pull", "never", "demo")
    shown = wait_until(
        lambda: client(stack).list(group="demo", state="all", limit=100), LONG, "the demonstration reports", interval=1
    )
    assert {one["status"] for one in shown} & {"running", "done", "failed", "queued"}
    wait_until(lambda: stack.query('headway_process_os_processes{kind!=""}'), LONG, "its OS processes are seen", interval=1)


def test_the_page_is_where_links_lead(stack: Composed) -> None:
    request = urllib.request.Request(f"{stack.url('exporter')}/processes", headers=admin(stack) | {"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    found = stack.query("headway_build_info")
    assert found[0][0]["external_url"] == stack.url("exporter") and found[0][0]["grafana_url"] == stack.url("grafana")
