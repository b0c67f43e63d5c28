"""A registry with a clock and a writer that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any

from headway.errors import StoreUnavailable
from headway.model import Condition, Process, Status, Transition
from headway.names import NameStats
from headway.registry.changes import HostFacts
from headway.registry.registry import Registry
from headway.registry.watch import Watch
from headway.schemas.decoding import decode
from headway.schemas.reports import CreateIn, UpdateIn
from headway.settings import Settings
from headway.store.base import LogLine
from headway.store.pending import Holder

HOST = HostFacts("here", 4026531836)
START = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class HandWriter:
    """A writer whose commits stay open until the test lets them succeed or fail."""

    def __init__(self) -> None:
        self.open: list[tuple[asyncio.Future[None], object]] = []
        self.processes: list[Process] = []
        self.transitions: list[Transition] = []
        self.names: list[NameStats] = []
        self.lines: list[LogLine] = []
        self.holders: dict[str, Process | Holder] = {}
        self.full = False
        self.immediate = True

    def commit(
        self,
        *,
        processes: Sequence[Process] = (),
        transitions: Sequence[Transition] = (),
        names: Sequence[NameStats] = (),
        lines: Sequence[LogLine] = (),
        token: object = None,
    ) -> asyncio.Future[None]:
        if self.full:
            raise StoreUnavailable("the queue is full")
        for process in processes:
            self.holders.pop(process.id, None)
        self.processes += processes
        self.transitions += transitions
        self.names += names
        self.lines += lines
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.immediate:
            future.set_result(None)
        else:
            self.open.append((future, token))
        return future

    def behind(self, process: Process | None = None, lines: Sequence[LogLine] = (), names: Sequence[NameStats] = ()) -> None:
        self.names += names
        if process is not None:
            self.holders[process.id] = process
        self.lines += lines

    def behind_of(self, process_id: str, holder: Holder) -> None:
        self.holders[process_id] = holder

    @property
    def behind_processes(self) -> dict[str, Process]:
        """What would be handed over now."""
        return {i: found if isinstance(found, Process) else found.process for i, found in self.holders.items()}

    def succeed(self) -> None:
        for future, _ in self.open:
            future.set_result(None)
        self.open.clear()

    def fail(self, registry: Registry) -> None:
        """As the real writer does: undo in reverse order, then tell those who wait."""
        registry.commits.undo([token for _, token in reversed(self.open)])
        for future, _ in self.open:
            future.set_exception(StoreUnavailable("disk full"))
            future.exception()
        self.open.clear()


class World:
    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.writer = HandWriter()
        self.registry = Registry(Settings(**settings), self.writer, HOST, self.clock)
        self.watch = Watch(self.registry)

    def pass_by(self, seconds: float) -> None:
        """Time passes while the exporter watches."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now = min(until, self.clock.now + 10)
            self.watch.expire()
            self.watch.evaluate()

    def create(self, **fields: Any) -> Process:
        form = {"name": "job", "type": "task"} | fields
        return self.registry.create(decode(as_json(form), CreateIn)).process

    def conditions(self, process_id: str) -> list[Condition]:
        return [report.condition for report in self.registry.entries[process_id].conditions]

    def status(self, process_id: str) -> Status:
        return self.registry.entries[process_id].process.status

    def update(self, process_id: str, **fields: Any) -> Process:
        return self.registry.update(process_id, decode(as_json(fields), UpdateIn)).process


def as_json(value: object) -> bytes:

    return json.dumps(value).encode()


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs an async test in a loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
