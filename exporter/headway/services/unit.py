"""One service as it is kept: started, waited for until it answers, looked at, started again, stopped.

Event-loop thread only; what blocks runs in threads and returns values. A unit has at most one task that brings it up at a time;
whoever stops it waits for that task to notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from headway.control.control import Control
from headway.control.report import Asked
from headway.ending.signals import parse_signal
from headway.errors import HeadwayError, StoreUnavailable
from headway.model import Process, Status
from headway.registry.registry import Registry
from headway.services.answering import missing
from headway.services.attempt import REPORTED_WITHIN, Attempt, Needed, NotStarted, Over, Silent, Stopped, clear, may_fork
from headway.services.definition import Policy, Service
from headway.services.memory import Remembered
from headway.services.phase import End, Phase, after_end, end_of, how
from headway.services.recognition import Found, Taken
from headway.supervisor.launch import Launcher

T = TypeVar("T")
log = logging.getLogger(__name__)

# So long one must have been a zombie (s): a parent that is slow to wait for it may do so yet.
ZOMBIE: Final = 2.0
SILENT: Final = "it runs, but does not answer"


class World(Protocol):
    """What units share (see headway.services.supervisor)."""

    registry: Registry
    control: Control
    launcher: Launcher

    async def thread(self, work: Callable[[], T]) -> T: ...
    async def remember(self, unit: Unit) -> None: ...
    def changed(self, unit: Unit) -> None: ...
    def find_running(self, service: Service) -> Found | Taken | None: ...
    def needed(self, service: Service) -> list[Unit]: ...
    async def stored_process(self, process_id: str) -> Process | None: ...


class Unit:
    def __init__(self, service: Service, remembered: Remembered, world: World) -> None:
        self.service = service
        if remembered.failed_as not in (None, service.mark):
            remembered = replace(remembered, over=None, failures=0, failed_as=None)
        self.remembered = remembered
        self.world = world
        self.phase = Phase.STOPPED
        self.reason = ""
        self.since = world.registry.clock()
        self.ready_at: float | None = None
        self.again_at: float | None = None
        self.gave_up = False
        if remembered.over is not None:
            self.phase, self.reason, self.gave_up = Phase.ERROR, remembered.over, True
        self.port_open: bool | None = None
        self.unhealthy = 0
        self.health: str | None = None
        self.scheduled_for: float | None = None
        # What is still being cleared away after a process that failed; whether it waits for another service to run.
        self.clearing: asyncio.Task[None] | None = None
        self.blocked = False
        self._attempt: Attempt | None = None
        self._task: asyncio.Task[None] | None = None
        self._adopting: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._probed_at = 0.0
        self._lock = asyncio.Lock()

    # ── what it is ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def wanted(self) -> bool:
        return self.service.autostart if self.remembered.wanted is None else self.remembered.wanted

    @property
    def process(self) -> Process | None:
        """Its present process, as the registry knows it."""
        process_id = self.remembered.process_id
        entry = None if process_id is None else self.world.registry.entries.get(process_id)
        return None if entry is None else entry.process

    @property
    def outdated(self) -> bool:
        """Whether it runs with another configuration than the present one."""
        known = self.remembered.fingerprint
        return self.phase in (Phase.RUNNING, Phase.STARTING) and known is not None and known != self.service.fingerprint

    @property
    def settled(self) -> bool:
        """Whether nothing more will come of what was asked for. An error that is followed by a new attempt is not the end."""
        return not self.phase.moving and self.again_at is None and (self._task is None or self._task.done())

    # ── verbs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, scheduled_for: float | None = None) -> None:
        """Begins to bring it up, unless it is or is being brought up. Raises StoreUnavailable."""
        async with self._lock:
            await self._want(True)
            await self._adopted()
            self.begin(scheduled_for)

    def begin(self, scheduled_for: float | None = None) -> None:
        if self.phase in (Phase.RUNNING, Phase.STOPPING) or (self._task is not None and not self._task.done()):
            return
        if self.phase is Phase.ERROR and (process := self.process) is not None and process.status.active:
            return  # it runs, and does not answer
        if self.service.schedule is None:  # the next run of a schedule mends nothing that the last one left undone
            self._put_away()
        self.again_at, self.gave_up, self.blocked = None, False, False
        self.remembered = replace(self.remembered, over=None)
        self.scheduled_for = scheduled_for
        self._go(self._try(Attempt(self), Attempt.bring_up))

    async def stop(self, by: str, for_now: bool = False) -> None:
        """Ends it with everything below it; it is not started again by itself, or, `for_now`, not by this exporter. Raises
        StoreUnavailable when that could not be written down; what could not be ended is in error afterwards."""
        async with self._lock:
            if for_now and self.wanted:
                await self._end_to_begin_anew(by)
                return
            if not for_now:
                await self._want(False)
            await self._end(by)

    async def arm(self) -> None:
        """It is to run from now on: at once, or when its schedule says so. Raises StoreUnavailable."""
        async with self._lock:
            await self._want(True)
            await self._adopted()
            if self.service.schedule is None:
                self.begin()

    async def restart(self, by: str) -> None:
        async with self._lock:
            await self._end_to_begin_anew(by)
            if self.phase is Phase.STOPPED:
                self.remembered = replace(self.remembered, failures=0)
                self.begin()

    async def _end_to_begin_anew(self, by: str) -> None:
        """If the exporter does not live to see the end, the next one begins it anew. Raises StoreUnavailable."""
        await self._want(True, restarting=True)
        try:
            await self._end(by)
        finally:
            self.remembered = replace(self.remembered, restarting=False)

    async def adopt(self) -> None:
        """After a start of the exporter: finds out what became of its process, and goes on from there."""
        process_id = self.remembered.process_id
        if process_id is None:
            return
        process = self.process
        if process is None or process.status.ended:
            known = process or await self.world.stored_process(process_id)
            if known is not None:
                self._ended(known)
                return
        if process is None and self.world.registry.clock() - (self.remembered.launched_at or 0) > REPORTED_WITHIN:
            self.remembered = replace(self.remembered, process_id=None, pid=None, create_time=None)
            return
        self._go(self._try(Attempt(self), Attempt.take_up))
        self._adopting = self._task

    async def _adopted(self) -> None:
        """Waits until it is known whether its process of before still runs."""
        if self._adopting is not None and not self._adopting.done():
            await asyncio.wait([self._adopting])

    def close(self) -> None:
        """The exporter stops; the service does not."""
        for task in (self._task, self._probing):
            if task is not None:
                task.cancel()

    # ── time and news ──────────────────────────────────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Its process changed."""
        process = self.process
        if process is None or self.phase not in (Phase.RUNNING, Phase.ERROR) or self.ready_at is None:
            return
        if process.status.active:
            self._see_zombie(process)
        elif not self._task_done():
            pass  # news of one end come twice, or before it is written down that it runs: the next look is soon enough
        elif self._may_have_forked(process):
            self._go(self._try(Attempt(self), Attempt.follow))
        else:
            self._ended(process)

    def _may_have_forked(self, process: Process) -> bool:
        """Whether its command may have ended because what it started goes on in the background."""
        ours = self.remembered.fingerprint is not None
        return ours and end_of(process) is End.GOOD and may_fork(self.service)

    def _see_zombie(self, process: Process) -> None:
        """One that was taken over has ended, whether its parent has waited for it or not."""
        entry = self.world.registry.entries[process.id]
        since = None if entry.sample is None else entry.sample.zombie_since
        if since is None or self.world.registry.clock() - since < ZOMBIE:
            return
        outcome = self.world.registry.end(
            process.id,
            Status.ORPHANED,
            at=max(since, process.started_at or since),
            cause="its OS process has ended",
            error="its OS process has ended; how is not known, for its parent has not waited for it",
        )
        settle(outcome.stored)

    def _put_away(self) -> None:
        """A failure that is mended by a new start needs nobody's attention; it stays in the history."""
        entry = self.world.registry.entries.get(self.remembered.last_process_id or "")
        if entry is not None and entry.process.status.ended and end_of(entry.process) is End.BAD:
            settle(self.world.registry.dismiss(entry.process.id).stored)

    def tick(self, now: float) -> None:
        """About every second."""
        if self.again_at is not None and now >= self.again_at and self._task_done():
            self._put_away()
            again = 0 if self.remembered.restarting else 1
            self.remembered = replace(self.remembered, restarts=self.remembered.restarts + again, restarting=False)
            scheduled_for = self.scheduled_for
            self.again_at = None
            self.begin(scheduled_for)
        elif self.ready_at is not None and self.phase in (Phase.RUNNING, Phase.ERROR):
            if self.remembered.failures and now - self.ready_at >= self.service.restart.stable:
                self.remembered = replace(self.remembered, failures=0)
            self._probe(now)

    # ── bringing up ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _try(self, attempt: Attempt, how_to: Callable[[Attempt], Awaitable[None]]) -> None:
        self._attempt = attempt
        self.ready_at, self.unhealthy, self.health = None, 0, None
        self._set(Phase.STARTING, "")
        try:
            await how_to(attempt)
            self.ready_at = self.world.registry.clock()
            self._set(Phase.RUNNING, "")
            await self.world.remember(self)
        except Stopped:
            pass
        except Over as over:
            self._ended(over.process)
        except Silent as silent:
            self.ready_at = self.world.registry.clock()
            self._set(Phase.ERROR, f"{SILENT}: {silent}")
        except Needed as error:
            # Started as soon as what it needs runs.
            self.blocked = True
            self._forget_process()
            self._set(Phase.ERROR, str(error))
        except NotStarted as error:
            self._not_started(error)
        except StoreUnavailable as error:
            self._not_started(NotStarted(error.detail))
        finally:
            self._attempt = None

    def _not_started(self, error: NotStarted) -> None:
        process = self.process
        if process is not None and process.status.ended and str(error) == how(process):
            if self.service.port is None and self.service.health is None:
                self.ready_at = process.started_at
                self._ended(process)
                return
            if end_of(process) is End.ASKED:
                self._ended(process)
                return
        self._after(End.BAD, str(error), 0.0, error.final)

    # ── its end ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ended(self, process: Process) -> None:
        finished = process.finished_at or self.world.registry.clock()
        started = self.ready_at if self.ready_at is not None else process.started_at
        self._after(end_of(process), how(process), max(0.0, finished - (started or finished)))

    def _after(self, end: End, reason: str, ran_for: float, final: bool = False) -> None:
        self._forget_process()
        if end is End.BAD:
            self.remembered = replace(self.remembered, failed_as=self.service.mark)
        if self.service.schedule is not None and end is not End.BAD:
            self.remembered = replace(self.remembered, failures=0)
            self._set(Phase.STOPPED, "")
        elif end is End.ASKED and self.wanted and self.remembered.restarting:
            # An exporter before this one ended it to start it anew.
            self.again_at = self.world.registry.clock()
            self._set(Phase.STOPPED, "")
        elif not self.wanted or (end is End.ASKED and self.service.restart.policy is not Policy.ALWAYS):
            # Ended on request, and that request was not for a new one.
            self.remembered = replace(self.remembered, wanted=False, failures=0)
            self._set(Phase.STOPPED, "ended on request" if end is End.ASKED else reason)
        else:
            following = after_end(self.service.restart, end, ran_for, self.remembered.failures)
            self.remembered = replace(self.remembered, failures=following.failures)
            again = None if final else following.again_in
            self.gave_up = end is End.BAD and again is None
            self.again_at = None if again is None else self.world.registry.clock() + again
            if again is None and end is not End.BAD:
                # It had its run, and is not to have another one only because the exporter is started again.
                self.remembered = replace(self.remembered, wanted=False)
            tries = self.service.restart.tries
            if following.gave_up:
                often = "1 failure" if following.failures == 1 else f"{following.failures} failures in a row"
                reason = f"given up after {often}: {reason}"
            elif again is not None and end is End.BAD:
                reason += f"; started again in {again:g} s ({following.failures} of {tries} tries)" if tries else "; started again"
            bad = end is End.BAD and self.service.schedule is None
            if bad and again is None:
                self.remembered = replace(self.remembered, over=reason)
            self._set(Phase.ERROR if bad else Phase.STOPPED, reason)
        if end is End.BAD:
            self.clearing = asyncio.create_task(self._clear_away())
        self._remember_later()

    async def _clear_away(self) -> None:
        process = await self.last_process()
        if process is not None and process.status.ended:
            with contextlib.suppress(HeadwayError):
                await clear(self, process)

    async def last_process(self) -> Process | None:
        """Its present or last process."""
        known = self.remembered.last_process_id
        entry = None if known is None else self.world.registry.entries.get(known)
        if entry is not None:
            return entry.process
        return None if known is None else await self.world.stored_process(known)

    async def _end(self, by: str) -> None:
        self.again_at, self.gave_up, self.blocked = None, False, False
        self.remembered = replace(self.remembered, over=None)
        if self._task is not None and not self._task.done():
            if self._attempt is not None:
                self._attempt.abort()
            await asyncio.wait([self._task])
        process = self.process
        if process is None or process.status.ended:
            self._set(Phase.STOPPING, "")
            await self._clear_away()
            self._forget_process()
            self._set(Phase.STOPPED, "")
            self._remember_later()
            return
        self._set(Phase.STOPPING, "")
        try:
            report = await self.world.control.kill([process], self.asked(by))
        except HeadwayError as error:
            self._set(Phase.ERROR, f"it could not be ended: {error.detail}")
            raise
        left = [*report.survivors, *report.failed, *(report.skipped if not report.killed else ())]
        if left and (process := self.process) is not None and process.status.active:
            self._set(Phase.ERROR, f"it could not be ended: {left[0].reason}")
            return
        self._forget_process()
        self._remember_later()
        self._set(Phase.STOPPED, f"{len(left)} of its OS processes live on: {left[0].reason}" if left else "")

    def _forget_process(self) -> None:
        self.ready_at, self.port_open, self.health = None, None if self.service.port is None else False, None
        if (process := self.process) is None or process.status.ended:
            self.remembered = replace(self.remembered, process_id=None, pid=None, create_time=None)

    def asked(self, by: str = "the supervisor") -> Asked:
        return Asked(by=by, signal=parse_signal(self.service.stop_signal), grace=self.service.stop_grace)

    # ── while it runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def _probe(self, now: float) -> None:
        health, service = self.service.health, self.service
        if (health is None and service.port is None) or (self._probing is not None and not self._probing.done()):
            return
        interval = 10.0 if health is None else health.interval
        process = self.process
        if now - self._probed_at >= interval and process is not None and process.status is Status.RUNNING:
            self._probed_at = now
            self._probing = asyncio.create_task(self._probed())

    async def _probed(self) -> None:
        service = self.service
        lacking = await missing(self)
        if self.phase not in (Phase.RUNNING, Phase.ERROR) or self.ready_at is None:
            return
        if lacking is None:
            self.unhealthy = 0
            if self.phase is Phase.ERROR:
                self._set(Phase.RUNNING, "")
            return
        self.unhealthy += 1
        if self.unhealthy < (3 if service.health is None else service.health.failures):
            return
        self._set(Phase.ERROR, f"{SILENT}: {lacking}")
        if service.health is not None and service.health.restart and self._task_done():
            self._go(self._renew(lacking))

    async def _renew(self, lacking: str) -> None:
        """Ends one that does not answer, as its health check asks, and goes on as after a failure."""
        process, now = self.process, self.world.registry.clock()
        ran_for, self.ready_at = now - (self.ready_at or now), None
        if process is not None and process.status.active:
            await self.world.control.kill([process], self.asked())
        self._after(End.BAD, f"it did not answer and was ended: {lacking}", ran_for)

    # ── small things ───────────────────────────────────────────────────────────────────────────────────────────────

    def _go(self, work: Awaitable[None]) -> None:
        async def whole() -> None:
            try:
                await work
            except Exception as error:
                log.exception("service %s", self.name)
                self._set(Phase.ERROR, f"an error inside the exporter: {type(error).__name__}; its log says more")

        self._task = asyncio.create_task(whole(), name=f"service {self.name}")

    def _task_done(self) -> bool:
        return self._task is None or self._task.done()

    async def _want(self, wanted: bool, restarting: bool = False) -> None:
        before = self.remembered
        seen_due = before.seen_due if self.wanted or not wanted else self.world.registry.clock()
        self.remembered = replace(before, wanted=wanted, restarting=restarting, failures=0, seen_due=seen_due)
        try:
            await self.world.remember(self)
        except StoreUnavailable:
            self.remembered = before
            raise

    def _remember_later(self) -> None:
        async def remember() -> None:
            with contextlib.suppress(StoreUnavailable):
                await self.world.remember(self)

        self._remembering = asyncio.create_task(remember())

    def _set(self, phase: Phase, reason: str) -> None:
        if phase is not self.phase:
            self.since = self.world.registry.clock()
            log.log(
                logging.WARNING if phase is Phase.ERROR else logging.INFO,
                "service %s: %s%s",
                self.name,
                phase,
                f": {reason}" if reason else "",
            )
        self.phase, self.reason = phase, reason
        self.world.changed(self)

    def say(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            self.world.changed(self)


def settle(stored: asyncio.Future[None] | None) -> None:
    """What cannot be stored is undone by the registry, and tried again with the next look."""
    if stored is not None:
        stored.add_done_callback(lambda future: future.cancelled() or future.exception())
