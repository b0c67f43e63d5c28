"""What a sampler asks of the operating system, and Linux's answers from /proc. Knows nothing of trees."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the process table. None is a figure that this system does not give, or not to us.

    `started` tells two processes of one pid apart as long as the host runs, whatever happens to the clock; `create_time` is the
    same moment in unix seconds. `cpu` is CPU time (s) of all its threads, `reaped_cpu` that of the children it waited for, with
    theirs. `faults` and `reaped_faults` are minor page faults, counted by the kernel in the same two ways.
    """

    pid: int
    ppid: int
    session: int | None
    started: float
    create_time: float
    zombie: bool
    cpu: float | None
    reaped_cpu: float
    faults: int | None
    reaped_faults: int
    resident: int | None
    threads: int | None


@dataclass(frozen=True, slots=True)
class Io:
    """Bytes read from and written to storage, and `moved`: bytes through read and write calls of any sort. All of them with those
    of the children that were waited for."""

    read: int
    written: int
    moved: int


class Host(Protocol):
    """Every call may raise ProcessLookupError (it is gone: normal) and PermissionError (refused); None means: not known here."""

    def rows(self) -> dict[int, Row]:
        """The whole process table by pid, in one pass."""

    def row(self, pid: int) -> Row | None:
        """One process as it is right now; None when there is none."""

    def hidden(self, pid: int) -> bool:
        """Whether there is a process of this pid that the table does not show to us."""

    def io(self, pid: int) -> Io | None: ...

    def open_fds(self, pid: int) -> int | None: ...

    def waits(self, pid: int, threads: int | None) -> dict[int, float] | None:
        """Run-queue delay (s) of each thread that lives, by thread id."""

    def memory_limit(self, pid: int) -> int | None:
        """Bytes of memory that this process can have: of its cgroup, or of the host."""


def boot_time() -> float:
    """When the host was booted (unix s). Not a constant: it moves when the clock is set."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class LinuxHost:
    """`proc` and `cgroups` are where those file systems are mounted; tests give folders of their own."""

    def __init__(
        self, proc: str | Path = "/proc", cgroups: str | Path = "/sys/fs/cgroup", boot_time: Callable[[], float] = boot_time
    ) -> None:
        self._proc = str(proc)
        self._cgroups = Path(cgroups)
        self._boot_time = boot_time
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def rows(self) -> dict[int, Row]:
        booted = self._boot_time()
        found = {}
        # Path objects would cost more than the rest of the pass: plain strings here and below.
        for name in os.listdir(self._proc):  # noqa: PTH208
            if name.isdecimal() and (row := self._row(name, booted)) is not None:
                found[row.pid] = row
        return found

    def row(self, pid: int) -> Row | None:
        return self._row(str(pid), self._boot_time())

    def hidden(self, pid: int) -> bool:
        if os.path.exists(f"{self._proc}/{pid}"):  # noqa: PTH110
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def io(self, pid: int) -> Io | None:
        fields = dict(line.split(b": ") for line in self._read(f"{pid}/io").splitlines())
        return Io(int(fields[b"read_bytes"]), int(fields[b"write_bytes"]), int(fields[b"rchar"]) + int(fields[b"wchar"]))

    def open_fds(self, pid: int) -> int | None:
        try:
            return len(os.listdir(f"{self._proc}/{pid}/fd"))  # noqa: PTH208
        except FileNotFoundError as error:
            raise ProcessLookupError(pid) from error

    def waits(self, pid: int, threads: int | None) -> dict[int, float] | None:
        try:
            if threads == 1:
                return {pid: self._wait(f"{pid}/schedstat")}
            tasks = os.listdir(f"{self._proc}/{pid}/task")  # noqa: PTH208
        except (FileNotFoundError, ProcessLookupError) as error:
            if os.path.exists(f"{self._proc}/{pid}/stat"):  # noqa: PTH110
                return None  # a kernel without scheduler statistics
            raise ProcessLookupError(pid) from error
        found = {}
        for task in tasks:
            try:
                found[int(task)] = self._wait(f"{pid}/task/{task}/schedstat")
            except ProcessLookupError:
                continue  # this thread ended just now
        return found or None

    def memory_limit(self, pid: int) -> int | None:
        total = self._memory_total()
        # Version 1 writes "no limit" as a number that no machine reaches.
        return None if total is None else min([total, *self._cgroup_limits(pid)])

    # ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, path: str) -> bytes:
        """Raises ProcessLookupError when the process is gone, before or while it is read."""
        try:
            handle = os.open(f"{self._proc}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ProcessLookupError(path) from error
        try:
            return os.read(handle, 8192)
        finally:
            os.close(handle)

    def _row(self, pid: str, booted: float) -> Row | None:
        """From /proc/PID/stat; the fields are counted from the one behind the name, which may contain anything."""
        try:
            text = self._read(f"{pid}/stat")
        except (ProcessLookupError, PermissionError):
            return None
        fields = text[text.rfind(b")") + 2 :].split(None, 22)
        if len(fields) < 22 or fields[0] in (b"X", b"x"):
            return None
        ticks, started = self._ticks, int(fields[19])
        return Row(
            pid=int(pid),
            ppid=int(fields[1]),
            session=int(fields[3]),
            started=started,
            create_time=booted + started / ticks,
            zombie=fields[0] == b"Z",
            cpu=(int(fields[11]) + int(fields[12])) / ticks,
            reaped_cpu=(int(fields[13]) + int(fields[14])) / ticks,
            faults=int(fields[7]),
            reaped_faults=int(fields[8]),
            resident=int(fields[21]) * self._page,
            threads=int(fields[17]),
        )

    def _wait(self, path: str) -> float:
        return int(self._read(path).split()[1]) / 1e9

    def _memory_total(self) -> int | None:
        for line in self._read("meminfo").splitlines():
            if line.startswith(b"MemTotal:"):
                return int(line.split()[1]) * 1024
        return None

    def _cgroup_limits(self, pid: int) -> list[int]:
        """The limits of its cgroup and of all above it, which hold too. Version 2 and the memory controller of version 1."""
        try:
            groups = self._read(f"{pid}/cgroup").decode(errors="replace").splitlines()
        except OSError:
            return []
        found = []
        for group in groups:
            _, controllers, path = group.split(":", 2)
            if controllers == "":
                found += self._limits_above(self._cgroups, path, "memory.max")
            elif "memory" in controllers.split(","):
                found += self._limits_above(self._cgroups / "memory", path, "memory.limit_in_bytes")
        return found

    def _limits_above(self, mount: Path, path: str, file: str) -> list[int]:
        """In a container the path may be that of the host and lead nowhere; the mount itself is then the container's group."""
        group, found = mount / path.strip("/"), []
        while group == mount or mount in group.parents:
            try:
                found.append(int((group / file).read_text()))
            except (OSError, ValueError):
                pass  # not there, or "max"
            group = group.parent
        return found
