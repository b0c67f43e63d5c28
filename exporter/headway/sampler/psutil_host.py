"""The process table by psutil, for systems without Linux's /proc. Slower, and some figures are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

import psutil

from headway.sampler.host import Figures, Io, Row

T = TypeVar("T")
_ATTRIBUTES = ("ppid", "create_time", "status", "cpu_times", "memory_info", "num_threads")


@contextmanager
def _plain_errors() -> Iterator[None]:
    """psutil's errors as those that the contract of a host names."""
    try:
        yield
    except psutil.NoSuchProcess as error:  # a zombie is one too, for what only a live process has
        raise ProcessLookupError(error.pid) from error
    except psutil.AccessDenied as error:
        raise PermissionError(error.pid) from error


class PsutilHost:
    """`system` is psutil or something like it. psutil.process_iter keeps its Process objects from pass to pass."""

    def __init__(self, system: ModuleType | Any = psutil) -> None:
        self._system = system
        self._processes: dict[int, Any] = {}

    def rows(self) -> dict[int, Row]:
        found, processes = {}, {}
        for process in self._system.process_iter():
            row = self._row(process)
            if row is not None:
                found[row.pid], processes[row.pid] = row, process
        self._processes = processes
        return found

    def row(self, pid: int) -> Row | None:
        try:
            process = self._system.Process(pid)
        except self._system.Error:
            return None
        return self._row(process)

    def hidden(self, pid: int) -> bool:
        return False  # its table shows every pid

    @property
    def figures(self) -> Mapping[int, Figures]:
        return {}

    def io(self, pid: int) -> Io | None:
        counters = self._ask(pid, "io_counters")
        if counters is None:
            return None
        moved = getattr(counters, "read_chars", counters.read_bytes) + getattr(counters, "write_chars", counters.write_bytes)
        return Io(counters.read_bytes, counters.write_bytes, moved)

    def open_fds(self, pid: int) -> int | None:
        count: int | None = self._ask(pid, "num_fds")
        return count

    def waits(self, pid: int, threads: int | None) -> dict[int, float] | None:
        return None

    def proportional(self, pid: int) -> int | None:
        return getattr(self._ask(pid, "memory_full_info"), "pss", None)

    def memory_limit(self, pid: int) -> int | None:
        return int(self._system.virtual_memory().total)

    def _ask(self, pid: int, what: str) -> Any:
        """None where this system's psutil has no such figure."""
        with _plain_errors():
            ask: Callable[[], Any] | None = getattr(self._processes.get(pid) or self._system.Process(pid), what, None)
            return None if ask is None else ask()

    def _row(self, process: Any) -> Row | None:
        try:
            facts = process.as_dict(attrs=_ATTRIBUTES)
        except self._system.Error:
            return None
        cpu, memory = facts["cpu_times"], facts["memory_info"]
        if facts["create_time"] is None:
            return None
        return Row(
            pid=process.pid,
            ppid=facts["ppid"] or 0,
            session=None,
            started=facts["create_time"],
            create_time=facts["create_time"],
            zombie=facts["status"] == self._system.STATUS_ZOMBIE,
            cpu=None if cpu is None else cpu.user + cpu.system,
            reaped_cpu=0.0 if cpu is None else getattr(cpu, "children_user", 0.0) + getattr(cpu, "children_system", 0.0),
            faults=None,
            reaped_faults=0,
            resident=None if memory is None else memory.rss,
            threads=facts["num_threads"],
            state=facts["status"],
        )
