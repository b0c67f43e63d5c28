"""What who waits for whom rests on beside the samples: who is in a tree, on which CPUs it may run, and whether it stalls for
memory.

Read only while somebody uses enough to be in the way of others, so that it costs nothing otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

# Pages that had to be fetched again, a second, from which on the pressure around a tree is counted as its own: a program that
# starts reads so many in a moment, one that goes short of memory hundreds for as long as it lasts.
FAULTS_FROM: Final = 10.0


# Not every system has it.
AFFINITY: Final[Callable[[int], Iterable[int]] | None] = getattr(os, "sched_getaffinity", None)


class _Look(NamedTuple):
    at: float
    stalled: float  # s, of whoever shares its memory
    faults: int


class Contention:
    """`members` gives the pids of a tree by the key it is sampled under. Event-loop thread; a few short files for each question."""

    def __init__(
        self,
        members: Callable[[str], Sequence[int]],
        *,
        proc: str | Path = "/proc",
        cgroups: str | Path = "/sys/fs/cgroup",
        affinity: Callable[[int], Iterable[int]] | None = AFFINITY,
    ) -> None:
        self._members = members
        self._proc = Path(proc)
        self._cgroups = Path(cgroups)
        self._affinity = affinity
        self._before: dict[str, _Look] = {}

    def pids(self, key: str) -> frozenset[int]:
        """Everyone in the tree; nobody where it is not known."""
        return frozenset(self._members(key))

    def cpus(self, key: str) -> frozenset[int] | None:
        """Those that anyone in the tree may run on; None where that is not known."""
        found: set[int] = set()
        if self._affinity is None:
            return None
        for pid in self._members(key):
            try:
                found.update(self._affinity(pid))
            except OSError:
                continue  # gone, or not ours to ask
        return frozenset(found) or None

    def memory_wait(self, key: str, at: float) -> float | None:
        """For which share of the time since the question before (0–1) those of its control group, or of the host, stalled for
        memory, if this tree had to fetch pages of its own meanwhile; 0 if not. None: not known, or asked for the first time."""
        pids = self._members(key)
        stalled = self._stalled(pids[0]) if pids else None
        if stalled is None:
            self._before.pop(key, None)
            return None
        look = _Look(at, stalled, sum(map(self._faults, pids)))
        before, self._before[key] = self._before.get(key), look
        if before is None or look.at <= before.at:
            return None
        seconds = look.at - before.at
        if look.faults - before.faults < FAULTS_FROM * seconds:
            return 0.0
        return min(1.0, max(0.0, look.stalled - before.stalled) / seconds)

    def forget(self, keys: Iterable[str]) -> None:
        """Keeps what was seen of these, and nothing else."""
        kept = set(keys)
        self._before = {key: look for key, look in self._before.items() if key in kept}

    def _stalled(self, pid: int) -> float | None:
        """Of the control group of this process (version 2), else of the host: seconds since its beginning."""
        group = next((line[3:] for line in self._read(f"{pid}/cgroup").splitlines() if line.startswith("0::")), "/")
        own = None if group == "/" else _total(self._cgroups / group.strip("/") / "memory.pressure")
        return _total(self._proc / "pressure/memory") if own is None else own

    def _faults(self, pid: int) -> int:
        """Page faults that needed the disk."""
        fields = self._read(f"{pid}/stat").rpartition(")")[2].split()
        return int(fields[9]) if len(fields) > 9 else 0

    def _read(self, name: str) -> str:
        try:
            return (self._proc / name).read_text()
        except OSError:
            return ""


def _total(path: Path) -> float | None:
    try:
        line = path.read_text().partition("\n")[0]
    except OSError:
        return None
    return int(line.rpartition("total=")[2]) / 1e6 if "total=" in line else None
