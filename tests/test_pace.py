"""Rate and time left of a process as the verbs of the registry leave them: pauses, and work that was done before."""

from __future__ import annotations

import json

import pytest

from headway.api.kept import summary_bytes
from headway.model import Status
from registry_world import START, World, in_loop


def steady(world: World, process_id: str, first: int, last: int) -> None:
    """One item a second."""
    for done in range(first, last + 1):
        world.clock.now += 1
        world.update(process_id, progress={"current": done})


def pace(world: World, process_id: str = "a") -> tuple[float | None, float | None]:
    """Items per second and seconds left, now."""
    view = world.registry.view(world.registry.entries[process_id])
    return view.rate, view.eta


@in_loop
async def test_a_pause_is_no_time_worked() -> None:
    world = World()
    world.create(id="a", progress={"total": 100})
    steady(world, "a", 1, 30)
    before = pace(world)
    world.update("a", status="paused")
    world.clock.now += 1000
    assert pace(world) == (None, None)
    world.update("a", status="running")
    assert pace(world) == pytest.approx(before)
    steady(world, "a", 31, 40)
    assert pace(world) == pytest.approx((1.0, 60.0), rel=0.02)


@in_loop
async def test_while_a_person_is_waited_for_nobody_knows_how_long_it_takes() -> None:
    world = World()
    world.create(id="a", progress={"total": 100})
    steady(world, "a", 1, 30)
    world.update("a", waiting_for="approval")
    assert pace(world)[1] is None
    world.update("a", eta_seconds=50)
    assert pace(world)[1] == 50, "the reporter knows better"
    world.update("a", eta_seconds=None, waiting_for=None)
    assert pace(world)[1] == pytest.approx(70.0, rel=0.05)


@in_loop
async def test_a_pause_by_the_exporter_and_one_that_a_restart_saw_are_none_either() -> None:
    world = World()
    world.create(id="a", progress={"total": 100})
    steady(world, "a", 1, 30)
    world.registry.move("a", Status.PAUSED, cause="asked for")
    world.clock.now += 500
    later = World()
    later.clock.now = world.clock.now
    later.registry.load([world.registry.entries["a"].process], [], {Status.PAUSED: 1}, lambda _: [])
    later.clock.now += 500
    later.registry.move("a", Status.RUNNING, cause="asked for")
    assert pace(later) == pytest.approx((1.0, 70.0), rel=0.02)


@in_loop
async def test_what_is_told_during_a_pause_was_done_before_it() -> None:
    world = World()
    world.create(id="a", progress={"total": 100})
    steady(world, "a", 1, 30)
    world.update("a", status="paused")
    world.clock.now += 400
    world.update("a", progress={"current": 31})
    world.clock.now += 600
    world.update("a", status="running", progress={"current": 32})
    steady(world, "a", 33, 40)
    assert pace(world) == pytest.approx((1.0, 60.0), rel=0.3)


@in_loop
async def test_a_pause_that_could_not_be_stored_never_began_and_its_end_neither() -> None:
    world = World()
    world.create(id="a", progress={"total": 100})
    steady(world, "a", 1, 30)
    world.writer.immediate = False
    world.update("a", status="paused")
    world.writer.fail(world.registry)
    steady(world, "a", 31, 40)
    assert pace(world) == pytest.approx((1.0, 60.0), rel=0.02)
    world.writer.immediate = True
    world.update("a", status="paused")
    world.clock.now += 300
    world.writer.immediate = False
    world.update("a", status="running")
    world.writer.fail(world.registry)
    world.clock.now += 300
    world.writer.immediate = True
    world.update("a", status="running")
    assert pace(world) == pytest.approx((1.0, 60.0), rel=0.02)


@in_loop
async def test_what_a_creation_says_was_done_before_it() -> None:
    world = World()
    assert world.create(id="a", progress={"current": 500, "total": 600}).activity.initial == 500
    assert pace(world) == (None, None)
    steady(world, "a", 501, 502)
    assert pace(world) == pytest.approx((1.0, 98.0))


