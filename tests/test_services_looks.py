"""A service is looked at from two sides, by news of its process and by the clock: one end is taken up once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest

from headway.sampler.base import identify
from headway.services.definition import Service
from headway.services.memory import Remembered
from headway.services.phase import Phase
from headway.services.recognition import Found
from headway.services.unit import Unit
from registry_world import World, in_loop

T = TypeVar("T")


class Around:
    """What is around a unit. Until `written` is set, something is being written down; `phases` are those it went through."""

    def __init__(self, world: World) -> None:
        self.registry = world.registry
        self.control = SimpleNamespace(watch=world.watch)
        self.written = asyncio.Event()
        self.phases: list[Phase] = []

    async def thread(self, work: Callable[[], T]) -> T:
        return work()

    async def remember(self, unit: Unit) -> None:
        await self.written.wait()

    def changed(self, unit: Unit) -> None:
        self.phases.append(unit.phase)

    def find_running(self, service: Service) -> Found:
        here = identify(os.getpid())
        assert here is not None
        return Found(here, "./server", "its pid file")


@pytest.mark.parametrize("writing", [False, True])
@in_loop
async def test_a_command_that_ended_and_left_a_daemon(tmp_path: Path, writing: bool) -> None:
    """`writing`: it ends while it is still being written down that it runs; else news of its end come twice at one moment."""
    world = World()
    around = Around(world)
    service = Service(name="d", command="./start.sh", cwd=str(tmp_path), pid_file=str(tmp_path / "s.pid"))
    started = world.create(metadata={"service": "d"})
    unit = Unit(service, Remembered(process_id=started.id, last_process_id=started.id, fingerprint="f"), cast(Any, around))
    await unit.adopt()
    if not writing:
        around.written.set()
    await until(lambda: unit.phase is Phase.RUNNING and (writing or unit.settled))
    around.phases.clear()
    world.update(started.id, status="done")
    unit.look()
    unit.look()
    around.written.set()
    await until(lambda: unit.settled)
    unit.look()  # as the clock does
    await until(lambda: unit.settled)
    assert (unit.phase, unit.reason, unit.remembered.restarts) == (Phase.RUNNING, "", 0)
    assert Phase.STOPPED not in around.phases and unit.process is not None
    assert unit.process.spec.os_process == around.find_running(service).process


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 20 s")
