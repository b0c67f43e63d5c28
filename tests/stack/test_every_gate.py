"""Every gate, end to end: real processes that deserve the alert, a real exporter, Prometheus and Alertmanager, and the message at a
stand-in of each service. One stack for all of them; everything happens at the same time, and each test waits for its message.

Thresholds are shortened by settings and by what processes ask for themselves, and the waiting times of the rules by `in_haste`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from alertmanagers import RunningAlertmanager, binaries
from headway import Client
from headway.reporter.client import ApiError
from headway.services.memory import Memory, Remembered
from live_stack import fetch, free_ports
from mailserver import part
from prometheus_server import RunningPrometheus
from running import RunningExporter
from small_disk import SmallDisk, small_disk
from standins import StandIns
from waiting import wait_until

GRAFANA = "http://grafana.example"
PATIENCE = 60.0
# Who grows by less (bytes/s) uses nothing up in time: a quarter of what the leak takes, far more than Python does for itself.
LEAK = 2 << 20

HEAD = """
import os, signal, subprocess, sys, time
from headway import Client, Reporter
from headway.reporter.client import ApiError

def made_known(run):
    while True:
        try:
            return Client().get(run.id)
        except ApiError:
            time.sleep(0.2)
"""
# By name, what each of them does. They are pipelines, so that each has messages of its own.
SCRIPTS = {
    "sink": """
run = Reporter("sink", "pipeline", expected_duration=8)
while True:
    run.log("still at it")
    time.sleep(0.5)
""",
    "soon": """
run = Reporter("soon", "pipeline", 1_000_000, expected_duration=100)
while True:
    run.advance()
    time.sleep(0.1)
""",
    "hang": """
run = Reporter("hang", "pipeline", 100, thresholds={"stuck_after": 3})
run.update(40, "and then nothing")
signal.pause()
""",
    # On one core, the one much nicer than the other. The threshold is low because others use the machine too.
    "hog": """
run = Reporter("hog", "pipeline", thresholds={"cpu_ratio": 0.2})
made_known(run)
os.sched_setaffinity(0, {CPU})
while True:
    pass
""",
    "starving": """
run = Reporter("starving", "pipeline")
made_known(run)
os.sched_setaffinity(0, {CPU})
os.nice(19)
while True:
    pass
""",
    "overdue": """
run = Reporter("overdue", "pipeline", timeout=3, expected_duration=5)
while True:
    run.log("and on")
    time.sleep(0.5)
""",
    "lost": """
run = Reporter("lost", "pipeline")
run.log("last words")
made_known(run)
os.kill(os.getpid(), signal.SIGKILL)
""",
    "asks": """
run = Reporter("asks", "pipeline", thresholds={"waiting_after": 2})
with run.waiting("approval of the release"):
    signal.pause()
""",
    # Its child ends, and it does not take notice.
    "zombie": """
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
run = Reporter("zombie", "pipeline", pid=child.pid)
made_known(run)
child.stdin.close()
while True:
    run.log("not looking")
    time.sleep(0.5)
""",
    # 8 MiB a second for a minute, a quarter of that when it is kept from the CPU.
    "leak": """
run, kept = Reporter("leak", "pipeline"), []
while len(kept) < 250:
    kept.append(os.urandom(1 << 16) * 32)
    run.log("more")
    time.sleep(0.25)
