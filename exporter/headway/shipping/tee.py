"""The writer of the store, with somebody who reads along: each line and each change of status that is kept is sent on as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from headway.model import Process, Transition
from headway.names import NameStats
from headway.shipping.entries import Entries, Entry
from headway.shipping.shipper import Shipper
from headway.store.base import LogLine
from headway.store.pending import Holder
from headway.store.writer import Writer


class Tee:
    """What the registry needs of a writer (see headway.registry.registry.Writes). What could not be stored is not sent on."""

    def __init__(self, writer: Writer, entries: Entries, shipper: Shipper, clock: Callable[[], float]) -> None:
        self._writer, self._entries, self._shipper, self._clock = writer, entries, shipper, clock

    def commit(
        self,
        *,
        processes: Sequence[Process] = (),
        transitions: Sequence[Transition] = (),
        names: Sequence[NameStats] = (),
        lines: Sequence[LogLine] = (),
        token: object = None,
    ) -> asyncio.Future[None]:
        future = self._writer.commit(processes=processes, transitions=transitions, names=names, lines=lines, token=token)
        if transitions or lines:

            def send(done: asyncio.Future[None]) -> None:
                if not done.cancelled() and done.exception() is None:
                    self._send({process.id: process for process in processes}, lines, transitions)

            future.add_done_callback(send)
        return future

    def behind(self, process: Process | None = None, lines: Sequence[LogLine] = (), names: Sequence[NameStats] = ()) -> None:
        self._writer.behind(process, lines, names)
        if lines and process is not None:
            self._send({process.id: process}, lines, ())

    def behind_of(self, process_id: str, holder: Holder) -> None:
        self._writer.behind_of(process_id, holder)

    def _send(self, processes: dict[str, Process], lines: Sequence[LogLine], transitions: Sequence[Transition]) -> None:
        """Lines before the change that came with them: they were said before it."""
        now = self._clock()
        found: list[Entry] = [
            self._entries.line(process, line, now) for line in lines if (process := processes.get(line.process_id)) is not None
        ]
        for change in transitions:
            if (process := processes.get(change.process_id)) is not None:
                found.append(self._entries.transition(process, change, now))
        self._shipper.put(found)
