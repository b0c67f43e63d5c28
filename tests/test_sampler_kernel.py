"""The tree sampler on a simulated kernel at its worst: forks, exits and pids that come round again between any two reads."""

from __future__ import annotations

import pytest

from headway.model import OSProcess
from headway.sampler.tree_sampler import QUIET_WINDOW, TreeSampler
from headway.samples import Sample
from kernel import Kernel
from sampled import one


class World:
    """A simulated kernel, the sampler that watches one tree of it, and its clock."""

    def __init__(self, seed: int = 0) -> None:
        self.kernel = Kernel(seed)
        self.now = 5000.0
        self.sampler = TreeSampler(self.kernel, clock=lambda: self.now, monotonic=lambda: self.now)
        self.root = self.kernel.fork(1, new_session=True)
        self.kernel.procs[self.root].mine = True
        self.created = 1000.0 + self.kernel.procs[self.root].started

    def sample(self, seconds: float = 2.0) -> Sample:
        self.now += seconds
        return one(self.sampler, OSProcess(self.root, self.created))


def act(world: World, *, orderly: bool) -> None:
    """Something happens. Orderly: whoever ends has no children, and is waited for by its own parent."""
    kernel, pick = world.kernel, world.kernel.random
    living = [p for p in kernel.procs.values() if p.mine and not p.zombie]
    proc = pick.choice(living)
    chance = pick.random()
    if chance < 0.3:
        kernel.work(proc.pid, pick.choice((0.01, 0.5, 60.0)), pick.choice((0, 4096)))
    elif chance < 0.55 and len(kernel.procs) < 30:
        kernel.fork(proc.pid, new_session=pick.random() < 0.2)
    elif chance < 0.85 and proc.pid != world.root:
        if not orderly or not [c for c in kernel.procs.values() if c.ppid == proc.pid]:
            kernel.exit(proc.pid)
    else:
        zombies = [p for p in kernel.procs.values() if p.zombie and p.pid != world.root]
        if zombies:
            kernel.wait(pick.choice(zombies).pid)


@pytest.mark.parametrize("seed", range(40))
def test_an_orderly_tree_is_counted_exactly(seed: int) -> None:
    """Everyone is waited for: whatever comes and goes between the samples, the total is what was really used."""
    world = World(seed)
    for _ in range(30):
        for _ in range(world.kernel.random.randint(0, 12)):
            act(world, orderly=True)
        sample = world.sample()
        assert sample.cpu_seconds == pytest.approx(world.kernel.spent)
        assert sample.io_read_bytes == world.kernel.spent_io
        assert sample.major_faults == world.kernel.spent_majors


@pytest.mark.parametrize("seed", range(40))
def test_events_in_the_middle_of_a_pass_are_never_counted_twice(seed: int) -> None:
    """Now things happen between reading one process and the next, twice in each pass."""
    world = World(seed)
    kernel, last = world.kernel, 0.0
    for _ in range(40):
        for _ in range(kernel.random.randint(0, 6)):
            act(world, orderly=True)
        moments = sorted(kernel.random.sample(range(kernel.reads, kernel.reads + 2 * len(kernel.procs)), k=2))

        def between(moments: list[int] = moments) -> None:
            while moments and kernel.reads >= moments[0]:
                moments.pop(0)
                act(world, orderly=True)

        kernel.between = between
        seconds = world.sample().cpu_seconds
        kernel.between = lambda: None
        assert seconds is not None and last <= seconds <= kernel.spent + 1e-6
        last = seconds
    assert world.sample().cpu_seconds == pytest.approx(kernel.spent)


@pytest.mark.parametrize("seed", range(40))
def test_a_disorderly_tree_never_falls_and_never_has_too_much(seed: int) -> None:
    """Orphans, parents that ignore their children: what was seen once stays counted, what nobody saw may be missing."""
    world = World(seed)
    kernel, last, last_majors = world.kernel, 0.0, 0
    for _ in range(40):
        for _ in range(kernel.random.randint(0, 6)):
            act(world, orderly=False)
            for proc in kernel.procs.values():
                proc.ignores_children = proc.mine and proc.pid % 3 == 0
        sample = world.sample()
        seconds, majors = sample.cpu_seconds, sample.major_faults
        assert seconds is not None and last <= seconds <= kernel.spent + 1e-6
        assert majors is not None and last_majors <= majors <= kernel.spent_majors
        last, last_majors = seconds, majors


