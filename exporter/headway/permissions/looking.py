"""Which sessions asked to run a command, and what the registry is told of those that run it. Event-loop thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from headway.errors import HeadwayError
from headway.model import Status, Waiting
from headway.permissions.commands import SLACK, Asked, answered, since
from headway.registry.registry import Registry
from headway.schemas.reports import UpdateIn

# The key in the metadata of a session or sub-agent that holds the command, as `headway hook` puts it there.
ASKED: Final = "asked"
PERMISSION: Final = "permission to "
INTERVAL: Final = 5.0
MOST: Final = 200
# Processes that are looked at before others have their turn: half a millisecond.
STEP: Final = 2000


class Permissions:
    """Sessions on this host that wait for the permission to run a command."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    async def look(self) -> None:
        """Once at all; nothing is read where nobody waits."""
        if wanted := await self._wanted():
            for process_id in await asyncio.to_thread(found, {key: asked for key, (_, asked) in wanted.items()}):
                self._tell(process_id, wanted[process_id][0])

    async def _wanted(self) -> dict[str, tuple[Waiting, Asked]]:
        wanted: dict[str, tuple[Waiting, Asked]] = {}
        for number, (process_id, entry) in enumerate(list(self.registry.entries.items()), 1):
            if number % STEP == 0:
                await asyncio.sleep(0)
            # No record is made for this of what was told last: that says nothing of waiting.
            process = entry.process if entry.told is None else entry.told.before
            if process.activity.waiting is None:  # as of nearly all
                continue
            waiting = process.waiting
            if waiting is None or process.status is not Status.RUNNING or not waiting.what.startswith(PERMISSION):
                continue
            command, folder = process.metadata.get(ASKED), process.spec.cwd
            if isinstance(command, str) and folder and process.spec.host == self.registry.host.name and len(wanted) < MOST:
                wanted[process_id] = waiting, Asked(command, folder, waiting.since)
        return wanted

    def _tell(self, process_id: str, waiting: Waiting) -> None:
        entry = self.registry.entries.get(process_id)
        if entry is None or entry.process.waiting is not waiting:  # it was told of meanwhile
            return
        try:
            self.registry.update(
                process_id, UpdateIn(waiting_for=None, stage=waiting.what.removeprefix(PERMISSION).removeprefix("use "))
            )
        except HeadwayError:
            return


def found(wanted: Mapping[str, Asked]) -> list[str]:
    """Those whose command runs. Blocking."""
    running = list(since(min(asked.since for asked in wanted.values()) - SLACK))
    return [key for key, asked in wanted.items() if answered(asked, running)]
