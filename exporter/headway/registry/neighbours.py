"""Who waits, and whether it can be for a certain one: what the gate bottleneck is told of the other processes on this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from headway import gates
from headway.duplicates import ancestors_of
from headway.model import Process
from headway.registry.entry import Entry
from headway.samples import Sample
from headway.view import Limits

# Pid and pid namespace, see headway.gates.lives_in.
Place = tuple[int, int | None]


class Evidence(Protocol):
    """What a sample does not say (see headway.sampler.contention)."""

    def pids(self, key: str) -> frozenset[int]: ...

    def cpus(self, key: str) -> frozenset[int] | None: ...

    def memory_wait(self, key: str, at: float) -> float | None: ...

    def forget(self, keys: Sequence[str]) -> None: ...


class Neighbours:
    """`waits`: run-queue delay per second by id. `evidence` is asked only where somebody could be in the way."""

    def __init__(self, evidence: Evidence | None = None) -> None:
        self.evidence = evidence
        self._waits: dict[str, float | None] = {}
        self._memory_hogs: frozenset[str] = frozenset()
        # Of this round: who can wait for an OS process, and on which CPUs one may run.
        self._found: dict[tuple[Place, bool], list[gates.Neighbour]] = {}
        self._asked: dict[Place | str, frozenset[int] | None] = {}
        self._trees: dict[Place, frozenset[int]] = {}

    def waited(self, process_id: str, ratio: float | None) -> None:
        """A new sample said so."""
        self._waits[process_id] = ratio

    def of(self, active: Mapping[str, Entry], parents: Mapping[str, str | None], now: float) -> list[gates.Neighbour]:
        """Those that wait for CPU or memory, as a round of looks begins. One whose OS process is gone waits for nothing."""
        self._found, self._asked, self._trees = {}, {}, {}
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
        self, process: Process, sample: Sample | None, limits: Limits, all_: Sequence[gates.Neighbour]
    ) -> Sequence[gates.Neighbour]:
        """Of these, who can wait for this process: for one that is not busy nobody, nor who lives in the same OS process (a
        thousand tasks of one program are busy together) or in its tree, as the workers of a script (they wait for one another);
        and on CPUs that its tree may not use it is in nobody's way."""
        busy = sample is not None and limits.cpu_ratio is not None and (sample.cpu_ratio or 0.0) >= limits.cpu_ratio
        own = gates.lives_in(process.spec.os_process)
        if not all_ or not (busy or _holds_much(sample, limits)):
            return ()
        if own is not None and (own, busy) in self._found:
            return self._found[own, busy]
        found = [one for one in all_ if own is None or gates.lives_in(one.os_process) != own]
        if own is not None:
            tree = self._tree(process.id, own)
            found = [one for one in found if not self._together(own, tree, one)]
        cpus = self._cpus(process.id, own) if busy and found else None
        if cpus is not None:
            for number, one in enumerate(found):
                theirs = None if one.cpu_wait_ratio is None else self._cpus(one.id, gates.lives_in(one.os_process))
                if theirs is not None and cpus.isdisjoint(theirs):
                    found[number] = replace(one, cpu_wait_ratio=None)
        if own is not None:
            self._found[own, busy] = found
        return found

    def _together(self, own: Place, tree: frozenset[int], one: gates.Neighbour) -> bool:
        """Whether one of the two belongs to the tree of the other."""
        place = gates.lives_in(one.os_process)
        if place is None or place[1] != own[1]:
            return False
        return place[0] in tree or own[0] in self._tree(one.id, place)

    def _tree(self, process_id: str, lives_in: Place) -> frozenset[int]:
        """Asked once in a round for each OS process."""
        if lives_in not in self._trees:
            self._trees[lives_in] = frozenset() if self.evidence is None else self.evidence.pids(process_id)
        return self._trees[lives_in]

    def _cpus(self, process_id: str, lives_in: Place | None) -> frozenset[int] | None:
        """Asked once in a round for each OS process."""
        key = lives_in or process_id
        if key not in self._asked:
            self._asked[key] = None if self.evidence is None else self.evidence.cpus(process_id)
        return self._asked[key]

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
