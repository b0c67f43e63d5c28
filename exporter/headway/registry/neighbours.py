"""Who waits, and whether it can be for a certain one: what the gate bottleneck is told of the other processes on this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from headway import gates
from headway.duplicates import ancestors_of
from headway.registry.entry import Entry
from headway.samples import Sample
from headway.view import Limits


class Evidence(Protocol):
    """What a sample does not say (see headway.sampler.contention)."""

    def cpus(self, key: str) -> frozenset[int] | None: ...

    def memory_wait(self, key: str, at: float) -> float | None: ...

    def forget(self, keys: Sequence[str]) -> None: ...


class Neighbours:
    """`waits`: run-queue delay per second by id. `evidence` is asked only where somebody could be in the way."""

    def __init__(self, evidence: Evidence | None = None) -> None:
        self.evidence = evidence
        self._waits: dict[str, float | None] = {}
        self._memory_hogs: frozenset[str] = frozenset()

    def waited(self, process_id: str, ratio: float | None) -> None:
        """A new sample said so."""
        self._waits[process_id] = ratio

    def of(self, active: Mapping[str, Entry], parents: Mapping[str, str | None], now: float) -> list[gates.Neighbour]:
        """Those that wait for CPU or memory. One whose OS process is gone waits for nothing."""
        self._waits = {process_id: wait for process_id, wait in self._waits.items() if process_id in active}
        stalls = self._stalls(active, now)
        found = []
        for process_id, wait in self._waits.items():
            stall = stalls.get(process_id)
            if max(wait or 0.0, stall or 0.0) >= gates.WAITING_FROM and active[process_id].gone_since is None:
                spec = active[process_id].process.spec
                found.append(
                    gates.Neighbour(
                        id=process_id,
                        name=spec.name,
                        os_process=spec.os_process,
                        cpu_wait_ratio=wait,
                        memory_wait_ratio=stall,
                        ancestors=frozenset(ancestors_of(process_id, parents)),
                    )
                )
        return found

    def near(
        self, process_id: str, sample: Sample | None, limits: Limits, all_: Sequence[gates.Neighbour]
    ) -> list[gates.Neighbour]:
        """Of these, who can wait for this process: on CPUs that its tree may not use it is in nobody's way."""
        busy = sample is not None and limits.cpu_ratio is not None and (sample.cpu_ratio or 0.0) >= limits.cpu_ratio
        cpus = self.evidence.cpus(process_id) if self.evidence is not None and busy and all_ else None
        if self.evidence is None or cpus is None:
            return list(all_)
        found = []
        for one in all_:
            theirs = None if one.cpu_wait_ratio is None else self.evidence.cpus(one.id)
            found.append(replace(one, cpu_wait_ratio=None) if theirs is not None and cpus.isdisjoint(theirs) else one)
        return found

    def note_memory(self, limits: Mapping[str, Limits], active: Mapping[str, Entry]) -> None:
        """Who uses so much memory that others may go short; from the next look on it is asked whether they do."""
        self._memory_hogs = frozenset(i for i, entry in active.items() if i in limits and _holds_much(entry.sample, limits[i]))

    def _stalls(self, active: Mapping[str, Entry], now: float) -> dict[str, float | None]:
        if self.evidence is None or not self._memory_hogs:
            return {}
        self.evidence.forget(list(self._waits))
        return {process_id: self.evidence.memory_wait(process_id, now) for process_id in self._waits}


def _holds_much(sample: Sample | None, limits: Limits) -> bool:
    return sample is not None and limits.memory_ratio is not None and (sample.memory_ratio or 0.0) >= limits.memory_ratio
