"""A page of many processes is worked out in turns with other requests: what happens meanwhile is neither lost nor half shown."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator
from itertools import count
from typing import Any

import pytest

from headway import turns
from headway.api.scrape import ASKED_WITHIN, ENOUGH, IMPATIENT, LARGE, SLICE, Scrape
from headway.collector import Collector
from headway.metrics.families import PROCESS_FAMILIES
from headway.metrics.own import OwnMetrics
from headway.model import Status
from headway.registry.watch import RENEWALS, STEP
from headway.schemas.reports import ProgressIn, UpdateIn
from registry_world import World, in_loop

MANY = LARGE + 2 * SLICE


@pytest.fixture(autouse=True)
def after_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn, however fast this machine is."""
    monkeypatch.setattr(turns, "TURN", 0.0)
    monkeypatch.setattr(turns, "SHARE", 0.0)
    monkeypatch.setattr(turns, "PATIENCE", 20.0)


def filled(count: int) -> World:
    world = World()
    for n in range(count):
        world.create(id=f"p{n}", progress={"current": 0, "total": 100})
    return world


def told(world: World, process_id: str, current: float) -> None:
    world.registry.update(process_id, UpdateIn(progress=ProgressIn(current=current)))


def shown(page: bytes) -> dict[str, float]:
    found = re.findall(rb'^headway_process_items_done\{id="([^"]+)".*\} (\S+)$', page, re.MULTILINE)
    return {key.decode(): float(value) for key, value in found}


def lines_of(page: bytes) -> set[bytes]:
    """What it says of processes and names, but for how long the page took."""
    return {line for line in page.splitlines() if line.startswith((b"headway_process", b"headway_name"))}


@in_loop
async def test_what_changes_while_a_page_is_made_is_on_that_page_or_the_next() -> None:
    world = filled(MANY)
    scrape = Scrape(world.registry, Collector(OwnMetrics()))
    making = asyncio.create_task(scrape.page(None, None))
    for _ in range(2):  # it has begun, and let others have their turn
        await asyncio.sleep(0)
    told(world, "p0", 7)  # was told already
    told(world, f"p{MANY - 1}", 8)  # is still to come
    world.registry.end("p1", Status.DONE, at=world.clock.now, cause="test")
    world.registry.roll.drop([f"p{MANY - 2}"])
    first = shown((await making)[0])
    assert len(first) == MANY - 1 and first[f"p{MANY - 1}"] == 8
    page = (await scrape.page(None, None))[0]
    second = shown(page)
    assert second["p0"] == 7 and second.keys() == first.keys()
    assert b'headway_process_status_code{id="p1",name="job",kind="task"} 10\n' in page


@in_loop
async def test_two_at_once_see_the_same_and_the_later_nothing_older() -> None:
    world = filled(MANY)
    scrape = Scrape(world.registry, Collector(OwnMetrics()))
    one = asyncio.create_task(scrape.page(None, None))
    await asyncio.sleep(0)
    told(world, "p0", 5)
    two = asyncio.create_task(scrape.page(None, None))
    pages = [shown(page[0]) for page in await asyncio.gather(one, two)]
    assert len(pages[0]) == len(pages[1]) == MANY and pages[1]["p0"] == 5


@in_loop
async def test_others_have_their_turn_meanwhile() -> None:
    world = filled(MANY)
    scrape = Scrape(world.registry, Collector(OwnMetrics()))
    had = 0

    async def others() -> None:
        nonlocal had
        while True:
            had += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await scrape.page(None, "gzip")
    beside.cancel()
    assert had >= MANY // SLICE + len(PROCESS_FAMILIES)


async def broken_off(scrape: Scrape, turns: int) -> bool:
    """Asks for a page and goes away after so many turns of the loop. Whether it was there by then."""
    making = asyncio.create_task(scrape.page(None, None))
    for _ in range(turns):
        await asyncio.sleep(0)
    whole = making.done()
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    return whole


@in_loop
async def test_a_page_that_is_broken_off_takes_nothing_from_the_next() -> None:
    """Wherever it is: the notes are worked off, half the families are written, the bytes are being joined."""
    world = filled(MANY)
    for turn in count(0, 7):
        told(world, "p3", turn + 1)
        world.registry.end(f"p{10 + turn // 7}", Status.DONE, at=world.clock.now, cause="test")
        collector = Collector(OwnMetrics())
        scrape = Scrape(world.registry, collector)
        whole = await broken_off(scrape, turn)
        page = (await scrape.page(None, None))[0]
        assert shown(page)["p3"] == turn + 1 and len(shown(page)) == MANY
        fresh = (await Scrape(world.registry, Collector(OwnMetrics())).page(None, None))[0]
        assert lines_of(page) == lines_of(fresh), turn
        if whole:
            break
    assert turn > len(PROCESS_FAMILIES)


