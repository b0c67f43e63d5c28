"""Ends that somebody is told of: which, in what words, and that they arrive, whoever is away meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
import requests

from cli import headway
from headway import Client
from headway.announcing.announcer import Announcer
from headway.announcing.outbox import Letter, Outbox
from headway.announcing.rule import DEFAULT_RULES, AnnounceRule, When, by_name_last, is_announced
from headway.announcing.words import alert, description
from headway.configuration import load
from headway.errors import ConfigError
from headway.model import Activity, Cancelled, Done, Failed, Killed, Kind, Orphaned, Process, Running, Spec, State, TimedOut
from headway.names import NameStats
from registry_world import World, in_loop
from running import RunningExporter, Starter
from waiting import wait_until


def process(state: State, kind: Kind = Kind.PIPELINE, name: str = "NLP Backfill", **more: Any) -> Process:
    metadata = more.pop("metadata", {})
    return Process(
        id="p1",
        spec=Spec(name=name, kind=kind, created_at=0),
        state=state,
        activity=Activity(updated_at=1, **more),
        metadata=metadata,
    )


DONE, FAILED = Done(1000.0, 1720.0, 0), Failed(1000.0, 1720.0, 3, error="ValueError: 7")


# ── which ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "success", "failure"),
    [
        (Kind.PIPELINE, True, True),
        (Kind.SUBAGENT, True, True),
        (Kind.CRON, False, True),
        (Kind.TASK, False, False),
        (Kind.DAEMON, False, False),
    ],
)
def test_unless_told(kind: Kind, success: bool, failure: bool) -> None:
    assert is_announced(process(DONE, kind), DEFAULT_RULES) is success
    assert is_announced(process(FAILED, kind), DEFAULT_RULES) is failure
    assert not is_announced(process(Running(1000.0), kind), DEFAULT_RULES)


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        (DONE, False),
        (FAILED, True),
        (Cancelled(1.0, 2.0), False),
        (Killed(1.0, 2.0, requested=True), False),
        (Killed(1.0, 2.0), True),
        (TimedOut(1.0, 2.0), True),
        (Orphaned(1.0, 2.0), True),
    ],
)
def test_on_failure(state: State, failure: bool) -> None:
    assert is_announced(process(state), [AnnounceRule(when=When.ON_FAILURE)]) is failure


def test_on_change() -> None:
    rules = [AnnounceRule(when=When.ON_CHANGE)]
    assert is_announced(process(FAILED), rules) and is_announced(process(DONE), rules, recovered=True)
    assert not is_announced(process(DONE), rules) and not is_announced(process(Cancelled(1.0, 2.0)), rules)
    assert is_announced(process(DONE, Kind.CRON), DEFAULT_RULES, recovered=True)
    assert not is_announced(process(DONE, Kind.TASK), DEFAULT_RULES, recovered=True)


def test_longer_than_and_by_name() -> None:
    rules = by_name_last(
        [
            AnnounceRule(when=When.NEVER, name="NLP*"),
            *DEFAULT_RULES,
            AnnounceRule(when=When.ALWAYS, longer_than=720, kind=Kind.TASK),
            AnnounceRule(when=When.ALWAYS, longer_than=721, kind=Kind.CRON),
        ]
    )
    assert not is_announced(process(DONE), rules), "a name counts more than a kind"
    assert is_announced(process(DONE, Kind.TASK, "x"), rules) and not is_announced(process(DONE, Kind.CRON, "x"), rules)
    assert not is_announced(process(Done(None, 5.0), Kind.TASK, "x"), rules), "nobody knows how long it took"


def test_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "headway.yaml"
    path.write_text('announce:\n  name: {"backup-*": on-failure}\n  type:\n    task: {longer_than: 10m}\n    pipeline: never\n')
    given = [rule for rule in load({}, {}, path).announce if rule.place != "default"]
    assert [(r.when, r.longer_than, r.kind, r.name) for r in given] == [
        (When.ALWAYS, 600.0, Kind.TASK, None),
        (When.NEVER, None, Kind.PIPELINE, None),
        (When.ON_FAILURE, None, None, "backup-*"),
    ]
    assert load({}, {}).announce == DEFAULT_RULES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("announce: {typ: {}}", "unknown section announce.typ: did you mean type?"),
        ("announce: {type: {pipelin: always}}", "unknown type pipelin: did you mean pipeline?"),
        ("announce: {type: {task: sometimes}}", "announce.type.task: 'sometimes' cannot be used; accepted: one of always"),
        ("announce: {name: {x: {longer: 1m}}}", "unknown announce.name.x.longer: did you mean longer_than?"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "headway.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load({}, {}, path)
    assert words in error.value.detail


# ── in what words ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_words() -> None:
    stats = NameStats(name="NLP Backfill", kind=Kind.PIPELINE, good_durations=(580.0, 600.0, 640.0))
    facts: dict[str, Any] = {"current": 80.0, "total": 80.0, "unit": "sessions", "summary": "80 sessions,\n3 repaired"}
    metadata = {"tokens": {"input": 12000, "output": 850}, "cost_dollars": 0.416}
    assert description(process(DONE, **facts, metadata=metadata), stats) == (
        "80 sessions, 3 repaired. It took 12m, usual are 10m (median of 3 good runs). 80 of 80 sessions. "
        "12,000 tokens in, 850 tokens out, $0.42."
    )
    assert description(process(FAILED, current=3.0), None) == "ValueError: 7. It took 12m. 3 items."
    assert description(process(Orphaned(None, 5.0)), None) == "Nothing more is known of it."
    assert len(description(process(DONE, summary="x" * 4000), None)) < 500
    made = alert(process(FAILED), None, {"external_url": "https://h", "grafana_url": "https://g"}, "h:1")
    assert made["labels"] == {
        "alertname": "HeadwayProcessEnded",
        "severity": "info",
        "gate": "ended",
        "id": "p1",
        "name": "NLP Backfill",
        "kind": "pipeline",
        "outcome": "failed",
        "instance": "h:1",
    }
    assert made["annotations"]["summary"] == "NLP Backfill failed"
    assert made["annotations"]["process_url"] == made["generatorURL"] == "https://h/processes/p1"
    assert made["annotations"]["dashboard_url"] == "https://g/d/headway-process?var-id=p1"
    alone = alert(process(FAILED), None, {"external_url": "https://h", "grafana_url": ""}, "h:1")
    assert "dashboard_url" not in alone["annotations"], "no link that leads nowhere"


# ── the outbox ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_waits_is_kept(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, 100.0)
    box.pending["a"] = Letter({"labels": {}}, 90.0, 2, 105.0)
    box.pending["b"] = Letter({"labels": {}}, 91.0)
    box.drop(["b"], 101.0)
    box.save(box.text())
    again = Outbox.open(tmp_path, 500.0)
    assert (again.since, again.pending, again.sent) == (100.0, {"a": Letter({"labels": {}}, 90.0, 2, 105.0)}, {"b": 101.0})
    assert (again.due(104.0), again.due(105.0)) == ([], ["a"])
    again.forget(102.0)
    assert (again.since, again.sent) == (102.0, {})


def test_what_waits_may_have_any_name_and_can_be_read_by_people(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, 100.0)
    for name in ("é", "\ud800 of no encoding"):
        box.pending[name] = Letter({"labels": {"name": name}}, 90.0)
        box.save(box.text())
        assert Outbox.open(tmp_path, 500.0).pending == box.pending
        assert len((tmp_path / "announcements.json").read_text().splitlines()) > 10


@pytest.mark.parametrize("text", ["{", "[]", '{"pending": {"a": {"x": 1}}, "since": 1, "sent": {}}'])
def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "announcements.json").write_text(text)
    assert Outbox.open(tmp_path, 7.0).since == 7.0
    assert (tmp_path / "announcements.unreadable.json").read_text() == text


# ── that they arrive ────────────────────────────────────────────────────────────────────────────────────────────────


class Manager:
    """What Alertmanager is asked; answers with `status`."""

    def __init__(self, port: int = 0) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.asked = 0
        self.status = 200
        manager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                manager.asked += 1
                if manager.status == 200:
                    manager.alerts += said
                self.send_response(manager.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def names(self) -> list[str]:
        return [one["annotations"]["summary"] for one in self.alerts]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    found = Manager()
    yield found
    found.close()


def test_once_over_refusals_and_restarts(start_exporter: Starter, manager: Manager) -> None:
    exporter = start_exporter("--alertmanager-url", manager.url, "--announce-failures-after", "0")
    client = Client(exporter.url, exporter.key)
    client.create("Backfill", "pipeline", id="one")
    client.update("one", status="done", summary="all there")
    client.create("small", "task", id="small")
    client.update("small", status="done")
    wait_until(lambda: manager.names() == ["Backfill is done"], 30, "the announcement")
    found = manager.alerts[0]
    assert found["startsAt"] < found["endsAt"], "it is not over when it is heard of"
    # While it is refused, and while the exporter is killed, nothing is lost.
    manager.status = 503
    before = manager.asked
    client.create("Backfill", "pipeline", id="two")
    client.update("two", status="failed", error="no space")
    wait_until(lambda: manager.asked > before, 30, "an attempt")
    exporter.kill()
    manager.status = 200
    exporter.start()
    wait_until(lambda: "Backfill failed" in manager.names(), 30, "the second announcement")
    client.create("Backfill", "pipeline", id="three")
    client.update("three", status="done")
    wait_until(lambda: len(manager.alerts) == 3, 30, "the third")
    assert manager.names() == ["Backfill is done", "Backfill failed", "Backfill is done"], "each one once"

    def delivered() -> bool:
        page = requests.get(f"{exporter.url}/metrics", timeout=30).text
        return "headway_announcements_pending 0.0" in page and "headway_announcements_delivered_total 2.0" in page

    wait_until(delivered, 30, "both to count as delivered")  # a moment after the answer


def test_what_is_refused_for_good_is_given_up(start_exporter: Starter, manager: Manager) -> None:
    manager.status = 400
    exporter = start_exporter("--alertmanager-url", manager.url)
    client = Client(exporter.url, exporter.key)
    client.create("Backfill", "pipeline", id="one")
    client.update("one", status="done")

    def given_up() -> bool:
        page = requests.get(f"{exporter.url}/metrics", timeout=30).text
        return "headway_announcements_given_up_total 1.0" in page and "headway_announcements_pending 0.0" in page

    wait_until(given_up, 30, "it to be given up")
    assert manager.asked == 1


def batches_of(manager: Manager) -> dict[str, str]:
    """By id; what was not answered in time is sent once more, as it was."""
    return {one["labels"]["id"]: one["labels"]["batch"] for one in list(manager.alerts)}


def test_ends_of_a_moment_are_one_message_and_later_ones_another(start_exporter: Starter, manager: Manager) -> None:
    exporter = start_exporter("--alertmanager-url", manager.url, "--announce-failures-after", "0")
    client = Client(exporter.url, exporter.key)
    for number in range(3):
        client.create("Crawl", "pipeline", id=f"crawl-{number}")
        client.update(f"crawl-{number}", status="failed" if number == 2 else "done")
    wait_until(lambda: len(batches_of(manager)) == 3, 60, "three announcements")
    client.create("Crawl", "pipeline", id="crawl-3")
    client.update("crawl-3", status="done")
    wait_until(lambda: len(batches_of(manager)) == 4, 60, "the fourth")
    batches = batches_of(manager)
    assert batches["crawl-0"] == batches["crawl-1"], "they are told together"
    assert len(set(batches.values())) == 3, "what failed and what comes later are told apart, so that nothing is told twice"


def test_a_cron_job_that_is_good_again_is_told_once(start_exporter: Starter, manager: Manager) -> None:
    exporter = start_exporter("--alertmanager-url", manager.url, "--announce-failures-after", "0")
    with Client(exporter.url, exporter.key) as client:
        for name, status in (("a", "done"), ("b", "failed"), ("c", "failed"), ("d", "done"), ("e", "done")):
            if name == "d":
                exporter.stop()
                exporter.start()  # what went before is remembered
            client.create("Nightly dump", "cron", id=name)
            client.update(name, status=status)
        client.create("Last", "pipeline", id="last")
        client.update("last", status="done")
    wait_until(lambda: {one["labels"]["id"] for one in manager.alerts} >= {"b", "c", "d", "last"}, 30, "what is told")
    told = {one["labels"]["id"]: one["annotations"]["summary"] for one in manager.alerts}
    assert told == {
        "b": "Nightly dump failed",
        "c": "Nightly dump failed",
        "d": "Nightly dump is done again",
        "last": "Last is done",
    }


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_other_rules_count_for_what_ends_from_then_on(start_exporter: Starter, manager: Manager, tmp_path: Path, end: str) -> None:
    configuration = tmp_path / "headway.yaml"
    configuration.write_text("announce: {type: {task: never}}\n")
    flags = ("--config", str(configuration), "--alertmanager-url", manager.url, "--announce-failures-after", "0")
    exporter = start_exporter(*flags)
    with Client(exporter.url, exporter.key) as client:
        client.create("Quiet", "task", id="before")
        client.update("before", status="done")
        client.create("Backfill", "pipeline", id="told")  # it is on the disk until when ends were judged
        client.update("told", status="done")
        wait_until(lambda: manager.names() == ["Backfill is done"], 30, "what the rules announce")
        file = exporter.data_dir / "announcements.json"
        wait_until(lambda: '"told"' in file.read_text().partition('"sent"')[2], 30, "its note")
        client.create("Quiet", "task", id="between", started_age=1)
        if end == "stop":
            exporter.stop()
        else:
            exporter.kill()
        configuration.write_text("announce: {type: {task: always}}\n")
        exporter.start()
        client.update("between", status="done")
        wait_until(lambda: "Quiet is done" in manager.names(), 30, "what ended under the new rules")
    assert [one["labels"]["id"] for one in manager.alerts] == ["told", "between"]


def test_without_alertmanager_nothing_is_announced_and_nothing_waits(start_exporter: Starter) -> None:
    exporter = start_exporter("--alertmanager-url", "none")
    with Client(exporter.url, exporter.key) as client:
        client.create("Backfill", "pipeline", id="one")
        client.update("one", status="done")
        wait_until(lambda: client.get("one")["status"] == "done", 30)
    assert pending(exporter) == 0 and not (exporter.data_dir / "announcements.json").exists()
    done = headway("alerting", "check", HEADWAY_ALERTMANAGER_URL="none")
    assert done.returncode == 2 and "HEADWAY_ALERTMANAGER_URL is none: give --alertmanager URL" in done.stderr


@in_loop
async def test_what_ends_while_the_announcer_begins_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    announcer = Announcer(world.registry, DEFAULT_RULES, tmp_path)
    save, go = announcer._save, asyncio.Event()

    async def slow() -> None:
        await go.wait()
        await save()

    monkeypatch.setattr(announcer, "_save", slow)
    running = asyncio.create_task(announcer.run())
    await asyncio.sleep(0)
    world.create(id="one", name="Backfill", type="pipeline")
    world.update("one", status="done")
    go.set()
    try:
        await asyncio.to_thread(wait_until, lambda: announcer.pending, 30, "the announcement")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@in_loop
@pytest.mark.parametrize(("after", "retry_in", "wait"), [(60.0, 2.0, 60.0), (60.0, 60.0, 90.0), (0.0, 2.0, 32.0), (0.0, None, 0.0)])
async def test_a_try_that_fails_is_announced_where_no_other_one_comes(
    tmp_path: Path, after: float, retry_in: float | None, wait: float
) -> None:
    world = World(announce_failures_after=after)
    announcer = Announcer(world.registry, DEFAULT_RULES, tmp_path)
    world.create(id="one", name="Backfill", type="pipeline")
    world.update("one", status="failed", metadata={"retry_in": retry_in})
    assert announcer._consider(world.registry.entry("one"))
    assert announcer._outbox.pending["one"].next_at - world.clock.now == pytest.approx(wait, abs=0.01)
    world.create(id="two", name="Backfill", type="pipeline", metadata={"retry_of": "one"})
    await asyncio.sleep(0)  # it is stored
    assert announcer._was_seen("one") and not announcer.pending, "the next one begins"


@in_loop
async def test_a_try_is_not_told_with_another_failure_of_its_name(tmp_path: Path) -> None:
    """Each at its own time, whichever was first."""
    world = World(announce_failures_after=60.0)
    announcer = Announcer(world.registry, DEFAULT_RULES, tmp_path)

    def due_after(name: str, **more: Any) -> float:
        world.create(id=name, name="Backfill", type="pipeline")
        world.update(name, status="failed", **more)
        assert announcer._consider(world.registry.entry(name))
        return announcer._outbox.pending[name].next_at - world.clock.now

    assert due_after("final") == pytest.approx(60.0, abs=0.01)
    world.clock.now += 30
    assert due_after("try", metadata={"retry_in": 60.0}) == pytest.approx(90.0, abs=0.01), "there is another one in 60 s"
    assert due_after("again") == pytest.approx(30.0, abs=0.01), "with the first"
    for name in ("final", "again"):
        assert announcer._outbox.withdraw(name)
    assert due_after("other") == pytest.approx(60.0, abs=0.01), "it does not wait for the other try"


@in_loop
@pytest.mark.parametrize("turns", range(8))
async def test_it_ends_when_it_is_cancelled_just_as_something_changed(tmp_path: Path, turns: int) -> None:
    """Else the exporter, which waits for it, would never stop."""
    announcer = Announcer(World().registry, DEFAULT_RULES, tmp_path)
    begun = asyncio.Event()
    changed = announcer._changed

    class Waited(asyncio.Event):
        async def wait(self) -> Literal[True]:
            begun.set()
            return await changed.wait()

        def clear(self) -> None:
            changed.clear()

    announcer._changed = Waited()
    running = asyncio.create_task(announcer.run())
    await begun.wait()
    await asyncio.sleep(0)
    changed.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=10)
    assert done


def pending(exporter: RunningExporter) -> int:
    found = re.search(r"^headway_announcements_pending (\d+)", requests.get(f"{exporter.url}/metrics", timeout=30).text, re.M)
    assert found is not None
    return int(found[1])


def test_a_failure_waits_for_an_alert_to_say_it(start_exporter: Starter, manager: Manager) -> None:
    """Unless told for a minute: meanwhile other ends are announced, and what somebody saw by then is not."""
    wait = ("--announce-failures-after", "6")
    exporter = start_exporter("--alertmanager-url", manager.url, *wait)
    client = Client(exporter.url, exporter.key)
    for number, status in enumerate(("failed", "failed", "failed", "done", "killed", "killed")):
        client.create("Crawl", "pipeline", id=f"crawl-{number}")
        client.update(f"crawl-{number}", status=status)
    wait_until(lambda: pending(exporter) == 6, 30, "all to wait", interval=0.1)
    client.dismiss("crawl-1")
    client.dismiss("crawl-5")
    wait_until(lambda: len(batches_of(manager)) == 4, 60, "four announcements")
    assert manager.alerts[0]["labels"]["id"] == "crawl-3", "a good end is told at once"
    batches = batches_of(manager)
    assert set(batches) == {"crawl-0", "crawl-2", "crawl-3", "crawl-4"}
    assert batches["crawl-0"] == batches["crawl-2"] != batches["crawl-3"]


def test_what_waits_for_an_alert_waits_anew_after_a_start(start_exporter: Starter, manager: Manager) -> None:
    """Prometheus has to see the exporter again before an alert can keep the announcement back."""
    exporter = start_exporter("--alertmanager-url", manager.url, "--announce-failures-after", "60")
    client = Client(exporter.url, exporter.key)
    for name, status in (("one", "failed"), ("two", "done")):
        client.create("Backfill", "pipeline", id=name)
        client.update(name, status=status)
    wait_until(lambda: pending(exporter) == 2, 30, "both to wait", interval=0.1)
    exporter.stop()
    path = exporter.data_dir / "announcements.json"

    def due() -> dict[str, float]:
        return {key: letter["next_at"] for key, letter in json.loads(path.read_text())["pending"].items()}

    # Both were due while nobody ran.
    content = json.loads(path.read_text())
    for letter in content["pending"].values():
        letter["next_at"] -= 100
    path.write_text(json.dumps(content))
    before = time.time()
    exporter.start()
    wait_until(lambda: "two" in batches_of(manager), 30, "the good end, which nothing keeps back")
    wait_until(lambda: due().keys() == {"one"}, 30, "the other to wait on")
    assert due()["one"] >= before + 60 and len(manager.alerts) == 1


def test_who_was_given_up_and_comes_back_is_announced_at_its_end(start_exporter: Starter, manager: Manager) -> None:
    exporter = start_exporter("--alertmanager-url", manager.url, "--announce-failures-after", "20", "--lease", "1")
    client = Client(exporter.url, exporter.key)
    client.create("Backfill", "pipeline", id="one")
    wait_until(lambda: pending(exporter) == 1, 30, "it to be given up", interval=0.1)
    client.update("one", log="still here", status="running")
    wait_until(lambda: pending(exporter) == 0, 30, "that to be taken back", interval=0.1)
    client.update("one", status="done")
    wait_until(lambda: manager.names() != [], 60, "an announcement")
    assert manager.names() == ["Backfill is done"]


def test_what_is_taken_back(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, 100.0)
    for key, outcome in (("a", "orphaned"), ("b", "failed"), ("c", "failed")):
        box.pending[key] = Letter({"labels": {"name": "x", "outcome": outcome}}, 90.0, next_at=130.0)
    box.gather("c")
    assert box.withdraw("a", unless="done") and not box.withdraw("b", unless="failed")
    assert not box.withdraw("c"), "it is under way"
    assert not box.withdraw("nobody") and list(box.pending) == ["b", "c"]
    assert box.next_of({"name": "x", "outcome": "failed"}, 150.0) == 130.0
    assert box.next_of({"name": "x", "outcome": "done"}, 105.0) == 105.0, "it does not wait for those that failed"
