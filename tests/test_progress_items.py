"""Items of a batch that say progress alone are read and applied at less cost; what they do is what any update would do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from headway.model import Status
from headway.schemas import KnownItem, ProgressIn, ProgressItem, UpdateIn, decode_known
from registry_world import World, in_loop

PROGRESS = st.builds(
    ProgressIn,
    current=st.sampled_from([UNSET, None, 0.0, 3.0, 50.0, 99.0]),
    total=st.sampled_from([UNSET, UNSET, None, 100.0, 10.0]),
    unit=st.sampled_from([UNSET, UNSET, None, "rows"]),
    initial=st.sampled_from([UNSET, UNSET, 2.0]),
)
SAID = st.lists(st.tuples(PROGRESS, st.sampled_from([UNSET, 1, 2, 5]), st.sampled_from([0.0, 0.5, 90.0])), max_size=8)


@given(SAID, st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_one_is_an_update_like_any(said: list[tuple[ProgressIn, Any, float]], ended_after: int) -> None:
    @in_loop
    async def scenario() -> None:
        worlds = World(), World()
        for world in worlds:
            world.create(id="a", started_age=60, progress={"current": 1, "total": 100})
        for number, (progress, seq, age) in enumerate(said):
            for world in worlds:
                world.clock.now += 1
                if number == ended_after:
                    world.registry.end("a", Status.DONE, at=world.clock.now - 0.7, cause="test")
            plain = worlds[0].registry.update("a", ProgressItem(id="a", progress=progress, seq=seq, age=age))
            usual = worlds[1].registry.update("a", UpdateIn(progress=progress, seq=seq, age=age))
            assert (plain.process, plain.duplicate) == (usual.process, usual.duplicate)
        one, other = (world.registry.view(world.registry.entries["a"]) for world in worlds)
        assert one == other

    scenario()


@pytest.mark.parametrize(
    ("items", "shape"),
    [
        ([{"id": "a", "progress": {"current": 1}}, {"id": "b", "seq": 1, "age": 0.5, "progress": {"total": None}}], ProgressItem),
        ([{"id": "a", "progress": {"current": 1}}, {"id": "b", "progress": {}, "log": "a line"}], KnownItem),
        ([{"id": "a"}], KnownItem),
        ([{"id": "a", "progress": {"current": -1}}], None),
        ([{"id": "a", "progress": {"current": 1}, "age": -1}], None),
        ([{"id": "a", "progress": {"curent": 1}}], None),
        ([{"id": "nobody", "progress": {"current": 1}}], None),
        ([{"id": "a", "progress": {"current": 1}}] * 1001, None),
    ],
)
def test_as_which_they_are_read(items: list[dict[str, Any]], shape: type | None) -> None:
    found = decode_known(json.dumps({"items": items}).encode(), {"a", "b"})
    assert ({type(item) for item in found} if found is not None else None) == ({shape} if shape else None)
    for item, sent in zip(list[ProgressItem | KnownItem](found or ()), items, strict=False):
        assert item.id == sent["id"] and item.age == sent.get("age", 0.0)
