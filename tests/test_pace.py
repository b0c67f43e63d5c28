"""Rate and time left of a process as the verbs of the registry leave them: pauses, and work that was done before."""

from __future__ import annotations

import pytest

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
