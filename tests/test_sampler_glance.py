"""What a sampler sees at a glance is what it finds when it looks closely, whatever happens: two ways, one answer."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headway.model import OSProcess
from headway.sampler.host import Figures, Io, Row
from headway.sampler.linux_host import LinuxHost
from headway.sampler.tree_sampler import TreeSampler
from headway.samples import Sample
from kernel import Kernel, Proc

# ── a simulated kernel: what the tree sampler leaves out ────────────────────────────────────────────────────────────


class Varied(Kernel):
    """With memory, states and open files of each, and a clock that can be set. `limit` is that of memory."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.resident: dict[int, int] = {}
        self.states: dict[int, str] = {}
        self.fds: dict[int, int] = {}
        self.booted = 1000.0
        self.limit = 16_000_000

    def row(self, pid: int) -> Row | None:
        row = super().row(pid)
        if row is None:
            return None
        resident = 0 if row.zombie else self.resident.get(pid, 1_000_000)
        return row._replace(resident=resident, state=self.states.get(pid), create_time=self.booted + row.started)

    def open_fds(self, pid: int) -> int | None:
        self._there(pid, "fds")
        return self.fds.get(pid, 3)

    def memory_limit(self, pid: int) -> int | None:
        self._there(pid, "limit")
        return self.limit


@dataclass
class Whole:
    wait: float
    io: Io | None
    fds: int | None
    full: bool = True
    asked: bool = False


class Reading(Varied):
    """Reads all of a process of one thread in its pass, as a rule, and repeats what has not changed as the very same objects. It
    looks at the processes of another."""

    def __init__(self, other: Varied) -> None:
        super().__init__(0)
        self.other = other
        self.chance = random.Random(1)
        self.kept: dict[int, Row] = {}
        self.whole: dict[int, Whole] = {}

    def rows(self) -> dict[int, Row]:
        self.__dict__ |= {name: value for name, value in vars(self.other).items() if name not in ("reads", "random")}
        before, self.kept, whole = self.kept, {}, {}
        for pid in self.procs:
            row = self.row(pid)
            assert row is not None
            self.kept[pid] = before[pid] if before.get(pid) == row else row
            waits = self.procs[pid].waits
            if waits.keys() == {pid} and not self.refused and self.chance.random() < 0.95:
                io, had = self.io(pid), self.whole.get(pid)
                whole[pid] = Whole(waits[pid], had.io if had and had.io == io else io, self.open_fds(pid))
        self.whole = whole
        return dict(self.kept)

    @property
    def figures(self) -> Mapping[int, Figures]:
        return self.whole


class Glancing(TreeSampler):
    """Counts what it saw at a glance."""

    glances = 0

    def _glance(self, *given: Any) -> dict[str, Sample]:
        found = super()._glance(*given)
        self.glances += len(found)
        return found


def happen(kernel: Varied, roots: dict[str, OSProcess]) -> None:
    """Seconds are such that their sums are exact in any order."""
    pick = kernel.random
    own = [proc for proc in kernel.procs.values() if proc.pid != 1]
    if not own or pick.random() < 0.2:
        pid = kernel.fork(pick.choice([1, 1, *(proc.pid for proc in own if not proc.zombie)]), new_session=pick.random() < 0.5)
        name = f"p{pick.randrange(9)}"  # now and then in place of one that had this name
        roots[name] = OSProcess(pid, kernel.booted + kernel.procs[pid].started if pick.random() < 0.8 else None)
        return
    proc = pick.choice(own)
    what = pick.randrange(14)
    if what <= 2 and not proc.zombie:
        kernel.work(proc.pid, pick.choice((0.0, 0.125, 0.5)), pick.choice((0, 100, 4096)))
    elif what == 3 and not proc.zombie and len(kernel.procs) < 25:
        kernel.fork(proc.pid, new_session=pick.random() < 0.2)
    elif what == 4 and not proc.zombie:
        kernel.exit(proc.pid)
    elif what == 5 and proc.zombie:
        kernel.wait(proc.pid)
    elif what == 6:  # its pid comes round again
        ended = proc.pid
        if not proc.zombie:
            kernel.exit(ended)
        if ended in kernel.procs:
            kernel.wait(ended)
        kernel.clock += 1
        kernel.procs[ended] = Proc(ended, 1, ended, kernel.clock, waits={ended: 0.0})
    elif what == 7:  # another of its threads calls exec: it has the pid from now on, and its own past
        proc.waits = {proc.pid: pick.choice((0.0, 0.25, 9.0))}
    elif what == 8:
        proc.waits[pick.choice((proc.pid, 1000 + proc.pid))] = pick.randrange(64) / 64
    elif what == 9:
        proc.waits.pop(1000 + proc.pid, None)
    elif what == 10:
        proc.waits[proc.pid] = proc.waits.get(proc.pid, 0.0) + pick.randrange(64) / 64
    elif what == 11:
        kernel.resident[proc.pid] = pick.choice((0, 4096, 7_000_000))
        kernel.states[proc.pid] = pick.choice(("running", "sleeping", "stopped"))
    elif what == 12:
        kernel.fds[proc.pid] = pick.randrange(9)
    elif pick.random() < 0.3:
        kernel.refused = pick.choice((set(), set(), set(), {"io"}, {"fds"}, {"waits"}))
        kernel.booted += pick.choice((0.0, 100.0, -3.0))
    elif len(roots) > 5:
        roots.pop(pick.choice(list(roots)), None)


