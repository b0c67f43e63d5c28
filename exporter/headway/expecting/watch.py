"""Looks whether what others are to start was started: the newest run of each name, and the times that passed without one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from headway.expecting.definition import Expected
from headway.expecting.judging import Known, begun, due_at, judged
from headway.metrics.services import ServiceFigures
from headway.model import Kind
from headway.name_gates import Runs
from headway.registry.registry import Registry
from headway.wholefile import replace_file

log = logging.getLogger(__name__)
FILE: Final = "expected.json"
LOOK_EVERY: Final = 5.0
# What was reported while no exporter ran arrives within so long (s) after the start; the grace, if that is shorter.
SETTLING: Final = 60.0


class Expecting:
    """`look` belongs to the event loop; what it found is replaced as a whole and may be read by any thread. A change is in a file
    of the data directory before the next look; one that cannot be written is kept in memory and tried again."""

    def __init__(self, expected: Sequence[Expected], registry: Registry, data_dir: Path) -> None:
        self.expected = {one.name: one for one in expected}
        self.registry = registry
        self.path = data_dir / FILE
        self.known: dict[str, Known] = {}
        self.due: dict[str, float | None] = {}
        self._saved: dict[str, Known] = {}
        self._version: int | None = None
        self._started_at = 0.0

    async def load(self) -> None:
        """To be called before anybody can ask. A name that is expected for the first time is judged from now on."""
        now = self._started_at = self.registry.clock()
        self._saved = await asyncio.to_thread(self._read)
        for name, one in self.expected.items():
            known = self._saved.get(name)
            if known is None or known.seen > now + 3600:  # or the clock was set back
                known = Known(seen=now)
            self.known[name] = known
            self.due[name] = due_at(one, known)

    async def look(self) -> None:
        self._hear()
        now = self.registry.clock()
        for name, one in self.expected.items():
            known, due = self.known[name], self.due[name]
            if due is None or now < max(due, self._started_at) + min(one.grace, SETTLING) or now < due + one.grace:
                continue
            found = await asyncio.to_thread(judged, one, known, now)
            if found.missed > known.missed:
                log.warning("%s: a run was due and did not begin (%s)", name, one)
            self._keep(name, found)
        if self.known != self._saved:
            wanted = dict(self.known)
            try:
                await asyncio.to_thread(self._write, wanted)
                self._saved = wanted
            except OSError as error:
                log.warning("%s cannot be written: %s; it is tried again", self.path, error.strerror)

    def figures(self) -> list[ServiceFigures]:
        """For the page of metrics: schedules without a service."""
        return [
            ServiceFigures(
                name=name,
                group="",
                kind=known.kind,
                status_code=None,
                restarts=0,
                wanted=True,
                port_open=None,
                scheduled=True,
                next_run_at=self.due.get(name),
                last_run_at=known.last_run_at,
                missed=known.missed,
                overlapped=0,
                late_at=known.late_at,
            )
            for name, known in list(self.known.items())
        ]

    def runs(self) -> list[Runs]:
        return [
            Runs(name=name, kind=Kind(known.kind), last_run_at=known.last_run_at, late_at=known.late_at, overlapped_at=None)
            for name, known in self.known.items()
        ]

    def _hear(self) -> None:
        """Of runs that began since the last look."""
        feed, entries = self.registry.feed, self.registry.entries
        changed = list(entries.values()) if self._version is None else feed.newer_than(self._version)
        self._version = feed.version
        for entry in changed:
            process = entry.process
            known, started = self.known.get(process.name), process.started_at
            if known is not None and started is not None and started > (known.last_run_at or 0.0):
                self._keep(process.name, begun(known, started, process.kind.value))

    def _keep(self, name: str, known: Known) -> None:
        self.known[name] = known
        self.due[name] = due_at(self.expected[name], known)

    def _read(self) -> dict[str, Known]:
        try:
            said = json.loads(self.path.read_text(encoding="utf-8"))
            ours = {field.name for field in fields(Known)}
            found = {name: Known(**{k: v for k, v in facts.items() if k in ours}) for name, facts in said.items()}
            return {name: one for name, one in found.items() if one.kind in list(Kind)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.error("%s cannot be read (%s): expected runs are judged from now on", self.path, error)
            return {}

    def _write(self, known: dict[str, Known]) -> None:
        replace_file(self.path, json.dumps({name: asdict(one) for name, one in sorted(known.items())}, indent=1) + "\n")
