"""A writer over a store that the test lets succeed, fail and wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from headway.errors import StoreUnavailable
from headway.model import Done, Process
from headway.store.base import Batch, Store
from headway.store.memory import MemoryStore
from headway.store.writer import Writer
from records import T0, process


class Trial:
    """A store between the writer and a real one: it can be held at the door, and told how writes fail."""

    def __init__(self, real: Store | None = None) -> None:
        self.real = real or MemoryStore()
        self.batches: list[Batch] = []
        self.fails: Callable[[Batch], Exception | None] = lambda batch: None
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Event()

    def write(self, batch: Batch) -> None:
        self.waiting.set()
        assert self.open.wait(30)
        error = self.fails(batch)
        if error is not None:
            raise error
        self.real.write(batch)
        self.batches.append(batch)

    def check(self) -> str | None:
        error = self.fails(Batch())
        return self.real.check() if error is None else str(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def full(_: Batch) -> Exception:
    return StoreUnavailable("the disk is full")


Scenario = Callable[[Writer, Trial], Awaitable[None]]


def play(scenario: Scenario, *, store: Store | None = None, on_failure: Any = None, **options: Any) -> Trial:
    """Runs a scenario with a writer in a loop of its own; the writer is closed at the end."""
    trial = Trial(store)

    async def run() -> None:
        writer = Writer(trial, on_failure, **({"hand_over_after": 0.01, "retry_after": 0.02} | options))
        writer.start(asyncio.get_running_loop())
        try:
            await asyncio.wait_for(asyncio.ensure_future(as_coroutine(scenario(writer, trial))), 30)
        finally:
            trial.open.set()
            trial.fails = lambda batch: None
            with suppress(StoreUnavailable):
                await writer.close()

    asyncio.run(run())
    return trial


async def as_coroutine(work: Awaitable[None]) -> None:
    await work


async def until(predicate: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 30
    while not predicate():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.002)


def busy(seconds: float) -> None:
    """Something long on the event loop, which hears of nothing meanwhile."""
    time.sleep(seconds)


async def held(writer: Writer, trial: Trial) -> asyncio.Future[None]:
    """Lets the thread wait in the store with one commit of the process "gate", so that what follows queues up behind it."""
    trial.open.clear()
    trial.waiting.clear()
    first = writer.commit(processes=[process("gate")])
    await until(trial.waiting.is_set, "the thread reaches the store")
    return first


def ended(of: Process, at: float = T0 + 5) -> Process:
    return replace(of, state=Done(of.started_at, at))
