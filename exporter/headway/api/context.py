"""What the handlers work with, made once by headway.app and found in the application's state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headway.api import answers
from headway.api.access import Caller, caller_of
from headway.api.archive import Archive
from headway.api.elsewhere import Elsewhere
from headway.api.events import Bodies
from headway.api.identity import Identity
from headway.api.live import Live
from headway.api.scrape import Scrape
from headway.collector import Collector
from headway.configuration import DEFAULT
from headway.control.control import Control
from headway.discovery.discovery import Discovery
from headway.effective import Row
from headway.errors import NotFound
from headway.expecting.watch import Expecting
from headway.keys import KeyRing
from headway.metrics.own import OwnMetrics
from headway.model import Process
from headway.polling.poller import Poller
from headway.registry.entry import Entry
from headway.registry.registry import Registry
from headway.services.supervisor import Supervisor
from headway.settings import Settings
from headway.store.base import Store
from headway.store.writer import Writer
from headway.supervisor.launch import Launcher
from headway.supervisor.launches import Launches
from headway.turns import Way

T = TypeVar("T")

# Who reads waits so long (s) for what is on its way to the disk: a hundred times as long as that takes, unless the disk hangs.
SETTLED_WITHIN: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Context:
    """`boot` names this run of the exporter: versions of a stream mean nothing to the next one. `retried`: ids of processes that
    are just being started once more. `way`: where what happens by itself gives way to what is asked for. `archive` finds who is
    created again, `bodies` what followers of the API are told, `live` what the pages
    follow, `scrape` what Prometheus reads, `elsewhere` where the pages link to."""

    settings: Settings
    registry: Registry
    store: Store
    writer: Writer
    collector: Collector
    own: OwnMetrics
    keys: KeyRing
    identity: Identity
    control: Control
    launcher: Launcher
    supervisor: Supervisor
    launches: Launches
    discovery: Discovery
    pollers: Sequence[Poller]
    expecting: Expecting
    boot: str
    effective: Sequence[Row] = ()
    retried: set[str] = field(default_factory=set)
    way: Way = field(default_factory=Way)
    bodies: Bodies = field(default_factory=Bodies)
    archive: Archive = field(init=False)
    live: Live = field(init=False)
    scrape: Scrape = field(init=False)
    elsewhere: Elsewhere = field(init=False)

    def __post_init__(self) -> None:
        self.archive = Archive(self.store.get)
        self.live = Live(self.registry, self.boot, lambda: self.writer.trouble)
        self.scrape = Scrape(self.registry, self.collector, self.way)
        given = {row.name for row in self.effective if row.source != DEFAULT}
        self.elsewhere = Elsewhere(self.settings, given)

    async def read(self, call: Callable[..., T], *args: Any) -> T:
        """A read of the store, in a thread: the loop never waits for the disk."""
        return await asyncio.to_thread(call, *args)

    async def settled(self, *, behind: bool = False) -> None:
        """Before anything is read: see :meth:`headway.store.writer.Writer.settled`. `behind`: for who reads the store."""
        await self.writer.settled(SETTLED_WITHIN, behind=behind)

    async def find(self, process_id: str, caller: Caller) -> Process:
        """The record, from memory or from history. Raises NotFound, also when the caller may not see it."""
        entry = self.registry.entries.get(process_id)
        process = entry.process if entry is not None else await self.read(self.store.get, process_id)
        if process is None or not caller.sees(process.spec.user):
            raise self.not_found(process_id)
        return process

    async def active_entry(self, process_id: str, caller: Caller) -> Entry:
        """The entry of a process that is to be changed; one from the history is brought back. Raises NotFound."""
        process = await self.find(process_id, caller)
        if process_id not in self.registry.entries:
            lines = await self.read(self.store.lines, process_id, self.settings.log_tail_lines)
            return self.registry.recall(process, lines)
        return self.registry.entry(process_id)

    def not_found(self, process_id: str) -> NotFound:
        return NotFound(
            f"there is no process {process_id[:64]!r}, or it has not been reported yet; GET /api/processes?state=all lists those "
            "that are kept"
        )

    def summary(self, process: Process, now: float, who: Caller) -> dict[str, Any]:
        """The list form of a process as this caller may see it, whether it is in memory or only in the history."""
        entry = self.registry.entries.get(process.id)
        if entry is None:
            entry = self.registry.archived(process)
        return answers.summary(self.registry.view(entry, now, who.user), sorted(self.children(entry, who)))

    def children(self, entry: Entry, who: Caller) -> set[str]:
        """The ids of its children that this caller may see."""
        if who.user is None:
            return entry.children
        entries = self.registry.entries
        return {child for child in entry.children if child in entries and who.sees(entries[child].process.spec.user)}


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def caller(request: Request) -> Caller:
    return caller_of(request.scope)


def data(value: Any, status: int = 200, **members: Any) -> Response:
    """The envelope of every answer."""
    return Response(msgspec.json.encode({"data": value, **members}), status, media_type="application/json")
