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
from headway.errors import HeadwayError, InvalidInput, StoreUnavailable
from headway.ids import new_id
from headway.model import OSProcess, Process, Status
from headway.registry.registry import Registry
from headway.services import probe
from headway.services.definition import Policy, Service
from headway.services.launching import creation_of, flags_of, words_of
from headway.services.memory import Remembered
from headway.services.phase import End, Phase, after_end, end_of, how
from headway.services.recognition import Found, Taken
from headway.supervisor.launch import Launched, Launcher

T = TypeVar("T")
log = logging.getLogger(__name__)

# Until what runs the command has reported it: an interpreter starts in some tenths of a second, or in seconds on a busy machine.
REPORTED_WITHIN: Final = 20.0
POLL: Final = 0.05
# Until what a command left in the background is to be seen there.
BACKGROUND_WITHIN: Final = 5.0
# Between two questions whether it answers, while it starts.
READY_POLL: Final = 0.2
SUPERVISOR: Final = "the supervisor"
SILENT: Final = "it runs, but does not answer"


class NotStarted(Exception):
    """Why a service could not be brought up. `final`: a new attempt would change nothing."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Over(Exception):
    """What was taken up from an exporter before this one has ended."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process


class Silent(Exception):
    """What ran already does not answer. Whoever it works for, it is not ended for that."""


