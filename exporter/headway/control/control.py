"""Ending, pausing and resuming processes. Decides whom an action reaches, runs it in a thread, and writes down what came of it.

The registry is told before the first signal (stopping) and when the outcome was seen; in between its watch keeps its hands off.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from headway.control.report import EXECUTOR, NO_PROCESS, NOT_HERE, QUEUED, Asked, Miss, Report, same
from headway.control.storing import stored
from headway.control.telling import describe, pid_of, root_of, tell
from headway.control.whole import Below, reported_below, run_of, tree_of
from headway.ending.base import Outcome, Spared, Target
from headway.ending.system import OSSystem, System
from headway.ending.trees import end_trees, look_at, pause_trees, resume_trees
from headway.errors import Conflict, HeadwayError, StoreUnavailable
from headway.model import Ending, OSProcess, Process, Status, Stopping
from headway.registry.entry import Entry
from headway.registry.outcome import Outcome as Changed
from headway.registry.watch import Watch
from headway.sampler.base import host_here
from headway.sampler.host import Host

T = TypeVar("T")
log = logging.getLogger(__name__)

# Actions at a time; more wait for their turn. They have threads of their own, so that a long grace keeps nobody else waiting.
ACTIONS: Final = 16
# Of the grace of a kill that an exporter before this one began, so much is left at least (s): its signal may not have been sent.
LEAST_GRACE: Final = 1.0
# A reporter that was asked to end may say how it ended, in a request that is under way: so long is waited for it (s).
LAST_WORD: Final = 0.5


class Control:
    """Event-loop thread only; the blocking parts are given values and return values."""

    def __init__(self, watch: Watch, hosts: Callable[[], Host] = host_here, system: System | None = None) -> None:
        self.watch = watch
        self.registry = watch.registry
        self.hosts = hosts
        self.system = system or OSSystem()
        self._stopping = threading.Event()
        self._actions = ThreadPoolExecutor(ACTIONS, thread_name_prefix="control")
        self._looks = ThreadPoolExecutor(4, thread_name_prefix="look")
        self._running: set[asyncio.Task[Any]] = set()
        self._before: dict[str, tuple[Status, float | None]] = {}

    def close(self) -> None:
        """The exporter stops: nothing is waited for any more."""
        self._stopping.set()
        self._actions.shutdown(wait=False, cancel_futures=True)
        self._looks.shutdown(wait=False, cancel_futures=True)

    async def kill(self, subjects: Sequence[Process | OSProcess], asked: Asked) -> Report:
        """Ends these and everything below them; answers when the outcome is known. Raises StoreUnavailable when that could not be
        written down. Goes on when the caller goes away."""
        return await self._whole(self._kill(subjects, asked))

    async def _kill(self, subjects: Sequence[Process | OSProcess], asked: Asked) -> Report:
        report = Report(dry_run=asked.dry_run)
        below = reported_below(self.registry)
        targets = [target for one in subjects if (target := self._target(one, asked, report, below)) is not None]
        spared = self.spared(asked)
        plan = await self.look(look_at, targets, spared) if targets else []
        if asked.dry_run:
            describe(report, plan, [entry.process for entry in self._reached(plan)], self.registry.entries)
            return report
        entries = self._reached(plan)
        self._take(entries)
        try:
            await self._begin(entries, asked)
            outcomes = await self._act(
                lambda: end_trees(
                    targets,
                    signal=asked.signal,
                    grace=asked.grace,
                    host=self.hosts(),
                    system=self.system,
                    spared=spared,
                    give_up=self._stopping.is_set,
                )
            )
            taken = {entry.process.id for entry in entries}
            later = [one for one in self._reached(outcomes) if one.process.id not in taken]  # reported while it was ended
            self._take(later)
            entries += later
            await self._settle(entries, outcomes, asked, report)
        finally:
            self._release(entries)
        return report

    async def go_on(self, ids: Iterable[str]) -> None:
        """Ends what an exporter before this one was ending when it stopped: with the same signal once more, since not all may have
        heard it, and with what is left of the grace. What is gone is the watch's, which waits for last words."""
        asked: dict[Ending, list[Process]] = {}
        for one in [self.registry.entries[process_id].process for process_id in ids if process_id in self.registry.entries]:
            if isinstance(one.state, Stopping) and one.state.ending is not None:
                asked.setdefault(one.state.ending, []).append(one)
        await asyncio.gather(*(self._go_on(ending, ones) for ending, ones in asked.items()))

    async def _go_on(self, ending: Ending, processes: Sequence[Process]) -> None:
        ids = ", ".join(one.id for one in processes)
        try:
            living = await self.living(processes)
            begun = max((one.state.stopping_at for one in living if isinstance(one.state, Stopping)), default=0.0)
            grace = min(max(LEAST_GRACE, begun + ending.grace - self.registry.clock()), ending.grace)
            if living:
                log.info("the kill asked by %s of %s goes on", ending.by, ids)
                await self.kill(living, Asked.again(ending, grace))
        except HeadwayError as error:
            log.warning("the kill asked by %s of %s does not go on: %s", ending.by, ids, error.detail)

    def _target(self, one: Process | OSProcess, asked: Asked, report: Report, below: Below) -> Target | None:
        if isinstance(one, OSProcess):
            return Target(f"pid:{one.pid}", one)
        if asked.spare_executors and one.spec.executor:
            report.skipped.append(Miss(id=one.id, pid=pid_of(one), reason=EXECUTOR))
            return None
        reason = self.unreachable(one)
        if reason is not None:
            report.failed.append(Miss(id=one.id, pid=pid_of(one), reason=reason))
            return None
        return tree_of(self.watch, one, asked, below)

    def unreachable(self, process: Process) -> str | None:
        """Why no signal can be sent for this process; None when one can."""
        if process.status is Status.QUEUED:
            return QUEUED
        return NOT_HERE if self.watch.visible(process) is None else None

    async def living(self, processes: Iterable[Process]) -> list[Process]:
        """Those whose OS process runs, or who has left it does, whatever their record says."""
        known = list(processes)
        targets = [Target(one.id, root, (run_of(one, root),)) for one in known if (root := self.watch.visible(one)) is not None]
        found = {outcome.key for outcome in (await self.look(look_at, targets, ()) if targets else ()) if outcome.lives}
        return [one for one in known if one.id in found]

    def spared(self, asked: Asked) -> list[Spared]:
        """OS processes of others that must not be hit on the way."""
        found = []
        for entry in self.registry.entries.values():
            process = entry.process
            if not process.status.active or process.status is Status.QUEUED or (root := self.watch.visible(process)) is None:
                continue
            if asked.spare_executors and process.spec.executor:
                found.append(Spared(root, EXECUTOR, run_of(process, root)))
            elif not asked.sees(process.spec.user):
                found.append(Spared(root, "it is a process of another user", run_of(process, root)))
        return found

    def _reached(self, outcomes: Iterable[Outcome]) -> list[Entry]:
        """The active processes whose OS process belongs to one of these trees, and who was given up for lost there."""
        members: dict[int, list[OSProcess]] = {}
        targets = set()
        for outcome in outcomes:
            if outcome.barred is None and outcome.refused is None:
                targets.add(outcome.key)
                for member in (*outcome.members, outcome.root):
                    members.setdefault(member.pid, []).append(member)
        found = []
        for entry in self.registry.entries.values():
            process = entry.process
            lost = process.status is Status.ORPHANED and process.id in targets
            if (process.status.ended and not lost) or process.status is Status.QUEUED:
                continue
            root = self.watch.visible(process)
            if root is not None and any(same(root, member) for member in members.get(root.pid, ())):
                found.append(entry)
        return found

    async def _begin(self, entries: Sequence[Entry], asked: Asked) -> None:
        """Says durably that they are being ended, and how. A store that is away is no reason to let them run."""
        now, cause = self.registry.clock(), f"kill asked by {asked.by}"
        changes: list[Changed] = []
        try:
            for entry in entries:
                if entry.process.status.active:
                    at = entry.process.cancel_requested_at or now
                    changes.append(
                        self.registry.move(
                            entry.process.id, Status.STOPPING, cause=cause, cancel_requested_at=at, ending=asked.ending
                        )
                    )
            await stored(changes)
        except StoreUnavailable as error:
            log.warning("%s could not be written down: %s", cause, error.detail)

    async def _settle(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], asked: Asked, report: Report) -> None:
        ended: dict[int, list[OSProcess]] = {}
        for outcome in outcomes:
            for one in (*outcome.ended, *((outcome.root,) if outcome.root_ended else ())):
                ended.setdefault(one.pid, []).append(one)
        over = {
            e.process.id: e for e in entries if any(same(one, root_of(e.process)) for one in ended.get(root_of(e.process).pid, ()))
        }
        await self._last_words(over.values())
        signals = {pid: number for outcome in outcomes for pid, number in outcome.signals.items()}
        by_key = {outcome.key: outcome for outcome in outcomes}
        changes: list[Changed] = []
        trouble: StoreUnavailable | None = None
        for entry in entries:
            process = entry.process
            try:
                if process.id in over:
                    if process.status.active or process.status is Status.ORPHANED:
                        changes.append(
                            self._killed(process, by_key.get(process.id), signals.get(root_of(entry.process).pid), asked)
                        )
                elif self._stopping.is_set():
                    continue  # it has heard the signal and may yet end: the next exporter sees what is true
                elif entry.in_hand == 1 and process.status is Status.STOPPING:
                    status, cancel_at = self._before[process.id]
                    status = Status.RUNNING if status is Status.STARTING else status
                    cause = f"the kill asked by {asked.by} failed: it lives on"
                    changes.append(self.registry.move(process.id, status, cause=cause, cancel_requested_at=cancel_at))
            except StoreUnavailable as error:
                trouble = error
        try:
            await stored(changes)
        except StoreUnavailable as error:
            trouble = error
        tell(report, outcomes, [entry.process for entry in over.values()], self.registry.entries)
        if trouble is not None:
            raise StoreUnavailable(f"{report.killed_count} were ended, but that could not be written down: {trouble.detail}")

    def _killed(self, process: Process, outcome: Outcome | None, signal: int | None, asked: Asked) -> Changed:
        if outcome is None:
            cause = f"its OS process was ended with another one, as {asked.by} asked"
        elif outcome.gone:
            cause = f"kill asked by {asked.by}: its OS process was gone already"
        else:
            cause = f"killed by {asked.by}"
        left = 0 if outcome is None else len(outcome.survivors)
        error = f"{left} of its OS processes live on" if left else None
        now = self.registry.clock()
        return self.registry.end(process.id, Status.KILLED, at=now, cause=cause, error=error, signal=signal, requested=True)

    async def _last_words(self, entries: Iterable[Entry]) -> None:
        """Those of reporters that have spoken before: how it ended is theirs to say."""
        waiting = [entry for entry in entries if entry.process.status.active and entry.process.activity.seq > 0]
        if not waiting:
            return
        changed = self.registry.feed.hub.subscribe()
        try:
            async with asyncio.timeout(LAST_WORD):
                while any(entry.process.status.active for entry in waiting):
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            pass
        finally:
            self.registry.feed.hub.unsubscribe(changed)

    async def pause(self, process: Process, asked: Asked) -> tuple[Process, list[Miss]]:
        """Stops it and everything below it. Returns the process, and who could not be stopped. Raises Conflict."""
        return await self._whole(self._turn(process, asked, Status.PAUSED))

    async def resume(self, process: Process, asked: Asked) -> tuple[Process, list[Miss]]:
        """Lets it go on, with everything below it. Raises Conflict."""
        return await self._whole(self._turn(process, asked, Status.RUNNING))

    async def _turn(self, process: Process, asked: Asked, to: Status) -> tuple[Process, list[Miss]]:
        pausing = to is Status.PAUSED
        word, others = ("paused", (Status.STARTING, Status.RUNNING)) if pausing else ("resumed", (Status.PAUSED,))
        if process.status not in (*others, to):
            raise Conflict(f"process {process.id} is {process.status}; only one that is {' or '.join(others)} can be {word}")
        if (reason := self.unreachable(process)) is not None:
            if reason == NOT_HERE:  # to end it is not what was asked for
                reason = f"{NO_PROCESS}, and only OS processes can be; what is reported with its pid has one"
            raise Conflict(f"process {process.id} cannot be {word}: {reason}")
        target = tree_of(self.watch, process, asked, reported_below(self.registry))
        assert target is not None
        root, targets, spared = target.root, [target], self.spared(asked)
        turn = pause_trees if pausing else resume_trees
        (outcome,) = await self._act(lambda: turn(targets, self.hosts(), self.system, spared))
        refused = outcome.barred or outcome.refused or next((s.reason for s in outcome.survivors if same(s.process, root)), None)
        if outcome.root_ended:
            refused = "its OS process has ended"
        if refused is not None:
            if pausing:
                await self._act(lambda: resume_trees(targets, self.hosts(), self.system, spared))
            raise Conflict(f"process {process.id} cannot be {word}: {refused}")
        changes = []
        for entry in self._reached([outcome]):
            if entry.process.status in others:
                cause = f"{word} by {asked.by}" if entry.process.id == process.id else f"{word} with {process.id} by {asked.by}"
                changes.append(self.registry.move(entry.process.id, to, cause=cause))
        await stored(changes)
        return self.registry.entry(process.id).process, [
            Miss(id=process.id, pid=left.process.pid, reason=left.reason) for left in outcome.survivors
        ]

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if not entry.in_hand:
                self._before[entry.process.id] = (entry.process.status, entry.process.cancel_requested_at)
            entry.in_hand += 1

    def _release(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            entry.in_hand -= 1
            if not entry.in_hand:
                self._before.pop(entry.process.id, None)

    async def _whole(self, action: Coroutine[Any, Any, T]) -> T:
        """Runs to its end even when the request it came from does not: half an action would leave records that say too much."""
        task = asyncio.ensure_future(action)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _act(self, work: Callable[[], T]) -> T:
        return await self._thread(self._actions, work)

    async def look(self, work: Callable[..., T], what: Any, spared: Sequence[Spared]) -> T:
        """A look at trees, in a thread: `work` is called with `what`, a host of its own, the system and `spared`."""
        return await self._thread(self._looks, lambda: work(what, self.hosts(), self.system, spared))

    async def _thread(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except OSError as error:
            raise Conflict(f"the table of OS processes cannot be read: {error.strerror or error}") from None