signal.pause()
""",
}
COMMANDS = {
    "ended": ("--timeout", "2", "--kill-on-timeout", "--", "sleep", "600"),
    "broken": ("--", "sh", "-c", "echo no space left on device >&2; exit 3"),
    "crashed": ("--", "sh", "-c", "kill -SEGV $$"),
    "twice": ("--", "sleep", "601"),
    "flaky": ("--", "false"),
    "meanwhile": ("--", "false"),
    "fine": ("--", "true"),
}


@dataclass(frozen=True)
class Case:
    """An alert that must arrive. `said`: a pattern of its description; `board`: where its dashboard_url leads."""

    alert: str
    severity: str
    of: str
    said: str
    board: str = "headway-process?var-id={id}"
    label: str = "name"

    def __str__(self) -> str:
        return f"{self.alert}-{self.severity}"


TRENDS = "headway-trends?var-name={name}"
CASES = (
    # First, for those two leave nothing of their core to others.
    Case("HeadwayProcessBottleneck", "warning", "hog", r"uses [\d.]+ of a core .* waits? for it: .* for \d+s now"),
    Case("HeadwayProcessFailed", "warning", "broken", r"pipeline broken \(.+\) failed .* ago: .*no space left on device"),
    Case("HeadwayProcessFailed", "warning", "crashed", r"pipeline crashed \(.+\) failed .* ago: ended by signal SIGSEGV"),
    Case("HeadwayProcessTimedOut", "critical", "overdue", r"has run for \d+s and still does; its timeout is 3s"),
    Case("HeadwayProcessTimedOut", "warning", "ended", r"was ended .* ago because it ran past its timeout"),
    Case("HeadwayProcessStuck", "critical", "hang", r"written a line or got further for \d+s; CPU and I/O are quiet for \d+s"),
    Case("HeadwayProcessOrphaned", "warning", "lost", r"is gone, and nobody said how it ended"),
    Case("HeadwayProcessZombie", "warning", "zombie", r"ended \d+s ago, and its parent has not waited for it"),
    Case("HeadwayWaitingForPerson", "warning", "asks", r"has waited for a person for \d+s: approval of the release\."),
    Case("HeadwayProcessDuplicate", "warning", "twice", r"runs the same command in the same directory .* for \d+s now"),
    Case("HeadwayHighFailureRate", "warning", "flaky", r"3 of the last 3 runs of the pipeline flaky ended badly", TRENDS),
    Case("HeadwayCronMissed", "warning", "nightly", r"A run of the cron nightly was due and nothing", TRENDS),
    Case("HeadwayServiceDown", "critical", "shaky", r"shaky on .* is to run, and has been in error", "/services", "service"),
    Case("HeadwayProcessTimeSink", "warning", "sink", r"has run 2\.\d times as long as the 8s that it was expected to take"),
    Case("HeadwayProcessTimeSinkForeseen", "info", "soon", r"will probably have run [\d.]+ times as long as expected"),
    Case("HeadwayMemoryExhaustionForeseen", "warning", "leak", r"If it goes on growing like this, nothing is left in"),
    Case("HeadwayProcessTimeSink", "critical", "sink", r"has run 3(\.\d)? times as long as the 8s"),
)  # fmt: skip


@dataclass
class World:
    """Everything that runs. `brittle` is a second exporter, whose database is on `disk` where a disk can be had."""

    folder: Path
    standins: StandIns
    exporter: RunningExporter
    alertmanager: RunningAlertmanager
    prometheus: RunningPrometheus
    brittle: RunningExporter
    disk: SmallDisk | None
    children: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    def begin(self, name: str, *command: str) -> None:
        nowhere = subprocess.DEVNULL
        child = subprocess.Popen(command, env=self.exporter.client_env, cwd=self.folder, stdout=nowhere, stderr=nowhere)
        threading.Thread(target=child.wait, daemon=True).start()  # or it would be a zombie of ours
        self.children.setdefault(name, []).append(child)

    def script(self, name: str) -> None:
        cpu = str(min(os.sched_getaffinity(0)))
        self.begin(name, sys.executable, "-c", HEAD + SCRIPTS[name].replace("CPU", cpu))

    def run(self, name: str) -> None:
        self.begin(name, sys.executable, "-m", "headway", "run", "--type", "pipeline", "--name", name, "--quiet", *COMMANDS[name])

    def end(self, name: str) -> None:
        for child in self.children.pop(name, ()):
            child.terminate()  # the reporter says that it was ended, `headway run` ends its command
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(30)

    def end_all(self) -> None:
        for name in list(self.children):
            self.end(name)

    def alert(self, predicate: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The first one that the webhook was told of and that is so."""

        def found() -> list[dict[str, Any]]:
            told = [alert for message in list(self.standins.webhook.messages) for alert in message["alerts"]]
            return [alert for alert in told if predicate(alert)]

        try:
            return wait_until(found, PATIENCE, what)[0]
        except AssertionError as error:
            firing = self.prometheus.query("ALERTS")
            raise AssertionError(f"{error}; Prometheus knows {firing}; refused: {self.standins.refused}") from None

    def in_every_chat(self, *words: str) -> None:
        """Waits until a message with all these words has arrived at each."""

        def holds(text: str) -> bool:
            return all(re.search(word, text) for word in words)

        for name, service in self.standins.services.items():
            service.wait(lambda m: holds(json.dumps(m, ensure_ascii=False)), PATIENCE, f"{words} at {name}")
        self.standins.mail.wait(lambda m: holds(part(m, "text/plain")), PATIENCE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tools: None) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("gates")
    with ExitStack() as ending:
        standins = StandIns(folder / "secrets")
        ending.callback(standins.close)
        exporter = RunningExporter(folder / "exporter", port=free_ports(1)[0])
        alertmanager = RunningAlertmanager(folder, binaries()[0], standins.folder, exporter.url)
        exporter.args = flags(folder, standins, alertmanager.url)
        # As an exporter leaves it that stopped ten minutes ago; a run was due five minutes ago.
        (folder / "exporter").mkdir()
        Memory(folder / "exporter").save({"nightly": Remembered(wanted=True, seen_due=time.time() - 600)})
        exporter.start()
        ending.callback(exporter.kill)
        alertmanager.start()
        ending.callback(alertmanager.stop)
        prometheus = RunningPrometheus(folder / "prometheus", alertmanager.url).start()
        ending.callback(prometheus.stop)
        disk = a_small_disk(folder / "disk", ending)
        brittle = RunningExporter(folder / "disk/data", ("--grafana-url", GRAFANA, "--sample-interval", "0.5"))
        ending.callback(lambda: brittle.kill() if brittle.process is not None else None)
        world = World(folder, standins, exporter, alertmanager, prometheus, brittle, disk)
        prometheus.watch(at(exporter))
        ending.callback(world.end_all)
        for name in SCRIPTS:
            world.script(name)
        for name, times in (("ended", 1), ("broken", 1), ("crashed", 1), ("twice", 2), ("flaky", 3)):
            for _ in range(times):
                world.run(name)
        yield world