def samplers(kernel: Varied, now: list[float]) -> tuple[Glancing, TreeSampler]:
    """One that sees most at a glance, and one that always looks closely. `now`: unix and monotonic seconds."""
    quick = Glancing(Reading(kernel), clock=lambda: now[0], monotonic=lambda: now[1])
    return quick, TreeSampler(kernel, clock=lambda: now[0], monotonic=lambda: now[1])


def history(seed: int) -> int:
    """How many of its trees were seen at a glance."""
    kernel = Varied(seed)
    now, roots = [5000.0, 0.0], dict[str, OSProcess]()
    quick, close = samplers(kernel, now)
    for turn in range(120):
        for _ in range(kernel.random.choice((0, 0, 1, 2, 5))):
            happen(kernel, roots)
        passed = kernel.random.choice((0.0, 0.5, 2.0, 2.0, 2.0, 61.0))
        kernel.limit = kernel.random.choice((0, 8_000_000, 16_000_000))
        now[1] += passed
        now[0] += passed + kernel.random.choice((0.0, 0.0, 0.0, 0.0, 500.0))
        assert quick.sample(dict(roots)) == close.sample(dict(roots)), (seed, turn)
        for name in roots:
            assert sorted(quick.members(name)) == sorted(close.members(name))
    return quick.glances


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_a_glance_finds_what_a_close_look_does(first: int) -> None:
    assert sum(map(history, range(first, first + 10))) > 300


def test_what_is_lost_while_others_were_there_is_not_forgotten_at_a_glance() -> None:
    """The root alone, then with a child that nobody waits for, then alone again: its own line never changes."""
    kernel, now = Varied(0), [5000.0, 0.0]
    quick, close = samplers(kernel, now)
    root = kernel.fork(1, new_session=True)
    kernel.procs[root].ignores_children = True
    roots = {"p": OSProcess(root, 1000.0 + kernel.procs[root].started)}

    def look() -> Sample:
        now[:] = now[0] + 2, now[1] + 2
        found = quick.sample(roots)
        assert found == close.sample(roots)
        return found["p"]

    for _ in range(4):
        look()
    child = kernel.fork(root)
    kernel.work(child, 3.0, 100)
    assert look().os_processes == 2
    kernel.exit(child)
    before = quick.glances
    assert [look().cpu_seconds for _ in range(9)] == [3.0] * 9
    assert quick.glances > before


# ── a folder like /proc: what the host leaves out ───────────────────────────────────────────────────────────────────


# Of this one the bytes moved are not to be had, so that the rest is asked one by one.
UNTOLD = 42


@dataclass
class Written:
    """One process as its files say, all of which grow when it runs."""

    started: int
    ticks: int = 0
    pages: int = 10
    state: str = "S"
    threads: int = 1
    wait: int = 0
    ran: int = 1000
    moved: int = 0
    processor: int = 0
    comm: str = "sh"
    written: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path, pid: int) -> None:
        counts = f"1 {pid} {pid} 0 -1 0 {100 + self.ticks} 0 0 0 {self.ticks} 0 0 0 20 0 {self.threads} 0 {self.started}"
        rest = f"4096 {self.pages} 18446744073709551615 {self.processor}"
        files = {
            "stat": f"{pid} ({self.comm}) {self.state} {counts} {rest}\n",
            "io": f"rchar: {self.moved}\nwchar: 7\nsyscr: 1\nsyscw: 1\nread_bytes: {self.moved}\nwrite_bytes: 0\n",
            f"task/{pid}/schedstat": f"{self.ran} {self.wait} 7\n",
            f"task/{pid + 1}/schedstat": f"{self.ran} {self.wait} 7\n" if self.threads == 2 else "",
        }
        for name, text in files.items():
            path = folder / name
            if text == self.written.get(name, ""):
                continue
            self.written[name] = text
            if text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            else:
                path.unlink()
                path.parent.rmdir()
        (folder / "fd").mkdir(exist_ok=True)
        if pid == UNTOLD:
            (folder / "io").unlink(missing_ok=True)


