"""What the pages follow: frames that are made once, and what takes a follower from where it was to the present."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

from calling import Api
from headway.api.live import FRAMES, Channel, Live
from headway.api.web.row import row
from registry_world import World, in_loop
from running import RunningExporter
from waiting import wait_until


class Follower:
    """Holds the rows as a browser does."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.frame: int | None = None
        self.resets = 0

    def hear(self, channel: Channel) -> bytes:
        events = channel.since(self.frame)
        for event in events.decode().split("\n\n")[:-1]:
            name, _, data = event.partition("\ndata: ")
            body = json.loads(data)
            if body.get("reset"):
                self.rows.clear()
                self.resets += 1
            for one in body["rows"]:
                self.rows[one["id"]] = self.rows.get(one["id"], {}) | one
            for process_id in body.get("gone", ()):
                self.rows.pop(process_id, None)
            self.frame = int(name.rpartition("-")[2])
        return events


def present(world: World, user: str | None = None) -> dict[str, dict[str, Any]]:
    entries = world.registry.entries.values()
    seen = [entry for entry in entries if user is None or entry.process.spec.user == user]
    return {entry.process.id: row(world.registry.view(entry)) for entry in seen}


def without_trend(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {process_id: {name: value for name, value in one.items() if name != "trend"} for process_id, one in rows.items()}


def channel_of(world: World, user: str | None = None) -> Channel:
    live = Live(world.registry, "boot")
    live.follow(user, None)
    (channel,) = live._channels.values()
    return channel


@in_loop
async def test_a_change_is_a_frame_of_what_differs_and_the_same_bytes_for_all() -> None:
    world = World()
    world.create(id="a", progress={"total": 4, "unit": "parts"})
    channel = channel_of(world)
    one, other = Follower(), Follower()
    one.hear(channel)
    assert channel.since(None) is channel.since(None), "made once"
    other.hear(channel)
    world.update("a", progress={"current": 1})
    channel.advance(whole=False)
    frame = one.hear(channel)
    assert frame == other.hear(channel)
    (changed,) = json.loads(frame.decode().partition("data: ")[2])["rows"]
    assert {"id": "a", "percent": 25, "percent_text": "25%", "count": "1/4 parts"}.items() <= changed.items()
    assert "name" not in changed and "trend" not in changed
    channel.advance(whole=True)
    assert one.hear(channel) == b"", "nothing differs, nothing is said"
    world.clock.now += 30
    world.update("a", progress={"current": 2})
    world.create(id="b")
    world.registry.roll.drop(["a"])
    channel.advance(whole=False)
    one.hear(channel)
    assert without_trend(one.rows) == present(world) and set(one.rows) == {"b"}


@in_loop
async def test_followers_however_late_have_the_present() -> None:
    chance = random.Random(7)
    world = World()
    channel = channel_of(world)
    followers = [Follower() for _ in range(6)]
    for turn in range(400):
        world.clock.now += chance.random() * 3
        active = [i for i, entry in world.registry.entries.items() if entry.process.status.active]
        match chance.randrange(6):
            case 0:
                if (process_id := f"p{turn % 40}") not in world.registry.entries:  # one that left may come back
                    world.create(id=process_id, progress={"total": 100})
            case 1 if len(active) > 3:
                world.registry.roll.drop([chance.choice(active)])
            case _ if active:
                world.update(chance.choice(active), progress={"current": turn % 100}, log=f"line {turn}")
        channel.advance(whole=turn % 5 == 0)
        for number, follower in enumerate(followers):
            if number == 0 or chance.random() < 0.3 / number**2:
                follower.hear(channel)
    channel.advance(whole=True)
    for follower in followers:
        follower.hear(channel)
        assert without_trend(follower.rows) == present(world)
    assert followers[0].resets == 1 and channel.frame > 2 * FRAMES, "who was always there began once"


@in_loop
async def test_a_channel_shows_what_its_user_may_see() -> None:
    world = World()
    world.create(id="hers", user="ann")
    world.create(id="his", user="bob")
    channel, follower = channel_of(world, "ann"), Follower()
    follower.hear(channel)
    world.update("his", log="secret")
    world.update("hers", log="fine")
    channel.advance(whole=True)
    assert b"secret" not in follower.hear(channel)
    assert without_trend(follower.rows) == present(world, "ann")


@in_loop
async def test_an_id_of_another_channel_begins_anew() -> None:
    world = World()
    world.create(id="a")
    live = Live(world.registry, "boot")
    for last in (None, "boot-9-1", "other-1-1", "boot-1-", "boot-1-99999", "boot-1-x"):
        first = await anext(live.follow(None, last))
        assert b'"reset":true' in first, last
    (channel,) = live._channels.values()
    assert b'"reset"' not in await anext(live.follow(None, f"boot-1-{channel.frame}"))


def test_output_as_events_goes_on_after_a_number(shared_exporter: RunningExporter) -> None:
    api = Api(shared_exporter)
    api.create(id="numbered")
    api.update("numbered", log=["one", "two"])
    seen: list[str] = []

    def listen(headers: dict[str, str]) -> None:
        headers = {"Accept": "text/event-stream", **headers}
        path = "/api/processes/numbered/output?follow=true"
        with Api(shared_exporter).raw("GET", path, stream=True, headers=headers) as answer:
            seen.extend(line for line in answer.iter_lines(decode_unicode=True) if line)

    def texts() -> list[str]:
        found = [json.loads(line[6:]) for line in seen if line.startswith("data: ")]
        return [one["text"] for body in found for one in body.get("lines", ())]

    first = threading.Thread(target=listen, args=({},))
    first.start()
    wait_until(lambda: api.update("numbered", log="three") and "three" in str(seen), 30, "a line as it comes", interval=0.2)
    second = threading.Thread(target=listen, args=({"Last-Event-ID": "2"},))
    api.update("numbered", status="done", log="four")
    first.join(30)
    assert not first.is_alive() and texts()[:3] == ["one", "two", "three"] and texts()[-1] == "four"
    assert seen[-3] == "event: end"
    everything = texts()
    seen.clear()
    second.start()
    second.join(30)
    assert not second.is_alive() and texts() == everything[2:]
    assert "begins" not in str(seen), "what was shown stays"
