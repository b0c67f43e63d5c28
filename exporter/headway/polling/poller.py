"""What becomes of the lists: records of entries that run, updates of those that changed, ends of those that are gone.
Event-loop thread only."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from headway.control.storing import stored
from headway.errors import HeadwayError
from headway.ids import derived_id
from headway.masking import mask_command
from headway.model import Process, Status
from headway.polling.asking import Failed, ask
from headway.polling.definition import ENTRY, INTEGRATION, Integration
from headway.polling.picking import Item, Unexpected, entries, item
from headway.registry.outcome import Outcome
from headway.registry.registry import Registry
from headway.schemas.decoding import decode
from headway.schemas.reports import CreateIn, UpdateIn

log = logging.getLogger(__name__)
LABELS: Final = ("user", "project", "task", "attempt", "group", "description", "cwd")
# Lists that are being rewritten may lack an entry once.
MISSED: Final = 2
# The field that says what a person is to do.
WAITING_FOR: Final = "waiting_for"
T = TypeVar("T", CreateIn, UpdateIn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an integration does. `problem`: why the last look brought nothing, or not all; times in unix seconds."""

    looked_at: float | None = None
    succeeded_at: float | None = None
    seconds: float | None = None
    listed: int = 0
    problem: str | None = None

    @property
    def up(self) -> bool | None:
        return None if self.looked_at is None else self.looked_at == self.succeeded_at


@dataclass(slots=True)
class Known:
    """A process of an entry: what was said of it last, and in how many lists it was missing since."""

    process_id: str
    said: dict[str, Any] = field(default_factory=dict)
    missed: int = 0


def form(given: Mapping[str, Any], shape: type[T]) -> T:
    """As if it had come through the API: the same limits, the same words. Raises HeadwayError."""
    return decode(json.dumps(given).encode(), shape)