def flags(folder: Path, standins: StandIns, alertmanager: str) -> tuple[str, ...]:
    due = time.gmtime(time.time() - 300)
    services = {
        "shaky": {"command": "exit 1", "restart": {"backoff": "3s", "tries": 3}},
        "nightly": {
            "command": "true",
            "schedule": {"cron": f"{due.tm_min} {due.tm_hour} * * *", "time_zone": "UTC", "missed": "skip"},
        },
    }
    (folder / "headway.yaml").write_text(json.dumps({"services": services}))
    foresight = psutil.virtual_memory().total / LEAK
    settings = {
        **{"sample-interval": "0.5", "zombie-after": "2", "failure-rate-runs": "3", "memory-foresight": f"{foresight:.0f}"},
        **{"alertmanager-url": alertmanager, "announce-failures-after": "20"},
        **{"grafana-url": GRAFANA, "alerting-secrets": str(standins.folder), "config": str(folder / "headway.yaml")},
    }
    return tuple(word for name, value in settings.items() for word in (f"--{name}", value))


def a_small_disk(path: Path, ending: ExitStack) -> SmallDisk | None:
    try:
        return ending.enter_context(small_disk(path))
    except pytest.skip.Exception:
        path.mkdir(exist_ok=True)
        return None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_fires_and_reaches_every_chat(world: World, case: Case) -> None:
    wanted = {"alertname": case.alert, "severity": case.severity, case.label: case.of}
    alert = world.alert(lambda a: wanted.items() <= a["labels"].items() and a["status"] == "firing", str(wanted))
    labels, notes = alert["labels"], alert["annotations"]
    assert re.search(case.said, notes["description"]), notes["description"]
    assert labels["instance"] == at(world.exporter) and labels["gate"]
    place = world.exporter.url if case.board.startswith("/") else f"{GRAFANA}/d/"
    assert notes["dashboard_url"] == place + case.board.format(**{"id": "", **labels})
    assert notes["runbook_url"] == f"{world.prometheus.url}/user/runbook.txt#:~:text={case.alert}"
    if "id" in labels:
        assert notes["process_url"] == f"{world.exporter.url}/processes/{labels['id']}"
    world.in_every_chat(rf"\b{case.of}\b", rf"text={case.alert}\b", rf"\b{case.severity}\b")
    if case.of == "hog":
        blocked = f'last_over_time(headway_process_blocked_by{{name="starving",blocker_id="{labels["id"]}"}}[1m])'
        assert world.prometheus.query(blocked), "of all that wait for it, the one that is made to"
        world.end("hog")
        world.end("starving")
    assert world.standins.refused == []


