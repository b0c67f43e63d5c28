"""Processes by id out of the store, for who creates: an id that was given may be one of long ago."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from headway.model import Process


class Archive:
    """Reads in a thread; who asks while it reads is read for with all the others who did, and so one turn of the thread serves
    many. Event-loop thread only. `get` blocks, and raises StoreUnavailable."""

    def __init__(self, get: Callable[[str], Process | None]) -> None:
        self._get = get
        self._asked: list[tuple[str, asyncio.Future[Process | None]]] = []
        self._reading: asyncio.Task[None] | None = None

    def find(self, process_id: str) -> asyncio.Future[Process | None]:
        """What was stored of it when this was called, or since; None: nothing."""
        found: asyncio.Future[Process | None] = asyncio.get_running_loop().create_future()
        self._asked.append((process_id, found))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="archive")
        return found

    async def find_all(self, process_ids: Iterable[str]) -> dict[str, Process | None]:
        """The same of many. Raises StoreUnavailable."""
        wanted = list(process_ids)
        return dict(zip(wanted, await asyncio.gather(*map(self.find, wanted)), strict=True))

    async def _read(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                try:
                    known = await asyncio.to_thread(self._many, {process_id for process_id, _ in asked})
                except Exception as error:
                    for _, found in asked:
                        if not found.done():
                            found.set_exception(error)
                else:
                    for process_id, found in asked:
                        if not found.done():
                            found.set_result(known[process_id])
        finally:
            self._reading = None

    def _many(self, process_ids: Iterable[str]) -> Mapping[str, Process | None]:
        return {process_id: self._get(process_id) for process_id in process_ids}