class Poller:
    """One integration. `find` reads a record from the store (blocking)."""

    def __init__(self, integration: Integration, registry: Registry, find: Callable[[str], Process | None]) -> None:
        self.integration = integration
        self.registry = registry
        self.standing = Standing()
        self._find = find
        self._known: dict[str, Known] = {}
        self._adopted = False

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            started = time.monotonic()
            await self.look()
            await asyncio.sleep(max(0.0, self.integration.every - (time.monotonic() - started)))

    async def look(self) -> None:
        started = time.monotonic()
        looked_at = self.registry.clock()
        standing = replace(self.standing, looked_at=looked_at, problem=None)
        try:
            listed = entries(self.integration, await ask(self.integration))
            problem = await self._take(listed)
            standing = replace(standing, succeeded_at=looked_at if problem is None else standing.succeeded_at)
            standing = replace(standing, listed=len(listed), problem=problem)
        except (Failed, Unexpected) as error:
            standing = replace(standing, problem=str(error))
        except HeadwayError as error:
            standing = replace(standing, problem=error.detail)
        standing = replace(standing, seconds=time.monotonic() - started)
        if standing.problem != self.standing.problem:
            told = mask_command(standing.problem) if standing.problem else "is well again"
            log.log(logging.WARNING if standing.problem else logging.INFO, "integration %s: %s", self.integration.name, told)
        self.standing = standing

    def tracked(self) -> int:
        """How many of its processes are active."""
        return sum(1 for known in self._known.values() if self._active(known) is not None)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take(self, listed: Sequence[object]) -> str | None:
        """Applies a list; returns what of it could not be taken, in words."""
        self._adopt()
        wrong: list[str] = []
        outcomes: list[Outcome] = []
        seen = set()
        for given in listed:
            try:
                found = item(self.integration, given)
                seen.add(found.entry)
                outcomes += await self._apply(found)
            except Unexpected as error:
                wrong.append(str(error))
            except HeadwayError as error:
                wrong.append(f"{error.field}: {error.detail}" if error.field else error.detail)
        if not wrong:  # an entry that cannot be read may be one of those that seem to be gone
            outcomes += self._gone(seen)
        await stored(outcomes)
        return f"{len(wrong)} of {len(listed)} entries could not be taken: {wrong[0]}" if wrong else None

    def _adopt(self) -> None:
        """The processes that an earlier run of the exporter made."""
        if not self._adopted:
            self._adopted = True
            for process_id, entry in self.registry.entries.items():
                metadata, active = entry.process.metadata, entry.process.status.active
                if active and metadata.get(INTEGRATION) == self.integration.name and isinstance(metadata.get(ENTRY), str):
                    self._known[metadata[ENTRY]] = Known(process_id)

    def _active(self, known: Known | None) -> Process | None:
        entry = None if known is None else self.registry.entries.get(known.process_id)
        status = None if entry is None else entry.process.status
        # An orphaned one was only not heard of for long, and can go on.
        return entry.process if entry is not None and status is not None and (status.active or status is Status.ORPHANED) else None

    async def _apply(self, found: Item) -> list[Outcome]:
        known = self._known.get(found.entry)
        process = self._active(known)
        outcomes = []
        if known is None or process is None:
            if found.status.ended:
                return []  # it was over before anybody looked
            outcome = await self._create(found)
            known = self._known[found.entry] = Known(outcome.process.id)
            outcomes.append(outcome)
        known.missed = 0
        said = self._said(found)
        news = {name: value for name, value in said.items() if name not in known.said or known.said[name] != value}
        if not outcomes or news:
            outcomes.append(self.registry.update(known.process_id, form({"alive": True} | news, UpdateIn)))
        known.said = said
        return outcomes

    async def _create(self, found: Item) -> Outcome:
        one, texts = self.integration, found.texts
        process_id = derived_id(one.name, found.entry)
        # One that ended here and is listed once more is another run of it.
        if process_id in self.registry.entries or await asyncio.to_thread(self._find, process_id) is not None:
            process_id = derived_id(one.name, found.entry, f"{int(self.registry.clock()):x}")
        parent = texts.get("parent")
        given = {
            "id": process_id,
            "name": texts.get("name", one.name),
            "type": one.kind,
            "agent": texts.get("agent", one.name),
            "parent_id": None if parent is None else derived_id(one.name, parent),
            "lease": max(self.registry.settings.lease, 3 * (one.every + one.timeout)),
            "thresholds": {"stuck_after": one.stuck_after},
            "metadata": {**found.metadata, INTEGRATION: one.name, ENTRY: found.entry},
        }
        return self.registry.create(form(given | {name: texts[name] for name in LABELS if name in texts}, CreateIn))

    def _said(self, found: Item) -> dict[str, Any]:
        """The fields of an update."""
        said: dict[str, Any] = {name: found.texts[name] for name in ("stage", "summary", "log") if name in found.texts}
        if WAITING_FOR in self.integration.fields:  # without a text it goes on
            said[WAITING_FOR] = found.texts.get(WAITING_FOR)
        if found.status.ended:
            said["status"] = found.status
            if found.status is Status.FAILED:
                said["error"] = found.texts.get("error", "it is listed as failed")
        elif self._status_of(found.entry) is Status.ORPHANED:
            said["status"] = Status.RUNNING
        if found.metadata:
            said["metadata"] = dict(found.metadata)
        progress: Mapping[str, Any] = found.numbers
        if progress:
            unit = {"unit": found.texts["unit"]} if "unit" in found.texts else {}
            said["progress"] = dict(progress) | unit
        return said

    def _status_of(self, entry: str) -> Status | None:
        process = self._active(self._known.get(entry))
        return None if process is None else process.status

    def _gone(self, seen: set[str]) -> list[Outcome]:
        outcomes = []
        for entry, known in list(self._known.items()):
            if entry in seen:
                continue
            process = self._active(known)
            known.missed += 1
            if process is not None and known.missed >= MISSED:
                cause = f"not listed any more by integrations.{self.integration.name}"
                outcomes.append(self._end(process, cause))
            if process is None or known.missed >= MISSED:
                del self._known[entry]
        return outcomes

    def _end(self, process: Process, cause: str) -> Outcome:
        error = cause if self.integration.vanished is Status.FAILED else None
        return self.registry.end(process.id, self.integration.vanished, at=self.registry.clock(), cause=cause, error=error)