def test_what_is_said_already_is_not_said_again(world: World) -> None:
    """Past its timeout it takes far longer than expected, too."""
    late = 'ALERTS{alertname="HeadwayProcessTimeSink",name="overdue",alertstate="firing",severity="critical"}'
    wait_until(lambda: world.prometheus.query(late), PATIENCE, "it takes too long by now")
    told = {a["labels"]["alertname"] for m in list(world.standins.webhook.messages) for a in m["alerts"] if names(a, "overdue")}
    assert told == {"HeadwayProcessTimedOut"}


def test_a_failure_is_one_message(world: World) -> None:
    """The announcement of such an end comes when the alert has told it, and is kept back."""
    told_by = dict.fromkeys(("broken", "crashed"), "HeadwayProcessFailed")
    told_by |= {"ended": "HeadwayProcessTimedOut", "lost": "HeadwayProcessOrphaned"}

    def kept_back() -> set[str]:
        ends = fetch(f"{world.alertmanager.url}/api/v2/alerts", filter='alertname="HeadwayProcessEnded"')
        return {end["labels"]["name"] for end in ends if end["status"]["inhibitedBy"]}

    wait_until(lambda: told_by.keys() <= kept_back(), PATIENCE, "the announcements")
    world.run("fine")
    world.alert(lambda a: names(a, "fine") and a["labels"]["alertname"] == "HeadwayProcessEnded", "a good end is announced")
    told = {(a["labels"].get("name"), a["labels"]["alertname"]) for m in list(world.standins.webhook.messages) for a in m["alerts"]}
    assert told_by.items() <= told
    assert not told & {(name, "HeadwayProcessEnded") for name in told_by}


def test_a_failing_service_is_one_message(world: World) -> None:
    """It failed three times, which is also too often, and was given up."""
    looked = 'count_over_time(instance_name_kind:headway_recent_runs_bad:too_many{name="shaky"}[1m]) >= 4'
    wait_until(lambda: world.prometheus.query(looked), PATIENCE, "some looks at all of its attempts")
    told = {a["labels"]["alertname"] for m in list(world.standins.webhook.messages) for a in m["alerts"] if about(a, "shaky")}
    assert told == {"HeadwayServiceDown"}
    assert not world.prometheus.query('ALERTS{name="shaky",alertstate="firing"}')


def about(alert: dict[str, Any], name: str) -> bool:
    return name in (alert["labels"].get("name"), alert["labels"].get("service"))


def names(alert: dict[str, Any], name: str) -> bool:
    return bool(alert["labels"].get("name") == name)


def test_alertmanager_is_away_when_it_fires(world: World) -> None:
    world.alertmanager.stop()
    world.run("meanwhile")
    firing = 'ALERTS{alertname="HeadwayProcessFailed",name="meanwhile",alertstate="firing"}'
    wait_until(lambda: world.prometheus.query(firing), PATIENCE, "it fires")
    world.alertmanager.start()
    world.in_every_chat(r"\bmeanwhile\b", r"text=HeadwayProcessFailed\b")


def test_a_restart_of_the_exporter_ends_nothing(world: World) -> None:
    still = [{"alertname": case.alert, "name": case.of} for case in CASES if case.of in ("overdue", "hang", "sink")]
    world.exporter.restart()
    for wanted in still:
        expr = f'ALERTS{{alertname="{wanted["alertname"]}",name="{wanted["name"]}",alertstate="firing"}}'
        seen = f'headway_process_status_code{{name="{wanted["name"]}"}} == 3'
        wait_until(lambda asked=seen: world.prometheus.query(asked), PATIENCE, "it is looked at again")  # type: ignore[misc]
        wait_until(lambda asked=expr: world.prometheus.query(asked), PATIENCE, f"{wanted} goes on")  # type: ignore[misc]
    told = [a for m in list(world.standins.webhook.messages) for a in m["alerts"]]
    assert [a for a in told for wanted in still if over(wanted)(a) and a["labels"]["severity"] == "critical"] == []
    assert world.standins.refused == []


def over(wanted: dict[str, str]) -> Callable[[dict[str, Any]], bool]:
    return lambda alert: alert["status"] == "resolved" and wanted.items() <= alert["labels"].items()