@in_loop
async def test_what_a_creation_that_arrives_late_says_was_done_since() -> None:
    world = World()
    assert world.create(id="a", started_age=100, progress={"current": 500, "total": 600}).activity.initial is None
    assert world.registry.entries["a"].process.started_at == START - 100
    assert pace(world) == pytest.approx((5.0, 20.0), rel=0.02)
    assert world.create(id="b", progress={"current": 500, "total": 600, "initial": 400}).activity.initial == 400
    assert world.create(id="c", progress={"current": 0, "total": 600}).activity.initial is None


@in_loop
async def test_what_was_told_while_it_was_queued_was_there_before() -> None:
    world = World()
    world.create(id="a", status="queued", started_age=5, progress={"total": 1000})
    world.clock.now += 60
    assert world.update("a", progress={"current": 500}).activity.initial is None
    world.clock.now += 60
    assert world.update("a", status="running", progress={"current": 500, "unit": "rows"}).activity.initial == 500
    steady(world, "a", 501, 502)
    assert pace(world) == pytest.approx((1.0, 498.0))
    world.create(id="b", status="queued", progress={"current": 300, "total": 1000})
    assert world.update("b", status="starting", progress={"initial": 200}).activity.initial == 200
    world.create(id="c", status="queued", progress={"current": 0, "total": 1000})
    assert world.update("c", status="running", progress={"current": 2}).activity.initial is None
    world.update("c", status="paused")
    assert world.update("c", status="running").activity.initial is None


def ends(world: World, process_id: str) -> tuple[float, float, float]:
    """Time left and its range, now."""
    view = world.registry.view(world.registry.entries[process_id])
    assert view.eta is not None and view.eta_range is not None
    return view.eta, *view.eta_range


@in_loop
async def test_a_parent_needs_as_long_as_each_of_its_running_children() -> None:
    world = World()
    world.create(id="a", progress={"total": 4})
    world.create(id="b", parent_id="a")
    world.create(id="c", parent_id="b", progress={"total": 1000})
    world.create(id="d", parent_id="a", progress={"total": 200})
    steady(world, "a", 1, 2)
    steady(world, "c", 1, 20)
    steady(world, "d", 1, 10)
    assert all(mine >= below for mine, below in zip(ends(world, "a"), ends(world, "c"), strict=True))
    assert pace(world)[1] == pace(world, "c")[1] == ends(world, "c")[0] > 300, "the longest counts, through one without any"
    assert pace(world)[0] != pace(world, "c")[0], "the rate is its own"
    for view in (world.registry.view(world.registry.entries["a"], patient=True), world.registry.view(world.registry.entries["a"])):
        entry = world.registry.entries["a"]
        shown = json.loads(summary_bytes(world.registry, entry, None, entry.children))
        assert shown["eta_seconds"] == pytest.approx(view.eta) and shown["eta_range"] == pytest.approx(view.eta_range)
    world.update("c", eta_seconds=777)
    assert ends(world, "a")[0] == 777 and ends(world, "a")[1] >= 777, "what a child says itself counts too"
    world.update("b", status="paused")
    assert pace(world)[1] == pace(world, "d")[1], "who does not run has no time left, nor has what is below it"
    world.update("d", status="done")
    assert (pace(world)[1] or 0.0) < 60, "who has ended needs nothing"
    world.update("b", status="running")
    world.update("a", eta_seconds=5)
    assert pace(world)[1] == 5, "its own word is believed"


@in_loop
async def test_who_is_its_own_ancestor_has_a_time_left() -> None:
    world = World()
    world.create(id="a", parent_id="b", progress={"total": 100})
    world.create(id="b", parent_id="a", progress={"total": 1000})
    steady(world, "a", 1, 10)
    steady(world, "b", 1, 10)
    assert pace(world)[1] == pace(world, "b")[1]
    world.pass_by(20)
    assert pace(world)[1] == pace(world, "b")[1]