@pytest.mark.parametrize("seed", range(20))
def test_the_first_pass_counts_nobody_twice_either(seed: int) -> None:
    world = World(seed)
    kernel = world.kernel
    children = [kernel.fork(world.root) for _ in range(6)]
    for child in children:
        kernel.work(child, 10.0)
        kernel.exit(child)
    at = kernel.random.randint(1, 7)

    def between() -> None:
        if kernel.reads == at and children:
            kernel.wait(children.pop())

    kernel.between = between
    assert world.sample().cpu_seconds == 60.0


def test_a_session_belongs_to_its_leader_only() -> None:
    world = World()
    kernel = world.kernel
    other = kernel.fork(world.root)
    inner = kernel.fork(world.root)
    process = OSProcess(inner, 1000.0 + kernel.procs[inner].started)
    assert other in kernel.procs and one(world.sampler, process).os_processes == 1
    assert world.sample().os_processes == 3


def test_a_new_root_under_an_old_name_begins_anew() -> None:
    world = World()
    world.kernel.work(world.root, 5.0)
    assert world.sample().cpu_seconds == 5.0
    child = world.kernel.fork(1)
    world.kernel.work(child, 1.0)
    sample = one(world.sampler, OSProcess(child, 1000.0 + world.kernel.procs[child].started))
    assert (sample.cpu_seconds, sample.cpu_ratio) == (1.0, None)


def test_an_orphan_is_counted_to_the_last_reading() -> None:
    world = World()
    kernel = world.kernel
    middle = kernel.fork(world.root, new_session=True)
    leaf = kernel.fork(middle)
    kernel.work(middle, 1.0)
    kernel.work(leaf, 10.0, io=4096)
    assert world.sample().cpu_seconds == 11.0
    kernel.exit(middle)
    kernel.wait(middle)
    kernel.work(leaf, 5.0)
    assert world.sample().cpu_seconds == 16.0
    kernel.exit(leaf)
    kernel.work(world.root, 2.0, io=1000)
    sample = world.sample()
    assert (sample.cpu_seconds, sample.io_read_bytes, sample.os_processes, sample.major_faults) == (18.0, 5096, 1, 2)


def test_parent_and_child_gone_in_one_interval() -> None:
    """Either the parent waited for the child and left both to the root, or init took the child: the faults tell."""
    for parent_waits in (True, False):
        world = World()
        kernel = world.kernel
        middle = kernel.fork(world.root)
        leaf = kernel.fork(middle)
        kernel.work(middle, 1.0)
        kernel.work(leaf, 10.0)
        assert world.sample().cpu_seconds == 11.0
        if parent_waits:
            kernel.exit(leaf)
            kernel.wait(leaf)
        kernel.exit(middle)
        kernel.wait(middle)
        if not parent_waits:
            kernel.exit(leaf)
        kernel.work(world.root, 3.0)
        sample = world.sample()
        assert (sample.cpu_seconds, sample.os_processes) == (14.0, 1)


def test_a_reused_pid_is_a_new_process() -> None:
    world = World()
    child = world.kernel.fork(world.root)
    world.kernel.work(child, 4.0)
    assert world.sample().cpu_seconds == 4.0
    world.kernel.exit(child)
    world.kernel.wait(child)
    world.kernel.next_pid = child
    assert world.kernel.fork(1) == child
    world.kernel.work(child, 100.0)
    sample = world.sample()
    assert (sample.cpu_seconds, sample.os_processes) == (4.0, 1)
    root = world.root
    world.kernel.exit(root)
    world.kernel.next_pid = root
    assert world.kernel.fork(1, new_session=True) == root
    now = world.sampler.sample({"p": OSProcess(root, world.created)})["p"]
    assert not now.alive


