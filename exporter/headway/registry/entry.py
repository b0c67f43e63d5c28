"""What the registry keeps of one process beside its record: everything that is not saved and can be made anew."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from headway.estimate import Estimator
from headway.model import ConditionReport, Paused, Process, Running, Spec, Usage
from headway.registry.logs import LogTail
from headway.registry.mark import Mark
from headway.registry.told import Told
from headway.samples import Sample
from headway.used import NOTHING, Used
from headway.view import Limits

# Memory and CPU of the last five minutes, for a trend: a point every so many seconds.
POINT_EVERY: Final = 5.0
POINTS: Final = 60
# Of who was never sampled: room for the points takes more memory than all the rest.
_NO_POINTS: Final[deque[tuple[float, float]]] = deque(maxlen=0)


class Entry:
    """Mutable, owned by the registry, touched on the event-loop thread only.

    `version` grows with every change of any process: a stream sends what is newer than the last one it sent. `contact_at` is
    when its reporter was last heard of; `gone_since` when its OS process was first missed; `pending` the last change that may
    not be durable yet: a repeated request must wait for it too; `in_hand` how many are ending, pausing or resuming its OS
    process right now: they will say what became of it; `told` the progress since the record that `process` was: reading that
    makes the record of it; `memory` and `cpu` how much of the memory and of a core it had of late, as (unix s, ratio); `limits`
    those in force for this specification; `serves` the port on which it waits for callers, where that is why it is silent, and
    `looked_into` the beginning of the silence that was last looked into for that; `mark` up to where what it uses is counted under
    its name; `shown` what the API keeps of its last answer.
    """

    __slots__ = (
        "blocked_by",
        "children",
        "conditions",
        "contact_at",
        "cpu",
        "estimator",
        "gone_since",
        "in_hand",
        "limits",
        "log",
        "looked_into",
        "mark",
        "memory",
        "peak_memory_bytes",
        "pending",
        "process",
        "sample",
        "serves",
        "shown",
        "told",
        "version",
    )

    def __init__(self, process: Process, log: LogTail, estimator: Estimator | None, contact_at: float) -> None:
        self.process = process
        self.told: Told | None = None
        self.log = log
        self.estimator = estimator
        self.contact_at = contact_at
        self.gone_since: float | None = None
        self.pending: asyncio.Future[None] | None = None
        self.sample: Sample | None = None
        self.memory = _NO_POINTS
        self.cpu = _NO_POINTS
        self.peak_memory_bytes = 0
        self.conditions: tuple[ConditionReport, ...] = ()
        self.blocked_by: tuple[str, ...] = ()
        self.in_hand = 0
        self.children: set[str] = set()
        self.limits: tuple[Spec, Limits] | None = None
        self.serves: int | None = None
        self.looked_into: float | None = None
        self.mark: Mark | None = None
        self.shown: object = None
        self.version = 0

    def tell(self, told: Told) -> None:
        """From now on progress is told there, and `process` is made when it is read."""
        self.told = told
        self.__class__ = _Telling

    def keep_time(self, at: float) -> None:
        """Lets the estimate stand still while the record is paused, and go on at `at` (unix s) when it runs again."""
        if self.estimator is None:
            return
        state = self.process.state
        if isinstance(state, Paused):
            self.estimator.pause(state.paused_at)
        elif isinstance(state, Running):
            self.estimator.resume(at)

    def seen(self, sample: Sample) -> None:
        """Keeps a sample of it alive, and what of it outlasts the next one."""
        self.sample = sample
        if sample.resident_bytes is not None and sample.resident_bytes > self.peak_memory_bytes:
            self.peak_memory_bytes = sample.resident_bytes
        if sample.memory_ratio is not None and (not self.memory or sample.at - self.memory[-1][0] >= POINT_EVERY):
            self.memory = self.memory or deque(maxlen=POINTS)
            self.memory.append((sample.at, sample.memory_ratio))
        if sample.cpu_ratio is not None and (not self.cpu or sample.at - self.cpu[-1][0] >= POINT_EVERY):
            self.cpu = self.cpu or deque(maxlen=POINTS)
            self.cpu.append((sample.at, sample.cpu_ratio))

    def forget_samples(self) -> None:
        """They are of another OS process than the one that is watched from now on."""
        self.sample = self.mark = None
        self.memory = self.cpu = _NO_POINTS
        self.peak_memory_bytes = 0

    def usage(self, told: Used = NOTHING) -> Usage | None:
        """What it used so far, with what was known before this exporter began to look, and `told` at its end; None when nothing is
        known."""
        before, sample, peak = self.process.usage, self.sample, self.peak_memory_bytes
        if sample is None and before is None and not peak and told is NOTHING:
            return None
        seconds = None if sample is None else sample.cpu_seconds
        if told is not NOTHING:
            seconds = max(seconds or 0.0, told.cpu_seconds)
        counted = dollars = None
        if before is not None:
            counted, dollars = before.counted, before.counted_dollars
            peak = max(before.peak_memory_bytes or 0, peak)
            if seconds is None or (before.cpu_seconds is not None and before.cpu_seconds > seconds):
                seconds = before.cpu_seconds
        known = seconds is not None or peak or counted is not None or dollars is not None
        return Usage(seconds, peak or None, counted, dollars) if known else None


_RECORD: Final[Any] = vars(Entry)["process"]


class _Telling(Entry):
    """An entry while there is no record of what was told last. A class of its own, because a property, or `__getattr__`, would make
    every read of an entry slower, and most have a record."""

    __slots__ = ()

    def _read(self) -> Process:
        told = self.told
        assert told is not None
        process = told.record()
        self._write(process)
        if told.owed and self.estimator is not None:
            self.estimator.add(told.at, told.current)
        return process

    def _write(self, process: Process) -> None:
        self.told = None
        self.__class__ = Entry  # type: ignore[assignment]
        _RECORD.__set__(self, process)


setattr(_Telling, "process", property(_Telling._read, _Telling._write))  # noqa: B010  a slot, to who checks types
