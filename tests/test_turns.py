"""Long work on the event loop lets others have their turn, and is done all the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator

import pytest

from headway import turns


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(turns, "perf_counter", found)
    return found


def work(clock: Clock, steps: int, each: float) -> Generator[None, None, str]:
    for _ in range(steps):
        clock.now += each
        yield
    return "done"


def others_turns(clock: Clock, steps: int, each: float, others: float) -> int:
    """How often others, who take so long (s), had their turn while so many steps of so long were done."""

    async def scenario() -> int:
        had = 0

        async def beside() -> None:
            nonlocal had
            while True:
                had += 1
                clock.now += others
                await asyncio.sleep(0)

        task = asyncio.create_task(beside())
        await asyncio.sleep(0)
        had = 0
        assert await turns.in_turns(work(clock, steps, each)) == "done"
        task.cancel()
        return had

    return asyncio.run(scenario())


def test_others_have_their_turn_after_each_millisecond(clock: Clock) -> None:
    assert others_turns(clock, steps=1000, each=0.0001, others=0.0) == pytest.approx(100, abs=10)
    assert others_turns(clock, steps=10, each=0.02, others=0.0) == 10, "a long step is not cut"


def test_the_work_has_its_share_where_others_never_end(clock: Clock) -> None:
    assert others_turns(clock, steps=1000, each=0.0001, others=0.01) == pytest.approx(20, abs=3), "half of what they take"
    assert others_turns(clock, steps=1000, each=0.0001, others=1.0) == pytest.approx(10, abs=2), "and no more than ten milliseconds"


def test_what_is_broken_off_is_closed_and_errors_are_told(clock: Clock) -> None:
    closed = []

    def steps(error: Exception | None = None) -> Generator[None, None, None]:
        try:
            while True:
                clock.now += 1
                yield
                if error is not None:
                    raise error
        finally:
            closed.append(error)

    async def scenario() -> None:
        task = asyncio.create_task(turns.in_turns(steps()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(KeyError):
            await turns.in_turns(steps(KeyError("a")))

    asyncio.run(scenario())
    assert [type(one) for one in closed] == [type(None), KeyError]


def test_others_go_first_but_not_for_ever() -> None:
    way, done = turns.Way(), 0

    def steps() -> Generator[None, None, None]:
        nonlocal done
        for _ in range(3):
            done += 1
            yield

    async def scenario() -> None:
        with way.first():
            with way.first():
                task = asyncio.create_task(turns.in_turns(steps(), way))
                await asyncio.sleep(2 * turns.LOOK)
                assert done == 0
            await asyncio.sleep(2 * turns.LOOK)
            assert done == 0, "the second is still to come"
        await task
        assert done == 3 and way.clear
        with way.first():
            await asyncio.wait_for(turns.in_turns(steps(), way), 20)
        assert done == 6, "its patience has an end"

    asyncio.run(scenario())


def test_threads_give_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 20.0)
    way, passed = turns.Way(), threading.Event()

    def work() -> None:
        way.giving()()
        passed.set()

    with way.first():
        threading.Thread(target=work, daemon=True).start()
        assert not passed.wait(0.05)
    assert passed.wait(10)
    way.giving()()


def test_a_piece_of_work_has_patience_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN", 0.0)  # each step is a turn
    monkeypatch.setattr(turns, "LONGEST", 0.0)
    way, looks, sleep = turns.Way(), 0, asyncio.sleep

    def steps() -> Generator[None, None, None]:
        yield from [None] * 100

    async def looking(seconds: float) -> None:
        nonlocal looks
        looks += seconds > 0
        await sleep(0)

    async def scenario() -> None:
        with way.first():
            await turns.in_turns(steps(), way)

    monkeypatch.setattr(asyncio, "sleep", looking)
    asyncio.run(scenario())
    assert looks == round(turns.PATIENCE / turns.LOOK)

    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        time.sleep(seconds)

    with way.first():
        monkeypatch.setattr(way._clear, "wait", wait)
        monkeypatch.setattr(turns, "PATIENCE", 0.02)
        give = way.giving()
        for _ in range(100):
            give()
    assert waited == [0.02]


def test_all_at_once(clock: Clock) -> None:
    assert turns.at_once(work(clock, 3, 1.0)) == "done" and clock.now == 3.0