class Stopped(Exception):
    """It is to stop before it was up."""


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
        self.remembered = remembered
        self.world = world
        self.phase = Phase.STOPPED
        self.reason = ""
        self.since = world.registry.clock()
        self.ready_at: float | None = None
        self.again_at: float | None = None
        self.gave_up = False
        self.port_open: bool | None = None
        self.unhealthy = 0
        self.health: str | None = None
        self.scheduled_for: float | None = None
        self._aborting = False
        self._fresh = False  # started by this exporter just now
        self._launched: Launched | None = None
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
        self.again_at, self.gave_up = None, False
        self.scheduled_for = scheduled_for
        self._go(self._bring_up(self._launch))

    async def stop(self, by: str) -> None:
        """Ends it with everything below it; it is not started again by itself. Raises StoreUnavailable when that could not be
        written down; what could not be ended is in error afterwards."""
        async with self._lock:
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
            await self._want(True)
            await self._end(by)
            if self.phase is Phase.STOPPED:
                self.remembered = replace(self.remembered, failures=0)
                self.begin()

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
        self._go(self._bring_up(self._reported))
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
        if (
            process is not None
            and process.status.ended
            and self.phase in (Phase.RUNNING, Phase.ERROR)
            and self.ready_at is not None
        ):
            self._ended(process)

    def tick(self, now: float) -> None:
        """About every second."""
        if self.again_at is not None and now >= self.again_at and self._task_done():
            self.remembered = replace(self.remembered, restarts=self.remembered.restarts + 1)
            again = self.scheduled_for
            self.again_at = None
            self.begin(again)
        elif self.ready_at is not None and self.phase in (Phase.RUNNING, Phase.ERROR):
            if self.remembered.failures and now - self.ready_at >= self.service.restart.stable:
                self.remembered = replace(self.remembered, failures=0)
            self._probe(now)

    # ── bringing up ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _bring_up(self, obtain: Callable[[], Awaitable[Process]]) -> None:
        self._aborting, self._fresh, self.ready_at, self.unhealthy, self.health = False, False, None, 0, None
        self._set(Phase.STARTING, "")
        try:
            if obtain == self._launch:
                await self._wait_for_needed()
            process = await obtain()
            await self._wait_until_ready(process.id)
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
        except NotStarted as error:
            await self._not_started(error)
        except StoreUnavailable as error:
            await self._not_started(NotStarted(error.detail))
        finally:
            self._aborting = False

    async def _wait_for_needed(self) -> None:
        deadline = self._deadline()
        while True:
            self._check_abort()
            late = [one for one in self.world.needed(self.service) if one.phase is not Phase.RUNNING]
            if not late:
                return
            first = late[0]
            over = self._now() >= deadline and first.phase is not Phase.STARTING
            if (first.settled and first.phase in (Phase.ERROR, Phase.STOPPED)) or over:
                raise NotStarted(f"it needs {first.name}, which is {first.phase}" + (f": {first.reason}" if first.reason else ""))
            self._say(f"waits for {', '.join(one.name for one in late)}")
            await asyncio.sleep(POLL)

    async def _launch(self) -> Process:
        """Takes over one that runs already, or starts one."""
        world, service = self.world, self.service
        found = await world.thread(lambda: world.find_running(service))
        self._check_abort()
        if isinstance(found, Taken):
            raise NotStarted(found.reason)
        if isinstance(found, Found):
            return await self._take_over(found)
        process_id, now = new_id(), world.registry.clock()
        self.remembered = replace(
            self.remembered,
            process_id=process_id,
            pid=None,
            create_time=None,
            launched_at=now,
            fingerprint=service.fingerprint,
            last_run_at=now,
            last_process_id=process_id,
        )
        await world.remember(self)
        self._fresh = True
        flags = flags_of(service, world.launcher.data_dir, self.scheduled_for)
        try:
            self._launched = await world.thread(
                lambda: world.launcher.start(process_id, flags, words_of(service), dict(service.env), service.cwd)
            )
        except InvalidInput as error:
            raise NotStarted(error.detail, final=True) from None
        except OSError as error:
            raise NotStarted(f"headway run could not be started: {error.strerror}") from None
        return await self._reported()

    async def _take_over(self, found: Found) -> Process:
        registry = self.world.registry
        known = next((e.process for e in registry.entries.values() if self._is_of(e.process, found.process)), None)
        if known is None:
            age = max(0.0, registry.clock() - (found.process.create_time or registry.clock()))
            outcome = registry.create(creation_of(self.service, found.process, found.command, found.how, age))
            if outcome.stored is not None:
                await outcome.stored
            known = outcome.process
        self._fresh = False
        log.info("service %s runs already (pid %d, recognised by %s): taken over", self.name, found.process.pid, found.how)
        # What it was started with is not known.
        self.remembered = replace(
            self.remembered, process_id=known.id, fingerprint=None, launched_at=registry.clock(), last_process_id=known.id
        )
        return known

    def _is_of(self, process: Process, os_process: OSProcess) -> bool:
        root = process.spec.os_process
        return (
            process.status.active
            and root is not None
            and root.pid == os_process.pid
            and self.world.control.watch.visible(process) == root
        )

    async def _reported(self) -> Process:
        """Waits until what runs the command has said so."""
        deadline = self._now() + REPORTED_WITHIN
        while (process := self.process) is None:
            if self._launched is not None and self._launched.ended():
                words = self._launched.words()
                raise NotStarted(f"the command was not run: {words or 'its runner ended without a word'}", final=True)
            if self._now() >= deadline:
                raise NotStarted(f"it was started, but was not reported within {REPORTED_WITHIN:.0f} s")
            await asyncio.sleep(POLL)
        return process

    async def _wait_until_ready(self, process_id: str) -> None:
        deadline, gone_at = self._deadline(), 0.0
        while True:
            self._check_abort()
            process = self.process
            if process is None or process.status.ended:
                ended = process or await self.world.stored_process(process_id)
                if ended is not None and not self._fresh:
                    raise Over(ended)
                if ended is None or end_of(ended) is not End.GOOD or not self._may_fork():
                    raise NotStarted("it ended before it was ready" if ended is None else how(ended))
                # What a program that went into the background left there is the service.
                missing: str | None = await self._background()
                gone_at = gone_at or self._now()
            else:
                gone_at = 0.0
                await self._note_root(process)
                missing = await self._missing()
            if missing is None:
                return
            self._say(f"waits: {missing}")
            if self._now() >= deadline or (gone_at and self._now() >= gone_at + BACKGROUND_WITHIN):
                if process is not None and process.status.active:
                    if not self._fresh:
                        raise Silent(missing)
                    await self.world.control.kill([process], self._asked(SUPERVISOR))
                late = (
                    "" if process is None or process.status.ended else f"it was not ready within {self.service.start_timeout:g} s: "
                )
                raise NotStarted(f"{late}{missing}")
            await asyncio.sleep(READY_POLL)

    def _may_fork(self) -> bool:
        return any(sign is not None for sign in (self.service.pid_file, self.service.port, self.service.match))

    async def _background(self) -> str:
        found = await self.world.thread(lambda: self.world.find_running(self.service))
        if isinstance(found, Found):
            await self._take_over(found)
            return "it went into the background"
        return found.reason if isinstance(found, Taken) else "its command ended, and nothing of it is seen in the background"

    async def _missing(self) -> str | None:
        """What it does not answer to yet; None when it is ready."""
        service = self.service
        if service.port is not None:
            self.port_open = await self.world.thread(lambda: probe.port_open(service.port or 0))
            if not self.port_open:
                return f"nothing listens on port {service.port}"
        if service.health is not None:
            health = service.health
            self.health = await self.world.thread(
                lambda: probe.check(health, service.cwd, self.world.launcher.environment(service.env))
            )
            return self.health
        return None

    async def _note_root(self, process: Process) -> None:
        """Remembers its OS process, for who must end it while no exporter runs."""
        root = process.spec.os_process
        if root is not None and (root.pid, root.create_time) != (self.remembered.pid, self.remembered.create_time):
            self.remembered = replace(self.remembered, pid=root.pid, create_time=root.create_time)
            await self.world.remember(self)

    async def _not_started(self, error: NotStarted) -> None:
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
        if self.service.schedule is not None and end is not End.BAD:
            self.remembered = replace(self.remembered, failures=0)
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
            if again is None and not following.gave_up and not final and self.service.schedule is None:
                # It had its run, and is not to have another one only because the exporter is started again.
                self.remembered = replace(self.remembered, wanted=False)
            tries = self.service.restart.tries
            if following.gave_up:
                reason = f"given up after {following.failures} failures in a row: {reason}"
            elif again is not None and end is End.BAD:
                reason += f"; started again in {again:g} s ({following.failures} of {tries} tries)" if tries else "; started again"
            bad = end is End.BAD and self.service.schedule is None
            self._set(Phase.ERROR if bad else Phase.STOPPED, reason)
        self._remember_later()

    async def _end(self, by: str) -> None:
        self.again_at, self.gave_up = None, False
        if self._task is not None and not self._task.done():
            self._aborting = True
            await asyncio.wait([self._task])
        process = self.process
        if process is None or process.status.ended:
            self._forget_process()
            self._set(Phase.STOPPED, "")
            self._remember_later()
            return
        self._set(Phase.STOPPING, "")
        try:
            report = await self.world.control.kill([process], self._asked(by))
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

    def _asked(self, by: str) -> Asked:
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
        missing = await self._missing()
        if self.phase not in (Phase.RUNNING, Phase.ERROR) or self.ready_at is None:
            return
        if missing is None:
            self.unhealthy = 0
            if self.phase is Phase.ERROR:
                self._set(Phase.RUNNING, "")
            return
        self.unhealthy += 1
        if self.unhealthy < (3 if service.health is None else service.health.failures):
            return
        self._set(Phase.ERROR, f"{SILENT}: {missing}")
        if service.health is not None and service.health.restart and self._task_done():
            self._go(self._renew(missing))

    async def _renew(self, missing: str) -> None:
        """Ends one that does not answer, as its health check asks, and goes on as after a failure."""
        process, now = self.process, self.world.registry.clock()
        ran_for, self.ready_at = now - (self.ready_at or now), None
        if process is not None and process.status.active:
            await self.world.control.kill([process], self._asked(SUPERVISOR))
        self._after(End.BAD, f"it did not answer and was ended: {missing}", ran_for)

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

    async def _want(self, wanted: bool) -> None:
        before = self.remembered
        seen_due = before.seen_due if self.wanted or not wanted else self.world.registry.clock()
        self.remembered = replace(before, wanted=wanted, failures=0, seen_due=seen_due)
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

    def _say(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            self.world.changed(self)

    def _check_abort(self) -> None:
        if self._aborting:
            raise Stopped

    def _deadline(self) -> float:
        return self._now() + self.service.start_timeout

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
