"""The host's own figures, and its pressure: how long work had to wait for CPU, memory and storage."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

RESOURCES: Final = ("cpu", "memory", "io")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """None, or an absent resource, is a figure that this system does not give.

    `cpu_seconds` is what all CPUs together have worked. `waiting` is for how long at least one task had to wait for a resource,
    `stalled` for how long all of them that had work to do, in seconds since the boot.
    """

    cpus: int | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    waiting: Mapping[str, float] = field(default_factory=dict)
    stalled: Mapping[str, float] = field(default_factory=dict)


def machine_here() -> Callable[[], Machine]:
    """How the figures of this system are read."""
    return read_machine if sys.platform == "linux" else psutil_machine


def read_machine(proc: str | Path = "/proc") -> Machine:
    """From /proc: three short files and those of the pressure, which not every kernel has."""
    cpus, cpu_seconds = _cpu(_text(proc, "stat"))
    memory = {line.partition(":")[0]: line.split() for line in _text(proc, "meminfo").splitlines()[:8]}
    waiting: dict[str, float] = {}
    stalled: dict[str, float] = {}
    for resource in RESOURCES:
        for line in _text(proc, f"pressure/{resource}").splitlines():
            extent, _, rest = line.partition(" ")
            (stalled if extent == "full" else waiting)[resource] = int(rest.rpartition("total=")[2]) / 1e6
    stalled.pop("cpu", None)  # of the whole host it is always 0: someone is on the CPU
    return Machine(
        cpus=cpus,
        cpu_seconds=cpu_seconds,
        memory_bytes=_bytes(memory.get("MemTotal")),
        memory_available_bytes=_bytes(memory.get("MemAvailable")),
        waiting=waiting,
        stalled=stalled,
    )


def psutil_machine() -> Machine:
    import psutil

    memory, times = psutil.virtual_memory(), psutil.cpu_times()
    return Machine(
        cpus=psutil.cpu_count(),
        cpu_seconds=times.user + times.system + getattr(times, "nice", 0.0),
        memory_bytes=memory.total,
        memory_available_bytes=memory.available,
    )


def _cpu(stat: str) -> tuple[int | None, float | None]:
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    if not lines:
        return None, None
    user, nice, system, _, _, irq, softirq = (int(ticks) for ticks in lines[0][1:8])
    return len(lines) - 1, (user + nice + system + irq + softirq) / _TICKS


def _bytes(fields: list[str] | None) -> int | None:
    return None if fields is None else int(fields[1]) * 1024


def _text(proc: str | Path, name: str) -> str:
    """Empty where there is no such file, or where it may not be read."""
    try:
        return (Path(proc) / name).read_text()
    except OSError:
        return ""
