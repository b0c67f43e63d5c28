"""A process that says that it waits for a person: in the record, in answers, in verdicts about it and about who waits for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from calling import Api
from cli import headway
from headway.api.answers import summary
from headway.collector import Collector
from headway.errors import InvalidInput
from headway.metrics.own import OwnMetrics
from headway.model import Activity, Condition, Status, Waiting
from headway.registry.changes import waiting_text
from headway.schemas.reports import ProgressUpdate, decode_update
from headway.store.codec import decode_process, encode_process
from metrics_world import view
from registry_world import START, World, in_loop
from running import RunningExporter
from waiting import wait_until

BASH = "permission to use Bash"


@in_loop
async def test_a_text_sets_it_null_clears_it_and_another_text_does_not_begin_anew() -> None:
    world = World()
    world.create(id="a")
    world.clock.now += 10
    assert world.update("a", waiting_for=BASH).waiting == Waiting(BASH, START + 10)
    world.clock.now += 10
    assert world.update("a", waiting_for="an answer", age=3).waiting == Waiting("an answer", START + 10)
    assert world.update("a", progress={"current": 1}).waiting == Waiting("an answer", START + 10)
    narrow = decode_update(b'{"progress":{"current":2}}')
    assert isinstance(narrow, ProgressUpdate)
    assert world.registry.update("a", narrow).process.waiting == Waiting("an answer", START + 10)
    world.clock.now += 10
    after = world.update("a", waiting_for=None, age=4)
    assert after.waiting is None and after.resumed_at == START + 26
    assert world.update("a", waiting_for=None).resumed_at == START + 26
    assert world.update("a", waiting_for="more").waiting == Waiting("more", START + 30)
    # What is told late may have happened before it was asked.
    assert world.update("a", waiting_for=None, age=9).resumed_at == START + 30


@in_loop
async def test_one_of_several_ends_its_own_waiting_only() -> None:
    world = World()
    world.create(id="a")
    assert world.update("a", waited_for=BASH).activity.waiting is None
    world.update("a", waiting_for=BASH)
    world.clock.now += 5
    assert world.update("a", waited_for="permission to use Read").waiting is not None
    assert world.update("a", waited_for=f" {BASH}\n").waiting is None


@in_loop
async def test_it_ends_with_the_process_and_outlives_a_pause() -> None:
    world = World()
    world.create(id="a")
    world.update("a", waiting_for=BASH)
    world.update("a", status="paused")
    world.clock.now += 100
    world.watch.evaluate()
    assert world.conditions("a") == []
    world.update("a", status="running")
    world.watch.evaluate()
    assert world.conditions("a") == [Condition.WAITING]
    ended = world.update("a", status="done")
    assert ended.waiting is None and ended.status is Status.DONE
    view = world.registry.view(world.registry.entry("a"))
    assert summary(view, ())["waiting_for"] is None and summary(view, ())["waiting_since"] is None
    world.clock.now += 1
    outcome = world.registry.update("a", decode_update(b'{"waiting_for":"an answer"}'))
    assert outcome.ignored is not None and outcome.ignored.fields == ("waiting_for",)


@in_loop
async def test_neither_it_nor_who_waits_for_it_is_stuck() -> None:
    world = World()
    for process_id, parent in (("outer", None), ("agent", "outer"), ("part", "agent")):
        world.create(id=process_id, parent_id=parent, lease=9999)
        world.update(process_id, log="a line")
    world.create(id="alone", lease=9999)
    world.update("alone", log="a line")
    world.update("part", waiting_for=BASH)
    world.pass_by(600)
    stuck = [i for i in world.registry.entries if Condition.STUCK in world.conditions(i)]
    assert stuck == ["alone"] and world.conditions("part") == [Condition.WAITING]
    (held,) = world.registry.entries["part"].conditions
    assert held.reason == f"waits for a person for 10 min: {BASH}" and held.since == START + 60
    trips = world.registry.totals.names["job", world.registry.entries["part"].process.kind].gate_trips
    assert trips == {"stuck": 1, "waiting": 1}
    world.update("part", waiting_for=None)
    world.pass_by(59)
    assert [i for i in world.registry.entries if world.conditions(i)] == ["alone"]
    world.pass_by(1)
    assert all(Condition.STUCK in world.conditions(i) for i in world.registry.entries)


@in_loop
async def test_a_limit_of_its_own() -> None:
    world = World(waiting_after=3600.0)
    world.create(id="a", thresholds={"waiting_after": 0})
    world.create(id="b", thresholds={"waiting_after": "2m"})
    world.create(id="c")
    for process_id in "abc":
        world.update(process_id, waiting_for=BASH)
    world.watch.evaluate()
    assert [world.conditions(i) for i in "abc"] == [[Condition.WAITING], [], []]
    world.clock.now += 120
    world.watch.evaluate()
    assert [world.conditions(i) for i in "abc"] == [[Condition.WAITING], [Condition.WAITING], []]


@in_loop
async def test_one_that_was_given_up_and_asks_something_lives() -> None:
    world = World(lease=100.0)
    world.create(id="a", host="elsewhere")
    world.pass_by(200)
    assert world.status("a") is Status.ORPHANED
    world.update("a", waiting_for=BASH)
    assert world.status("a") is Status.RUNNING


@pytest.mark.parametrize("said", ['""', '" "', '"\\n"', f'"{"x" * 161}"', "7", "true"])
@pytest.mark.parametrize("field", ["waiting_for", "waited_for"])
def test_what_is_no_line_for_people_is_refused_by_its_name(field: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_update(f'{{"{field}":{said}}}'.encode())
    assert caught.value.field == field


def test_it_is_a_line_without_secrets() -> None:
    assert waiting_text("approval\n of  it") == "approval of it"
    assert waiting_text("curl -H 'Authorization: Bearer sk-ant-aaaaaaaaaaaaaaaaaaaa'") == "curl -H 'Authorization: Bearer ***'"


def test_what_is_written_of_it_is_written_anew_when_it_changes() -> None:
    """Families that are not volatile: their lines stay until the stable part changes."""
    world, own = Collector(OwnMetrics()), "headway_process_waiting_"
    waits = Activity(START, waiting=Waiting(BASH, START))
    for activity, lines in ((None, 0), (waits, 2), (replace(waits, waiting=Waiting(BASH, START, START + 1)), 0)):
        world.put(view(activity=activity))
        page = world.page()[0].decode()
        assert len(re.findall(f"^{own}(?:since_timestamp_seconds|info){{", page, re.MULTILINE)) == lines


@in_loop
async def test_a_record_of_an_exporter_that_knew_of_no_waiting_can_be_read() -> None:
    world = World()
    before = json.loads(encode_process(world.create(id="a")))
    assert "waiting" not in before["activity"]
    assert decode_process("a", json.dumps(before)).activity == Activity(START)
    waits = world.update("a", waiting_for=BASH)
    assert decode_process("a", encode_process(waits)) == waits


def test_pages_and_terminal_say_it_first(exporter: RunningExporter) -> None:
    api = Api(exporter, exporter.key)
    asks = api.create(name="Release", type="pipeline", stage="ship", thresholds={"waiting_after": 0})["id"]
    for name in ("Broken", "Later"):
        api.update(api.create(name=name)["id"], status="failed", error="no disk")
    api.update(asks, waiting_for="approval of the release", log="built")
    wait_until(lambda: api.list("status=waiting"), 30, "the condition")

    def page(path: str) -> Any:
        return api.raw("GET", path, headers={"Accept": "application/json"}).json()["data"]

    rows = page("/attention")["rows"]
    assert [row["name"] for row in rows] == ["Release", "Later", "Broken"]
    assert rows[0]["note"] == "ship · built", "the flag says for what"
    assert [(flag["name"], flag["level"]) for flag in rows[0]["flags"]] == [("waiting", "warning")]
    api.update(asks, thresholds={"waiting_after": 3600})
    wait_until(lambda: not api.list("status=waiting"), 30, "it may wait")
    (row,) = [one for one in page("/")["rows"] if one["id"] == asks]
    assert (row["note"], row["flags"], row["rank"]) == ("waits for a person: approval of the release · built", [], 2)
    api.update(asks, thresholds={"waiting_after": 0})
    wait_until(lambda: api.list("status=waiting"), 30, "the condition")
    found = {fact["label"]: fact["text"] for fact in page(f"/processes/{asks}")["facts"]}
    assert found["waits for"] == "approval of the release" and found["may wait for a person for"] == "0s"
    assert ["Waiting", 1] in page("/")["counts"]
    assert [count for label, count in page("/")["counts"] if label == "Waiting"] == [1]
    shown = headway("show", asks, environ=exporter.client_env).stdout
    assert re.search(r"waits for +a person: approval of the release \(since \d{4}-", shown) and "waiting after" in shown
    listed = headway("ps", environ=exporter.client_env).stdout.splitlines()
    assert "Release" in listed[1] and "waiting" in listed[1]
    analysed = headway("analyze", environ=exporter.client_env).stdout
    assert re.search(r"\nHIGH Release: answer it: it waits for a person\n.*: approval of the release\n", analysed)
    assert re.search(r"\nwaiting for a person\n +NAME.*\n +Release +\S+ +approval of the release", analysed)


def test_it_is_shown_listed_and_outlives_the_exporter(exporter: RunningExporter) -> None:
    api = Api(exporter, exporter.key)
    made = api.create(name="Release", type="pipeline", thresholds={"waiting_after": 0})
    assert (made["waiting_for"], made["waiting_since"], made["thresholds"]["waiting_after"]) == (None, None, 0)
    told = api.update(made["id"], waiting_for="approval of the release")
    assert told["waiting_for"] == "approval of the release" and told["waiting_since"] is not None
    items = [{"id": made["id"], "progress": {"current": 1}}, {"id": made["id"], "waited_for": "something else"}]
    _, answer = api.request("POST", "/api/processes/batch", {"items": items})
    assert [one["status"] for one in answer["data"]] == [200, 200]
    for _ in range(2):
        assert wait_until(lambda: api.list("status=waiting"), 30, "the condition") == [made["id"]]
        found = api.get(made["id"])
        assert (found["waiting_for"], found["waiting_since"]) == (told["waiting_for"], told["waiting_since"])
        exporter.restart()
    assert api.update(made["id"], waiting_for=None)["waiting_for"] is None
    wait_until(lambda: not api.list("status=waiting"), 30, "it goes on")
