"""All services: which are to run, in which order they are started and ended, and what their schedules say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar

from headway.control.control import Control
from headway.errors import NotFound, StoreUnavailable
from headway.model import Process
from headway.registry.hub import Hub
from headway.registry.news import news
from headway.registry.registry import Registry
from headway.sampler.base import host_here
from headway.sampler.details import Details, details_here
from headway.services.definition import Service, with_needed
from headway.services.memory import Memory, Remembered
from headway.services.phase import Phase
from headway.services.recognition import Found, Taken, find_running
from headway.services.schedule import Clockwork, due_now
from headway.services.unit import Unit
from headway.supervisor.launch import Launcher

T = TypeVar("T")
log = logging.getLogger(__name__)

TICK: Final = 1.0
# How long changes of processes gather before units look at theirs (s).
PAUSE: Final = 0.02
# Checks that wait for an answer keep a thread busy.
THREADS: Final = 8


class Supervisor:
    """Event-loop thread only. `stored` reads a process from the history."""

    def __init__(
        self,
        services: Sequence[Service],
        registry: Registry,
        control: Control,
        launcher: Launcher,
        stored: Callable[[str], Process | None],
        details: Details | None = None,
    ) -> None:
        self.registry = registry
        self.control = control
        self.launcher = launcher
        self.hub = Hub()
        self.units: dict[str, Unit] = {}
        self._stored = stored
        self._details = details or details_here()
        self._memory = Memory(launcher.data_dir)
        self._known: dict[str, Remembered] = {}
        self._services = services
        self._clocks = {one.name: Clockwork(one.schedule) for one in services if one.schedule is not None}
        self._queued: dict[str, float] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="services")
        self._saving = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    # ── life ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def load(self) -> None:
        """Takes up what was remembered; to be called before anybody can ask."""
        self._known = await self.thread(self._memory.load)
        self.units = {one.name: Unit(one, self._known.get(one.name, Remembered()), self) for one in self._services}
        self._warn_of(self._known)

    async def start(self) -> None:
        """Finds what an exporter before this one left running, and starts what is to run and does not. To be called once the
        exporter listens: what is started reports to it."""
        if not self.units:
            return
        for unit in self.units.values():
            await unit.adopt()
        for unit in self.units.values():
            known = unit.remembered
            idle = known.process_id is None and known.over is None and unit.again_at is None and unit.phase is Phase.STOPPED
            if idle and unit.wanted and unit.service.schedule is None:
                unit.begin()
        self._tasks = [
            asyncio.create_task(self._follow(), name="services follow"),
            asyncio.create_task(self._tick(), name="services tick"),
        ]

    def close(self) -> None:
        """The exporter stops: services go on."""
        for task in self._tasks:
            task.cancel()
        for unit in self.units.values():
            unit.close()
        self.hub.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ── verbs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def bring_up(self, units: Iterable[Unit], now: bool = True) -> list[Unit]:
        """Begins to start these and what they need; returns all of them in the order of starting. What runs by a schedule runs at
        once when `now`, else it waits for its time."""
        every = self.with_needed(units)
        for unit in every:
            await (unit.start() if now else unit.arm())
        return every

    def with_needed(self, units: Iterable[Unit]) -> list[Unit]:
        """These and what they need, in the order of starting."""
        names = [unit.name for unit in units]
        return [self.units[one.name] for one in with_needed(names, {unit.name: unit.service for unit in self.units.values()})]

    async def take_down(self, units: Iterable[Unit], by: str, for_now: bool = False) -> None:
        """Ends these, each after those that need it; `for_now`: the next exporter starts them again."""
        chosen = {unit.name: unit for unit in units}
        tasks: dict[str, asyncio.Task[None]] = {}

        async def end(unit: Unit) -> None:
            above = [other.name for other in chosen.values() if unit.name in other.service.depends_on]
            await asyncio.wait([tasks[name] for name in above]) if above else None
            await unit.stop(by, for_now)

        for name in reversed(chosen):
            tasks[name] = asyncio.create_task(end(chosen[name]))
        for outcome in await asyncio.gather(*tasks.values(), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def settle(self, units: Iterable[Unit], within: float) -> bool:
        """Waits until nothing more will come of what was asked of these. False when that took longer than `within` seconds."""
        watched, loop = list(units), asyncio.get_running_loop()
        deadline = loop.time() + within
        changed = self.hub.subscribe()
        try:
            await asyncio.sleep(0)  # what was begun shows that it was
            # No asyncio.timeout around this: before Python 3.12 wait_for loses a cancellation that comes together with the change.
            while not all(unit.settled for unit in watched) and not self.hub.closed:
                if (left := deadline - loop.time()) <= 0:
                    return False
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), min(TICK, left))
                changed.clear()
            return True
        finally:
            self.hub.unsubscribe(changed)

    def next_run(self, unit: Unit) -> float | None:
        """When its schedule is due next (unix s); None without one, and while it is stopped."""
        clock = self._clocks.get(unit.name)
        if clock is None or not unit.wanted:
            return None
        return clock.next(unit.remembered.seen_due or self.registry.clock())

    # ── what units need (see headway.services.unit.World) ──────────────────────────────────────────────────────────

    async def thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def remember(self, unit: Unit) -> None:
        """Raises StoreUnavailable."""
        async with self._saving:
            known = {**self._known, unit.name: unit.remembered}
            if known != self._known:
                await self.thread(lambda: self._memory.save(known))
                self._known = known

    def changed(self, unit: Unit) -> None:
        self.hub.wake()
        if unit.phase is Phase.RUNNING:
            for other in self.units.values():
                if other.blocked and other.wanted and unit.name in other.service.depends_on:
                    other.begin()

    def find_running(self, service: Service) -> Found | Taken | None:
        others = {one.remembered.pid for one in self.units.values() if one.name != service.name and one.remembered.pid is not None}
        starting = {one.remembered.process_id for one in self.units.values() if one.name != service.name}

        def belongs_elsewhere(mark: str) -> bool:
            entry = self.registry.entries.get(mark)
            if entry is None:  # one that was launched just now has not been reported yet
                return mark in starting
            return bool(entry.process.metadata.get("service") != service.name)

        known = self.units[service.name].remembered

        def ours(mark: str) -> bool:
            entry = self.registry.entries.get(mark)
            own = entry is not None and entry.process.metadata.get("service") == service.name
            return own or (bool(mark) and mark in (known.process_id, known.last_process_id))

        return find_running(service, host_here(), self._details, {os.getpid(), *others}, belongs_elsewhere, ours)

    def needed(self, service: Service) -> list[Unit]:
        return [self.units[name] for name in service.depends_on]

    async def stored_process(self, process_id: str) -> Process | None:
        return await self.thread(lambda: self._stored(process_id))

    # ── time and news ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self) -> None:
        async with contextlib.aclosing(news(self.registry, PAUSE)) as following:
            async for changed in following:
                ids = {entry.process.id for entry in changed}
                for unit in self.units.values():
                    if unit.remembered.process_id in ids:
                        unit.look()
                        self.hub.wake()

    async def _tick(self) -> None:
        while True:
            now = self.registry.clock()
            for unit in self.units.values():
                try:
                    unit.look()
                    unit.tick(now)
                    await self._see_schedule(unit, now)
                except StoreUnavailable as error:
                    log.warning("service %s: %s", unit.name, error.detail)
                except Exception:
                    log.exception("service %s could not be looked at; it is tried again", unit.name)
            await asyncio.sleep(TICK - self.registry.clock() % TICK)

    async def _see_schedule(self, unit: Unit, now: float) -> None:
        schedule = unit.service.schedule
        if schedule is None or not unit.wanted:
            self._queued.pop(unit.name, None)
            return
        known = unit.remembered
        if known.seen_due is None or known.seen_due > now + 3600:  # never looked at, or the clock was set back
            unit.remembered = replace(known, seen_due=now)
            await self.remember(unit)
            return
        running = not unit.settled or unit.phase is Phase.RUNNING
        if not running and unit.name in self._queued:
            unit.begin(self._queued.pop(unit.name))
            return
        due_at = self._clocks[unit.name].next(known.seen_due)
        if due_at is None or now < due_at:
            return
        due = await self.thread(lambda: due_now(schedule, known.seen_due or now, now, running))
        if due is None:
            return
        unit.remembered = replace(
            unit.remembered,
            seen_due=now,
            missed=known.missed + due.missed,
            overlapped=known.overlapped + due.overlapped,
            late_at=now if due.missed and due.run is None else known.late_at,  # one that is made up now is not missed any more
            overlapped_at=now if due.overlapped else known.overlapped_at,
        )
        if due.missed:
            log.warning("service %s: %d of its runs were missed", unit.name, due.missed)
        if due.overlapped:
            log.warning("service %s: a run was left out, because the one before still goes on", unit.name)
        await self.remember(unit)
        if due.queue is not None:
            self._queued[unit.name] = due.queue
        if due.run is not None:
            unit.begin(due.run)

    def _warn_of(self, known: dict[str, Remembered]) -> None:
        configured = {one.name for one in self._services}
        for name, one in known.items():
            entry = self.registry.entries.get(one.process_id or "")
            if name not in configured and entry is not None and entry.process.status.active:
                log.warning(
                    "service %s is no longer configured, and its process runs on: headway kill %s ends it", name, one.process_id
                )


def no_service(name: str, known: Iterable[str]) -> NotFound:
    """What to say to somebody who knows of these."""
    from difflib import get_close_matches  # slow to import, and needed by mistakes alone

    names = list(known)
    near = get_close_matches(name, names, n=1)
    there = f"there are {', '.join(names)}" if names else "none is configured (docs/services.md says how)"
    if near:
        there = f"did you mean {near[0]}?"
    return NotFound(f"there is no service {name[:64]}: {there}")
