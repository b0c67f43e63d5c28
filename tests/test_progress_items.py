"""Items of a batch that say progress alone are read and applied at less cost; what they do is what any update would do."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from headway.errors import HeadwayError
from headway.model import Activity, Status
from headway.registry.changes import whole
from headway.schemas.decoding import decode
from headway.schemas.reports import (
    CurrentIn,
    KnownItem,
    ProgressIn,
    ProgressItem,
    ProgressUpdate,
    UpdateIn,
    decode_known,
    decode_update,
)
from registry_world import World, in_loop

SAID = st.lists(
    st.tuples(st.sampled_from([0.0, 3.0, 50.0, 99.0]), st.sampled_from([UNSET, 1, 2, 5]), st.sampled_from([0.0, 0.5, 90.0])),
    max_size=8,
)


@given(SAID, st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_one_is_an_update_like_any(said: list[tuple[float, Any, float]], ended_after: int) -> None:
    @in_loop
    async def scenario() -> None:
        worlds = World(), World()
        for world in worlds:
            world.create(id="a", started_age=60, progress={"current": 1, "total": 100})
        for number, (current, seq, age) in enumerate(said):
            for world in worlds:
                world.clock.now += 1
                if number == ended_after:
                    world.registry.end("a", Status.DONE, at=world.clock.now - 0.7, cause="test")
            plain = worlds[0].registry.update("a", ProgressItem(id="a", progress=CurrentIn(current), seq=seq, age=age))
            usual = worlds[1].registry.update("a", UpdateIn(progress=ProgressIn(current=current), seq=seq, age=age))
            assert (plain.process, plain.duplicate) == (usual.process, usual.duplicate)
        one, other = (world.registry.view(world.registry.entries["a"]) for world in worlds)
        assert one == other

    scenario()


Step = tuple[str, float, Any, float, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["told"] * 8 + ["read"] * 5 + ["twice", "cancel", "pause", "queue", "log", "total", "end", "kept", "hand over", "fails"]
        ),
        st.sampled_from([1.0, 1.0, 1.0, 0.0, -3.0, 0.5]),  # more done
        st.sampled_from([1, 1, 1, 0, UNSET]),  # seq, more than the last
        st.sampled_from([0.0, 0.0, 0.05, 2.0]),  # age
        st.sampled_from([0.01, 0.02, 0.04, 0.3, 0.3, 5.0, 5.0, 0.0, -1.0]),  # seconds since the step before
    ),
    min_size=15,
    max_size=40,
)


async def play(world: World, steps: list[Step], quick: bool) -> list[Any]:
    """What anybody could see of it, step by step."""
    registry, seen = world.registry, list[Any]()
    for name in ("a", "b"):
        world.create(id=name, started_age=60, progress={"total": 100})
    queued = world.create(id="q", status="queued", progress={"current": 1})
    current, seq = 1.0, 0
    follower, version = dict[str, Activity](), -1

    def tell(name: str, age: float) -> None:
        entry, now = registry.entries[name], registry.clock()
        item = ProgressItem(id=name, progress=CurrentIn(current), seq=UNSET if more is UNSET else seq, age=age)
        if not quick or registry.advance(iter([(0, item, entry)]), now) is not None:
            with suppress(HeadwayError):
                registry.report(entry, item, now)

    for what, done, more, age, wait in steps:
        await asyncio.sleep(0)  # what is stored is published
        world.clock.now += wait
        current, seq = max(0.0, current + done), seq if more is UNSET else seq + more
        entry = registry.entries["a"]
        with suppress(HeadwayError):
            if what in ("told", "twice"):
                tell("a", age)
                tell("q", age)
                if what == "twice":
                    tell("b", 0)
                    tell("a", 0)
            elif what == "read":
                seen.append(registry.view(entry))
            elif what == "cancel":
                registry.request_cancel("a")
            elif what == "pause":
                registry.move("a", Status.RUNNING if entry.process.status is Status.PAUSED else Status.PAUSED, cause="test")
            elif what == "queue":
                world.update(queued.id, status="running")
            elif what == "log":
                world.update("a", log="a line", progress={"current": current})
            elif what == "total":
                world.update("a", progress={"total": 200})
            elif what == "end":
                registry.end("a", Status.DONE, at=world.clock.now, cause="test")
            elif what == "kept":
                entry.peak_memory_bytes += 2**20
                for _ in registry.keeping_usage():
                    pass
            elif what == "hand over":
                seen.append(world.writer.behind_processes)
                world.writer.holders.clear()
            elif what == "fails":
                world.writer.immediate = False
                try:
                    registry.request_cancel("a") if age else registry.move("a", Status.PAUSED, cause="test")
                    tell("a", 0)
                finally:
                    world.writer.fail(registry)
                    world.writer.immediate = True
        if what == "read":
            await asyncio.sleep(0)
            follower |= {newer.process.id: newer.process.activity for newer in registry.feed.newer_than(version)}
            version = registry.feed.version
            assert follower == {i: known.process.activity for i, known in registry.entries.items()}
    seen += [world.writer.behind_processes, world.writer.processes]
    for entry in registry.entries.values():
        seen += [entry.process, entry.contact_at, entry.conditions, registry.view(entry)]
    return seen


@given(STEPS)
@example([("told", 1.0, 1, 0.0, -100.0), ("told", 1.0, 1, 0.0, 1.0)])  # the clock is set back to before the creation
@settings(max_examples=300, deadline=None)
def test_what_nobody_looked_at_is_as_if_somebody_had(steps: list[Step]) -> None:
    @in_loop
    async def scenario() -> None:
        told, usual = await play(World(), steps, quick=True), await play(World(), steps, quick=False)
        for one, other in zip(told, usual, strict=True):
            assert one == other

    scenario()


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ({"progress": {"current": 1}}, ProgressUpdate),
        ({"progress": {"current": 1}, "seq": 7, "age": 0.5}, ProgressUpdate),
        ({"progress": {"current": 1}, "alive": True}, UpdateIn),
        ({"progress": {"current": 1, "total": 2}}, UpdateIn),
        ({"progress": {"current": None}}, UpdateIn),
        ({"status": "done"}, UpdateIn),
        ({}, UpdateIn),
    ],
)
def test_as_which_a_single_one_is_read(body: dict[str, Any], shape: type) -> None:
    found = decode_update(json.dumps(body).encode())
    assert type(found) is shape and whole(found) == msgspec.convert(body, UpdateIn)


@pytest.mark.parametrize("body", [{"progress": {"current": -1}}, {"progress": {"curent": 1}}, {"progress": 1}, {"age": -1}, 7])
def test_what_is_wrong_with_a_single_one_is_said(body: Any) -> None:
    sent = json.dumps(body).encode()
    with pytest.raises(HeadwayError) as usual:
        decode(sent, UpdateIn)
    with pytest.raises(HeadwayError) as found:
        decode_update(sent)
    assert str(found.value) == str(usual.value)


@pytest.mark.parametrize(
    ("items", "shape"),
    [
        ([{"id": "a", "progress": {"current": 1}}, {"id": "b", "seq": 1, "age": 0.5, "progress": {"current": 2}}], ProgressItem),
        ([{"id": "a", "progress": {"current": 1}}, {"id": "b", "progress": {"current": 2, "total": None}}], KnownItem),
        ([{"id": "a", "progress": {"current": 1}}, {"id": "b", "progress": {"current": None}}], KnownItem),
        ([{"id": "a", "progress": {"current": 1}}, {"id": "b", "progress": {}, "log": "a line"}], KnownItem),
        ([{"id": "a"}], KnownItem),
        ([{"id": "a", "progress": {"current": -1}}], None),
        ([{"id": "a", "progress": {"current": 1}, "age": -1}], None),
        ([{"id": "a", "progress": {"curent": 1}}], None),
        ([{"id": "a", "progress": {"current": 1}}] * 1001, None),
    ],
)
def test_as_which_they_are_read(items: list[dict[str, Any]], shape: type | None) -> None:
    found = decode_known(json.dumps({"items": items}).encode())
    assert ({type(item) for item in found} if found is not None else None) == ({shape} if shape else None)
    for item, sent in zip(list[ProgressItem | KnownItem](found or ()), items, strict=False):
        assert item.id == sent["id"] and item.age == sent.get("age", 0.0)