def run(pick: random.Random, one: Written) -> None:
    """It runs, and something of it changes."""
    one.ran += pick.randrange(1, 10**6)
    what = pick.randrange(8)
    if what == 0:
        one.ticks += pick.choice((1, 99, 10**5, 10**9))
    elif what == 1:
        one.pages = pick.choice((0, 1, 10**4, 10**9))
    elif what == 2:
        one.state = pick.choice("RSDT")
    elif what == 3 and (one.threads == 2 or pick.random() < 0.3):
        one.threads = 3 - one.threads
    elif what == 4:
        one.moved += pick.choice((1, 10**6, 10**15))
    elif what == 5:
        one.wait += pick.choice((1, 10**9))
    elif what == 6:
        one.processor = pick.randrange(100)
    else:
        one.comm = pick.choice(("sh", "a (b) c", ") R 1"))


@pytest.mark.skipif(sys.platform != "linux", reason="LinuxHost")
@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_open_and_compared_says_what_is_read_anew(seed: int, tmp_path: Path) -> None:
    pick = random.Random(seed)
    booted, now = [1000.0], [5000.0]
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "meminfo").write_text("MemTotal: 1000000 kB\n")
    written = {pid: Written(started=pid * 10) for pid in range(40, 44)}
    for pid, one in written.items():
        one.write(proc / str(pid), pid)
    hosts = [LinuxHost(proc, tmp_path, boot_time=lambda: booted[0], max_files=files) for files in (None, 0)]
    both = [Glancing(host, clock=lambda: now[0], monotonic=lambda: now[0]) for host in hosts]
    for host in hosts:
        host._size_counts = True  # as of Linux 6.2; a folder here says something else than a number of files, but the same to both
    roots = {str(pid): OSProcess(pid, 1000.0 + pid * 10 / os.sysconf("SC_CLK_TCK")) for pid in written}
    for turn in range(50):
        for pid in list(written):
            for _ in range(pick.choice((0, 0, 1, 3))):
                run(pick, written[pid])
            written[pid].write(proc / str(pid), pid)
        if turn == 35:
            gone = written.popitem()[0]
            (proc / str(gone)).rename(tmp_path / "gone")
        if pick.random() < 0.05:
            booted[0] += 50.0
        now[0] += 2
        quick, plain = (sampler.sample(roots) for sampler in both)
        assert quick == plain, (seed, turn)
    assert both[0].glances > 30 and both[1].glances == 0
    hosts[0].close()


@pytest.mark.skipif(sys.platform != "linux", reason="LinuxHost")
def test_a_line_that_changed_behind_what_is_wanted_is_the_same_line(tmp_path: Path) -> None:
    """Such as the processor that it ran on, which differs each time: parsing costs as much as reading."""
    one = Written(started=100)
    one.write(tmp_path / "40", 40)
    host = LinuxHost(tmp_path)

    def look() -> Row:
        row = host.rows()[40]
        assert host.waits(40, 1) and host.io(40)
        return row

    for _ in range(2):
        look()
    before = look()
    one.ran, one.processor = 2000, 55
    one.write(tmp_path / "40", 40)
    assert look() is before
    one.ran, one.ticks = 3000, 5
    one.write(tmp_path / "40", 40)
    assert look() is not before
    kept = host._followed[40]
    one.ran, one.ticks = 4000, 10**18
    one.write(tmp_path / "40", 40)
    assert look().cpu == 10**18 / os.sysconf("SC_CLK_TCK"), "its numbers have outgrown what is read of the line"
    assert host._followed[40] is kept
    host.close()


def test_a_child_that_comes_as_another_process_goes_is_seen() -> None:
    """As many lines of the table as before, each with its place."""
    kernel, now = Varied(0), [5000.0, 0.0]
    quick, close = samplers(kernel, now)
    root, other = kernel.fork(1, new_session=True), kernel.fork(1, new_session=True)
    roots = {"p": OSProcess(root, 1000.0 + kernel.procs[root].started)}

    def look() -> int | None:
        now[:] = now[0] + 2, now[1] + 2
        found = quick.sample(roots)
        assert found == close.sample(roots)
        return found["p"].os_processes

    assert [look() for _ in range(3)] == [1, 1, 1]
    kernel.exit(other)
    child = kernel.fork(root)
    assert look() == 2
    kernel.exit(child)
    kernel.wait(child)
    stranger = kernel.fork(1, new_session=True)
    assert look() == 1
    kernel.procs[stranger].ppid = root  # the same lines, but for a parent
    assert look() == 2
