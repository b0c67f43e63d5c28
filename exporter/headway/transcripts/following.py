"""Which transcripts are looked at, and what the registry is told. Event-loop thread only."""

from __future__ import annotations

import asyncio
from typing import Final

from headway.errors import HeadwayError
from headway.registry.registry import Registry
from headway.schemas.reports import UpdateIn
from headway.transcripts.reading import Transcript, readable

# The key in the metadata of a session or sub-agent that names its transcript, as `headway hook` puts it there.
TRANSCRIPT: Final = "transcript"
INTERVAL: Final = 5.0
# The end of a session may arrive before its last lines were counted (s).
AFTERWARDS: Final = 60.0
MOST: Final = 500


class Following:
    """The transcripts of the sessions in the active view."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._transcripts: dict[str, Transcript] = {}

    async def look(self) -> None:
        """One look at each; blocking work runs in a thread."""
        wanted = self._wanted()
        for process_id in [one for one in self._transcripts if one not in wanted]:
            del self._transcripts[process_id]
        for process_id, (agent, path) in wanted.items():
            known = self._transcripts.get(process_id)
            if known is None or known.path != path:
                if not await asyncio.to_thread(readable, agent, path):
                    continue
                known = self._transcripts[process_id] = Transcript(agent, path)
            if await asyncio.to_thread(known.look) and (tokens := known.count.tokens):
                self._tell(process_id, known.count.model, tokens)

    def _wanted(self) -> dict[str, tuple[str, str]]:
        now = self.registry.clock()
        found: dict[str, tuple[str, str]] = {}
        for process_id, entry in self.registry.entries.items():
            process = entry.process
            path, agent, ended = process.metadata.get(TRANSCRIPT), process.spec.agent, process.finished_at
            lately = ended is None or now - ended < AFTERWARDS
            if isinstance(path, str) and agent is not None and lately and len(found) < MOST:
                found[process_id] = (agent, path)
        return found

    def _tell(self, process_id: str, model: str | None, tokens: dict[str, int]) -> None:
        entry = self.registry.entries.get(process_id)
        known = None if entry is None else entry.process.metadata
        if known is None or known.get("tokens") == tokens:
            return
        said = {"tokens": tokens} | ({"model": model} if model is not None and "model" not in known else {})
        try:
            self.registry.update(process_id, UpdateIn(metadata=said))
        except HeadwayError:  # it faded meanwhile, or its metadata is full
            return
