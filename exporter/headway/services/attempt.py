"""One attempt to bring a service up: what it needs, taking over or starting it, and waiting until it answers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headway.errors import InvalidInput
from headway.ids import new_id
from headway.model import OSProcess, Process
from headway.services.answering import missing
from headway.services.definition import Service
from headway.services.launching import creation_of, flags_of, words_of
from headway.services.phase import End, Phase, end_of, how
from headway.services.recognition import Found, Taken
from headway.supervisor.launch import Launched

if TYPE_CHECKING:
    from headway.services.unit import Unit

log = logging.getLogger(__name__)

# Until what runs the command has reported it: an interpreter starts in some tenths of a second, or in seconds on a busy machine.
REPORTED_WITHIN: Final = 20.0
POLL: Final = 0.05
# Until what a command left in the background is to be seen there.
BACKGROUND_WITHIN: Final = 5.0
# The same for one that was ready before its command ended: what it left has been there for a while.
FOLLOWED_WITHIN: Final = 1.0
# Between two questions whether it answers.
READY_POLL: Final = 0.2


class NotStarted(Exception):
    """Why a service could not be brought up. `final`: a new attempt would change nothing."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Needed(NotStarted):
    """What it depends on does not run: nothing of its own has failed."""


class Over(Exception):
    """What was taken up from an exporter before this one has ended."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process


class Silent(Exception):
    """What ran already does not answer. Whoever it works for, it is not ended for that."""


class Stopped(Exception):
    """It is to stop before it was up."""


class Attempt:
    """`bring_up` and `take_up` raise NotStarted, Over, Silent, Stopped, StoreUnavailable. `fresh`: what it waits for was started by
    it, and not by somebody before."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.world = unit.world
        self.service = unit.service
        self.fresh = False
        self._aborting = False
        self._following = False
        self._launched: Launched | None = None

    def abort(self) -> None:
        """It is to stop: the attempt ends as soon as what it has begun can be ended."""
        self._aborting = True

    async def bring_up(self) -> None:
        """Until it is ready."""
        await self._wait_for_needed()
        await self._clear()
        await self._wait_until_ready(await self._launch())

    async def follow(self) -> None:
        """Until what its command, which has ended well, left in the background is ready. Raises Over when there is nothing."""
        process = self.unit.process
        assert process is not None
        self.fresh = self._following = True
        await self._wait_until_ready(process)

    async def take_up(self) -> None:
        """Until what an exporter before this one started is ready."""
        await self._wait_until_ready(await self._reported())

    async def _wait_for_needed(self) -> None:
        deadline = now() + self.service.start_timeout
        while True:
            self._check_abort()
            late = [one for one in self.world.needed(self.service) if one.phase is not Phase.RUNNING]
            if not late:
                return
            first = late[0]
            over = now() >= deadline and first.phase is not Phase.STARTING
            if (first.settled and first.phase in (Phase.ERROR, Phase.STOPPED)) or over:
                what = "in error" if first.phase is Phase.ERROR else first.phase
                raise Needed(f"it needs {first.name}, which is {what}" + (f": {first.reason}" if first.reason else ""))
            self.unit.say(f"waits for {', '.join(one.name for one in late)}")
            await asyncio.sleep(POLL)

    async def _clear(self) -> None:
        """Ends what a process before, that did not end well, has left running: the new one would find it in its way, or be one too
        many. What ended well may have left there what it was meant to."""
        if self.unit.clearing is not None:
            await asyncio.wait([self.unit.clearing])
        process = await self.unit.last_process()
        if process is not None and process.status.ended and end_of(process) is not End.GOOD:
            await clear(self.unit, process)

    async def _launch(self) -> Process:
        """Takes over one that runs already, or starts one."""
        world, service = self.world, self.service
        found = await world.thread(lambda: world.find_running(service))
        self._check_abort()
        if isinstance(found, Taken):
            raise NotStarted(found.reason)
        if isinstance(found, Found):
            return await self._take_over(found)
        process_id, at = new_id(), world.registry.clock()
        self.unit.remembered = replace(
            self.unit.remembered,
            process_id=process_id,
            pid=None,
            create_time=None,
            launched_at=at,
            fingerprint=service.fingerprint,
            last_run_at=at,
            last_process_id=process_id,
        )
        await world.remember(self.unit)
        self.fresh = True
        flags = flags_of(service, world.launcher.data_dir, self.unit.scheduled_for)
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
        self.fresh = False
        log.info("service %s runs already (pid %d, recognised by %s): taken over", self.unit.name, found.process.pid, found.how)
        # What it was started with is not known.
        self.unit.remembered = replace(
            self.unit.remembered, process_id=known.id, fingerprint=None, launched_at=registry.clock(), last_process_id=known.id
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
        deadline = now() + REPORTED_WITHIN
        while True:
            silent = self._launched is not None and self._launched.silent()
            if (process := self.unit.process) is not None:
                return process
            if self._launched is not None and silent:
                words = self._launched.words()
                raise NotStarted(f"the command was not run: {words or 'its runner ended without a word'}", final=True)
            if now() >= deadline:
                raise NotStarted(f"it was started, but was not reported within {REPORTED_WITHIN:.0f} s")
            await asyncio.sleep(POLL)

    async def _wait_until_ready(self, started: Process) -> None:
        deadline, gone_at = now() + self.service.start_timeout, 0.0
        while True:
            self._check_abort()
            process = self.unit.process
            if process is None or process.status.ended:
                ended = process or await self.world.stored_process(started.id)
                if ended is not None and not self.fresh:
                    raise Over(ended)
                if ended is None or end_of(ended) is not End.GOOD or not may_fork(self.service):
                    raise NotStarted("it ended before it was ready" if ended is None else how(ended))
                # What a program that went into the background left there is the service.
                lacking: str | None = await self._background()
                gone_at = gone_at or now()
            else:
                gone_at = 0.0
                await self._note_root(process)
                lacking = await missing(self.unit)
            if lacking is None:
                return
            self.unit.say(f"waits: {lacking}")
            if now() >= deadline or (gone_at and now() >= gone_at + (FOLLOWED_WITHIN if self._following else BACKGROUND_WITHIN)):
                if self._following and gone_at:
                    raise Over(started)
                if process is not None and process.status.active:
                    if not self.fresh:
                        raise Silent(lacking)
                    await self.world.control.kill([process], self.unit.asked())
                late = (
                    "" if process is None or process.status.ended else f"it was not ready within {self.service.start_timeout:g} s: "
                )
                raise NotStarted(f"{late}{lacking}")
            await asyncio.sleep(READY_POLL)

    async def _background(self) -> str:
        found = await self.world.thread(lambda: self.world.find_running(self.service))
        if isinstance(found, Found):
            await self._take_over(found)
            return "it went into the background"
        return found.reason if isinstance(found, Taken) else "its command ended, and nothing of it is seen in the background"

    async def _note_root(self, process: Process) -> None:
        """Remembers its OS process, for who must end it while no exporter runs."""
        root = process.spec.os_process
        if root is not None and (root.pid, root.create_time) != (self.unit.remembered.pid, self.unit.remembered.create_time):
            self.unit.remembered = replace(self.unit.remembered, pid=root.pid, create_time=root.create_time)
            await self.world.remember(self.unit)

    def _check_abort(self) -> None:
        if self._aborting:
            raise Stopped


async def clear(unit: Unit, process: Process) -> None:
    """Ends what is left of a process that has ended."""
    control = unit.world.control
    if await control.living([process]):
        log.info("service %s: what its process %s has left running is ended", unit.name, process.id)
        await control.kill([process], unit.asked())


def may_fork(service: Service) -> bool:
    """Whether what it leaves in the background could be recognised."""
    return any(sign is not None for sign in (service.pid_file, service.port, service.match))


def now() -> float:
    return asyncio.get_running_loop().time()