def test_what_is_over_is_said_to_be(world: World) -> None:
    names = ("sink", "soon", "hang", "overdue", "zombie", "twice", "leak")
    for name in names:
        world.end(name)
    for name in names:
        for alert in {case.alert for case in CASES if case.of == name}:
            wanted = {"alertname": alert, "name": name}
            world.alert(over(wanted), f"{name} is over")
    world.in_every_chat(r"(?i)resolved", r"\bhang\b", r"text=HeadwayProcessStuck\b")
    assert any(m["attachments"][0]["title"] == "✅ Resolved: hang: Stuck" for m in world.standins.slack.messages)
    assert world.standins.refused == []


def test_the_watchdog_fires_for_nobody(world: World) -> None:
    def known() -> list[dict[str, Any]]:
        return [a for a in fetch(f"{world.alertmanager.url}/api/v2/alerts") if a["labels"]["alertname"] == "Watchdog"]

    (alert,) = wait_until(known, 30, "the watchdog at Alertmanager")
    assert [receiver["name"] for receiver in alert["receivers"]] == ["nobody"]
    assert "Watchdog" not in json.dumps(world.standins.webhook.messages)


# ── the exporter itself ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def brittle(world: World) -> RunningExporter:
    """The second exporter, running and looked at."""
    exporter = world.brittle
    if exporter.process is None or exporter.process.poll() is not None:
        exporter.start()
    world.prometheus.watch(at(world.exporter), at(exporter))
    wait_until(lambda: world.prometheus.query(f'up{{instance="{at(exporter)}"}} == 1'), PATIENCE, "Prometheus reads it")
    return exporter


def at(exporter: RunningExporter) -> str:
    return exporter.url.removeprefix("http://")


def test_an_exporter_whose_disk_is_full(world: World, brittle: RunningExporter) -> None:
    if world.disk is None:
        pytest.skip("mounting a small file system needs more rights")
    client = Client(brittle.url, brittle.key)
    client.create("before", "pipeline")
    world.disk.fill()
    wanted = {"alertname": "HeadwayExporterDegraded", "severity": "critical", "instance": at(brittle)}

    def stored() -> bool:
        with contextlib.suppress(ApiError):
            return bool(client.create("more", "pipeline"))
        return False

    def refused_and_told() -> bool:
        stored()
        told = [alert for message in list(world.standins.webhook.messages) for alert in message["alerts"]]
        return any(wanted.items() <= alert["labels"].items() for alert in told)

    try:
        wait_until(refused_and_told, PATIENCE, "the alert", interval=0.5)
    finally:
        world.disk.make_room()
    wait_until(stored, PATIENCE, "it can be written to again", interval=0.5)
    alert = world.alert(lambda a: wanted.items() <= a["labels"].items(), str(wanted))
    assert "its database cannot be written to" in alert["annotations"]["description"]
    assert alert["annotations"]["dashboard_url"] == f"{GRAFANA}/d/headway-exporter"
    world.in_every_chat(at(brittle), r"text=HeadwayExporterDegraded\b", r"\bcritical\b")
    assert world.standins.refused == []


def test_an_exporter_that_is_gone_and_nothing_else_about_it(world: World, brittle: RunningExporter) -> None:
    firing = f'ALERTS{{instance="{at(brittle)}",alertstate="firing",alertname!~"HeadwayExporterDown|ExporterAway"}}'
    Client(brittle.url, brittle.key).update(Client(brittle.url, brittle.key).create("bad", "pipeline")["id"], status="failed")
    world.alert(lambda a: a["labels"].get("name") == "bad", "something fires there")
    assert world.prometheus.query(firing)
    brittle.kill()
    wanted = {"alertname": "HeadwayExporterDown", "severity": "critical", "instance": at(brittle)}
    alert = world.alert(lambda a: wanted.items() <= a["labels"].items(), str(wanted))
    assert alert["annotations"]["dashboard_url"] == f"{GRAFANA}/d/headway-exporter", "as it said while it was there"
    world.in_every_chat(at(brittle), r"text=HeadwayExporterDown\b", r"\bcritical\b")
    wait_until(lambda: not world.prometheus.query(firing), PATIENCE, "Prometheus ends what it knows nothing more of")
    brittle.start()
    world.alert(over(wanted), "it is back")
    told = [a for m in world.standins.webhook.messages for a in m["alerts"] if a["labels"].get("instance") == at(brittle)]
    over_there = [a["labels"] for a in told if a["status"] == "resolved"]
    assert not any("name" in labels for labels in over_there), f"nobody looked: {over_there}"
    assert world.standins.refused == []
