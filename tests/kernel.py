"""A small kernel for tests of the sampler: processes that fork, work, exit, are waited for or not, even while they are read."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headway.sampler.host import Figures, Io, Row


@dataclass
class Proc:
    pid: int
    ppid: int
    session: int
    started: float
    cpu: float = 0.0
    reaped_cpu: float = 0.0
    faults: int = 120
    reaped_faults: int = 0
    majors: int = 0  # with those of the children it waited for
    io: int = 0
    zombie: bool = False
    ignores_children: bool = False
    mine: bool = False  # belongs to the tree that is watched
    waits: dict[int, float] = field(default_factory=dict)


class Kernel:
    """Follows Linux: who is waited for leaves CPU, faults and I/O to its parent; init waits for everyone it adopts.

    It is also the host that a sampler asks. `between` runs before each process is read. `spent` is what processes of the watched
    tree really used in all.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.procs: dict[int, Proc] = {1: Proc(1, 0, 1, 0.0)}
        self.spent = 0.0
        self.spent_io = 0
        self.spent_majors = 0
        self.clock = 0.0
        self.next_pid = 2
        self.between: Callable[[], None] = lambda: None
        self.refused: set[str] = set()
        self.reads = 0

    # ── what processes do ──────────────────────────────────────────────────────────────────────────────────────────

    def fork(self, parent: int, *, new_session: bool = False) -> int:
        pid, mother = self.next_pid, self.procs[parent]
        self.next_pid += 1
        self.clock += 0.01
        session = pid if new_session else mother.session
        self.procs[pid] = Proc(pid, parent, session, self.clock, mine=mother.mine, waits={pid: 0.0})
        return pid

    def work(self, pid: int, cpu: float, io: int = 0) -> None:
        proc = self.procs[pid]
        proc.cpu += cpu
        proc.io += io
        proc.faults += 3
        proc.majors += io > 0
        if proc.mine:
            self.spent += cpu
            self.spent_io += io
            self.spent_majors += io > 0

    def exit(self, pid: int) -> None:
        proc = self.procs[pid]
        proc.zombie = True
        for child in [c for c in self.procs.values() if c.ppid == pid]:
            child.ppid = 1
            if child.zombie:
                self.wait(child.pid)
        mother = self.procs[proc.ppid]
        if mother.ignores_children:
            del self.procs[pid]
        elif mother.pid == 1:
            self.wait(pid)

    def wait(self, pid: int) -> None:
        proc = self.procs.pop(pid)
        mother = self.procs[proc.ppid]
        mother.reaped_cpu += proc.cpu + proc.reaped_cpu
        mother.reaped_faults += proc.faults + proc.reaped_faults
        mother.io += proc.io
        mother.majors += proc.majors

    # ── what a sampler asks ────────────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> dict[int, Row]:
        pids = list(self.procs)
        self.random.shuffle(pids)
        return {pid: row for pid in pids if (row := self.row(pid)) is not None}

    def row(self, pid: int) -> Row | None:
        self.between()
        self.reads += 1
        proc = self.procs.get(pid)
        if proc is None:
            return None
        return Row(
            pid=pid,
            ppid=proc.ppid,
            session=proc.session,
            started=proc.started,
            create_time=1000.0 + proc.started,
            zombie=proc.zombie,
            cpu=proc.cpu,
            reaped_cpu=proc.reaped_cpu,
            faults=proc.faults,
            reaped_faults=proc.reaped_faults,
            resident=0 if proc.zombie else 1_000_000,
            threads=len(proc.waits) or 1,
            majors=proc.majors,
        )

    def hidden(self, pid: int) -> bool:
        return "table" in self.refused

    @property
    def figures(self) -> Mapping[int, Figures]:
        return {}

    def io(self, pid: int) -> Io | None:
        proc = self._there(pid, "io")
        return Io(proc.io, proc.io // 2, 2 * proc.io)

    def open_fds(self, pid: int) -> int | None:
        self._there(pid, "fds")
        return 3

    def waits(self, pid: int, threads: int | None) -> dict[int, float] | None:
        return dict(self._there(pid, "waits").waits)

    def proportional(self, pid: int) -> int | None:
        self._there(pid, "proportional")
        return 600_000

    def memory_limit(self, pid: int) -> int | None:
        self._there(pid, "limit")
        return 16_000_000

    def _there(self, pid: int, what: str) -> Proc:
        if what in self.refused:
            raise PermissionError(pid)
        proc = self.procs.get(pid)
        if proc is None:
            raise ProcessLookupError(pid)
        return proc
