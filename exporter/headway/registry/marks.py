"""Up to where what a process used is counted under its name, so that nothing counts twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from headway.costs import tokens
from headway.model import DISCOVERED_BY, TAKEN_OVER, OSProcess, Process
from headway.registry.entry import Entry
from headway.registry.mark import Mark
from headway.registry.outcome import NameKey
from headway.samples import Sample
from headway.used import NOTHING, Used

N = TypeVar("N", int, float)

# What a script used before it said what it is belongs to it, if it is no older then (s): interpreters start, modules are loaded.
# Whoever is older did something else before.
STARTUP: Final = 60.0
# What is not worth a write; it counts with the rest, at the end at the latest. Seconds of CPU, bytes.
LEAST_CPU: Final = 0.1
LEAST_BYTES: Final = 1 << 16
# The first samples of a tree may miss those who left it; after this (s) its figures are believed.
SETTLED: Final = 5.0


class Marks:
    """Event-loop thread only. Runs of one name that share an OS process (threads of a script, one run after the other in a worker)
    share its mark while one of them is active, so that what it used counts once.

    Readings fall only where an exporter that was restarted does not know of children that ended before: what is used from there on
    counts (:meth:`settle`).
    """

    def __init__(self) -> None:
        self._marks: WeakValueDictionary[tuple[NameKey, OSProcess], Mark] = WeakValueDictionary()
        self._met: dict[OSProcess, None] = {}

    def meet(self, entry: Entry, root: OSProcess, sample: Sample, key: NameKey, now: float) -> None:
        """To be called with the first sample of a process that has begun."""
        process = entry.process
        counted = None if process.usage is None else process.usage.counted
        mark = self._marks.get((key, root))
        if mark is None:
            if counted is not None:
                mark = Mark(counted.cpu_seconds, counted.io_read_bytes, counted.io_written_bytes, now)
            elif root not in self._met and _began_as_this(process, root, now):
                mark = Mark(0.0, 0, 0, whole=True)
            else:
                mark = Mark(sample.cpu_seconds, sample.io_read_bytes, sample.io_written_bytes)
            self._marks[key, root] = mark
        elif counted is not None:
            mark.cpu = max(mark.cpu or 0.0, counted.cpu_seconds)
            mark.read = max(mark.read or 0, counted.io_read_bytes)
            mark.written = max(mark.written or 0, counted.io_written_bytes)
            mark.whole = False
        self._met[root] = None
        entry.mark = mark

    def forget(self, now: float) -> None:
        """Who met whom matters only while the OS process is young."""
        for root in [one for one in self._met if now - (one.create_time or 0.0) > 2 * STARTUP]:
            del self._met[root]

    def due(self, entry: Entry) -> bool:
        """Whether so much came together that it is worth counting."""
        usage = entry.process.usage
        counted = None if usage is None else usage.counted
        metadata = entry.process.metadata
        if metadata and _tokens(entry.process) != ((counted.tokens_input, counted.tokens_output) if counted else (0.0, 0.0)):
            return True
        sample, mark = entry.sample, entry.mark
        if sample is None or mark is None:
            return False
        cpu, read, written = (
            (mark.cpu, mark.read, mark.written)
            if counted is None
            else (counted.cpu_seconds, counted.io_read_bytes, counted.io_written_bytes)
        )
        return (
            _grew(sample.cpu_seconds, cpu, LEAST_CPU)
            or _grew(sample.io_read_bytes, read, LEAST_BYTES)
            or _grew(sample.io_written_bytes, written, LEAST_BYTES)
        )

    def settle(self, entry: Entry, now: float) -> None:
        """Goes on from readings that are below what another exporter had counted."""
        sample, mark = entry.sample, entry.mark
        if sample is None or mark is None or mark.resumed_at is None or now - mark.resumed_at < SETTLED:
            return
        mark.resumed_at = None
        if mark.cpu is not None and sample.cpu_seconds is not None:
            mark.cpu = min(mark.cpu, sample.cpu_seconds)
        if mark.read is not None and sample.io_read_bytes is not None:
            mark.read = min(mark.read, sample.io_read_bytes)
        if mark.written is not None and sample.io_written_bytes is not None:
            mark.written = min(mark.written, sample.io_written_bytes)

    def take(self, entry: Entry, told: Used = NOTHING) -> tuple[Used, Used]:
        """What it used since that was last taken under its name; and up to where it is counted now, to be kept with its record.
        `told`: all that it used, as its reporter says at its end; that counts as far as it is more than what was sampled, and only
        where it is known what of it is counted: of who was never sampled nothing is."""
        process, sample, mark = entry.process, entry.sample, entry.mark
        usage = process.usage
        if mark is None and usage is None and not process.metadata and told is NOTHING:
            return NOTHING, NOTHING
        counted = NOTHING if usage is None or usage.counted is None else usage.counted
        cpu, read, written = 0.0, 0, 0
        if mark is not None and sample is not None:
            cpu, mark.cpu = _further(sample.cpu_seconds, mark.cpu, 0.0)
            read, mark.read = _further(sample.io_read_bytes, mark.read, 0)
            written, mark.written = _further(sample.io_written_bytes, mark.written, 0)
        if mark is not None and mark.whole and told is not NOTHING:
            more, mark.cpu = _further(told.cpu_seconds, mark.cpu, 0.0)
            more_read, mark.read = _further(told.io_read_bytes, mark.read, 0)
            more_written, mark.written = _further(told.io_written_bytes, mark.written, 0)
            cpu, read, written = cpu + more, read + more_read, written + more_written
        elif mark is None and not (counted.cpu_seconds or counted.io_read_bytes or counted.io_written_bytes):
            cpu, read, written = told.cpu_seconds, told.io_read_bytes, told.io_written_bytes
            counted = replace(counted, cpu_seconds=cpu, io_read_bytes=read, io_written_bytes=written)
        given, taken = _tokens(process)
        if mark is None:
            now = Used(counted.cpu_seconds, counted.io_read_bytes, counted.io_written_bytes, given, taken)
        else:
            now = Used(mark.cpu or 0.0, mark.read or 0, mark.written or 0, given, taken)
        gain = Used(cpu, read, written, max(0.0, given - counted.tokens_input), max(0.0, taken - counted.tokens_output))
        return gain, now


def _began_as_this(process: Process, root: OSProcess, now: float) -> bool:
    """Whether all that the OS process used since its start was used as this process. Who was found, or taken over, did not begin
    under our eyes unless it is young."""
    created, started = root.create_time, process.started_at
    if created is None or started is None:
        return False
    if now - created <= STARTUP:
        return True
    return created >= started - STARTUP and DISCOVERED_BY not in process.metadata and TAKEN_OVER not in process.metadata


def _tokens(process: Process) -> tuple[float, float]:
    if not process.metadata:
        return 0.0, 0.0
    given, taken = tokens(process.metadata)
    return given or 0.0, taken or 0.0


def _grew(now: float | None, before: float | None, least: float) -> bool:
    return now is not None and abs(now - (before or 0)) >= least


def _further(now: N | None, before: N | None, nothing: N) -> tuple[N, N | None]:
    """How much more it is, and up to where that goes."""
    if now is None:
        return nothing, before
    if before is None:
        return nothing, now
    return (now - before, now) if now > before else (nothing, before)