def test_what_is_refused_is_absent_and_counted() -> None:
    world = World()
    world.kernel.fork(world.root)
    for what, fields in {
        "io": ("io_read_bytes", "io_written_bytes"),
        "fds": ("open_fds",),
        "waits": ("cpu_wait_seconds",),
        "limit": ("memory_ratio",),
    }.items():
        world.kernel.refused = {what}
        before, sampler = world.sampler.errors_total, world.sampler
        world.now += 100
        sample = world.sample()
        assert sample.alive and sample.cpu_seconds is not None
        assert all(getattr(sample, field) is None for field in fields), what
        assert sampler.errors_total > before
        assert sample.quiet_since is None or what != "io"
        world.kernel.refused = set()
        sample = world.sample(100)
        assert all(getattr(sample, field) is not None for field in fields), what


def test_a_root_that_is_hidden_from_us_is_not_called_dead() -> None:
    world = World()
    process = OSProcess(world.root, 1000.0 + world.kernel.procs[world.root].started)
    world.kernel.procs.pop(world.root)
    world.kernel.refused = {"table"}
    assert world.sampler.sample({"p": process}) == {}
    world.kernel.refused = set()
    assert not world.sampler.sample({"p": process})["p"].alive


def test_what_is_no_longer_asked_for_is_forgotten() -> None:
    world = World()
    world.sample()
    process = OSProcess(world.root, world.created)
    world.now += 2
    assert world.sampler.sample({}) == {}
    world.now += 2
    assert world.sampler.sample({"p": process})["p"].cpu_ratio is None, "a first sample again"


def test_ratio_is_over_the_time_between_samples_whatever_the_clock_says() -> None:
    world = World()
    assert world.sample().cpu_ratio is None
    world.kernel.work(world.root, 3.0)
    world.sampler._clock = lambda: 0.0  # the clock was set back
    sample = world.sample(4.0)
    assert sample.cpu_ratio == pytest.approx(0.75) and sample.at == 0.0


def test_waits_of_threads_and_members_that_end_are_kept() -> None:
    world = World()
    kernel = world.kernel
    proc = kernel.procs[world.root]
    proc.waits = {world.root: 1.0, 900: 2.0, 901: 4.0}
    child = kernel.fork(world.root)
    kernel.procs[child].waits = {child: 8.0}
    assert world.sample().cpu_wait_seconds == 15.0
    proc.waits = {world.root: 1.5, 901: 0.25}  # 900 ended, 901 is another thread now
    assert world.sample().cpu_wait_seconds == 1.5 + 2.0 + 4.0 + 0.25 + 8.0
    kernel.exit(child)
    kernel.wait(child)
    assert world.sample().cpu_wait_seconds == 15.75


@pytest.mark.parametrize("interval", [0.2, 2.0, 5.0])
def test_quiet_does_not_depend_on_how_often_one_looks(interval: float) -> None:
    world = World()
    begun = world.now + interval
    quiet = None
    while world.now < begun + 20:
        quiet = world.sample(interval).quiet_since
    assert quiet == pytest.approx(begun)
    world.kernel.work(world.root, 0.01)  # a single tick, as a heartbeat makes: still quiet
    while world.now < begun + 30:
        quiet = world.sample(interval).quiet_since
    assert quiet == pytest.approx(begun)
    world.kernel.work(world.root, 1.0)
    moved = world.now
    while world.now < moved + QUIET_WINDOW + interval:
        quiet = world.sample(interval).quiet_since
    while quiet is None and world.now < moved + 30:
        quiet = world.sample(interval).quiet_since
    assert quiet is not None and moved < quiet <= moved + QUIET_WINDOW + 2 * interval
    world.kernel.work(world.root, 0.0, io=50_000)
    assert world.sample(max(interval, QUIET_WINDOW)).quiet_since is None


def test_one_pass_for_many_trees() -> None:
    world = World()
    roots = {f"p{n}": world.kernel.fork(1) for n in range(50)}
    processes = {name: OSProcess(pid, 1000.0 + world.kernel.procs[pid].started) for name, pid in roots.items()}
    world.sampler.sample(processes)
    reads = world.kernel.reads
    assert len(world.sampler.sample(processes)) == 50
    assert world.kernel.reads - reads == len(world.kernel.procs), "each process was read once"