@in_loop
async def test_a_page_may_be_broken_off_while_the_lines_of_who_ended_are_taken_away() -> None:
    world = filled(MANY)
    collector = Collector(OwnMetrics())
    scrape = Scrape(world.registry, collector)
    await scrape.page(None, None)
    for turn in count(0, 5):
        if turn // 5 < MANY // 20:
            for n in range(turn // 5 * 20, turn // 5 * 20 + 20):
                world.registry.end(f"p{n}", Status.DONE, at=world.clock.now, cause="test")
        whole = await broken_off(scrape, turn)
        if whole:
            break
        page = (await scrape.page(None, None))[0]
        fresh = (await Scrape(world.registry, Collector(OwnMetrics())).page(None, None))[0]
        assert lines_of(page) == lines_of(fresh), turn
    assert turn > len(PROCESS_FAMILIES)


@in_loop
async def test_many_ends_are_worked_off_ahead_of_the_next_page() -> None:
    world = filled(3 * ENOUGH)
    collector = Collector(OwnMetrics())
    scrape = Scrape(world.registry, collector)

    async def end(first: int, count: int) -> None:
        ends = [world.registry.end(f"p{n}", Status.DONE, at=world.clock.now, cause="test") for n in range(first, first + count)]
        await asyncio.gather(*[outcome.stored for outcome in ends if outcome.stored is not None])

    await end(0, ENOUGH)
    await scrape.prepare()
    assert not collector._ended, "nobody asks for pages"
    await scrape.page(None, None)
    assert len(collector._ended) == ENOUGH
    await end(ENOUGH, ENOUGH - 1)
    await scrape.prepare()
    assert len(collector._ended) == ENOUGH, "few do not keep a page waiting"
    await end(2 * ENOUGH - 1, 1)
    told(world, f"p{3 * ENOUGH - 1}", 7)
    world.registry.roll.drop(["p0"])
    await scrape.prepare()
    assert (len(collector._ended), len(collector._active)) == (2 * ENOUGH - 1, ENOUGH)
    page = (await scrape.page(None, None))[0]
    assert shown(page)[f"p{3 * ENOUGH - 1}"] == 7
    assert lines_of(page) == lines_of((await Scrape(world.registry, Collector(OwnMetrics())).page(None, None))[0])
    await end(2 * ENOUGH, ENOUGH)
    world.clock.now += ASKED_WITHIN
    await scrape.prepare()
    assert len(collector._active) == ENOUGH, "nobody asks for pages any more"


@pytest.mark.parametrize("many", [False, True])
@in_loop
async def test_a_page_of_many_leaves_forecasts_to_the_next_look_at_the_gates(many: bool) -> None:
    world = filled(IMPATIENT + many)
    scrape = Scrape(world.registry, Collector(OwnMetrics()))
    entry = world.registry.entries["p0"]

    async def time_left() -> float:
        page = (await scrape.page(None, None))[0]
        return float(re.findall(rb'^headway_process_eta_seconds\{id="p0",.*\} (\S+)$', page, re.MULTILINE)[0])

    for current in range(1, 51):
        world.clock.now += 1
        told(world, "p0", current)
    assert await time_left() == pytest.approx(50, rel=0.05)
    for current in (51, 52):
        world.clock.now += 4
        told(world, "p0", current)
    shown = await time_left()
    assert entry.estimator is not None and entry.estimator.due == many
    world.watch.evaluate()
    assert not entry.estimator.due
    now = world.registry.view(entry).eta
    assert await time_left() == now and (shown != now if many else shown == now)


@in_loop
async def test_forecasts_of_many_are_made_in_several_looks() -> None:
    world = World()
    for n in range(2 * RENEWALS):
        world.create(id=f"p{n}", progress={"current": 0, "total": 100}, expected_duration=3600)
    scrape = Scrape(world.registry, Collector(OwnMetrics()))
    estimators = [entry.estimator for entry in world.registry.entries.values() if entry.estimator is not None]
    for seconds, current in ((10, 10), (4, 11), (4, 12)):
        world.clock.now += seconds
        for n in range(2 * RENEWALS):
            told(world, f"p{n}", current)
        if current != 11:
            await scrape.page(None, None)
    for due in (2 * RENEWALS, RENEWALS, 0, 0):
        assert sum(one.due for one in estimators) == due
        world.watch.evaluate()


@in_loop
async def test_what_happens_by_itself_gives_way_to_a_page() -> None:
    """Not to the one that nobody waits for any more."""
    world = filled(MANY)
    way, alone, packing = turns.Way(), list[bool](), list[bool]()

    class Watched(Collector):
        def packed(self, *page: Any) -> tuple[bytes, str, str | None]:
            packing.append(way.clear)
            return super().packed(*page)

    scrape = Scrape(world.registry, Watched(OwnMetrics()), way)

    def steps() -> Generator[None, None, None]:
        for _ in range(5):
            alone.append(way.clear)
            yield

    for broken_off in (False, True):
        making = asyncio.create_task(scrape.page(None, None))
        await asyncio.sleep(0)
        beside = asyncio.create_task(turns.in_turns(steps(), way))
        await asyncio.sleep(0)
        assert not way.clear
        if broken_off:
            making.cancel()
        await asyncio.gather(making, return_exceptions=True)
        assert way.clear
        await beside
    assert alone == [True] * 10 and packing == [False]


@in_loop
async def test_what_is_heard_between_two_steps_of_the_gates_counts() -> None:
    world = filled(2 * STEP)
    for n in range(2 * STEP):
        told(world, f"p{n}", 1)
    world.clock.now += 100  # stuck, if nothing is heard
    world.watch._last = world.clock.now
    steps = world.watch.evaluating()
    next(steps)
    world.clock.now += 1
    last = f"p{2 * STEP - 1}"
    told(world, last, 2)
    world.registry.end(f"p{2 * STEP - 2}", Status.DONE, at=world.clock.now, cause="test")
    for _ in steps:
        pass
    conditions = {key: entry.conditions for key, entry in world.registry.entries.items()}
    assert [report.condition for report in conditions["p0"]] == ["stuck"]
    assert conditions[last] == () and conditions[f"p{2 * STEP - 2}"] == ()
