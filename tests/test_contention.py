"""On which CPUs a tree may run, and whether it stalls for memory: from files of /proc and control groups."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from headway.sampler.contention import Contention
from headway.sampler.tree_sampler import TreeSampler
from osprocesses import starting


class Host:
    """A folder that looks like /proc and /sys/fs/cgroup."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        self.members: dict[str, Sequence[int]] = {"tree": (1, 2)}
        self.contention = Contention(
            lambda key: self.members.get(key, ()), proc=self.proc, cgroups=self.cgroups, affinity={1: {0, 1}, 2: {3}}.__getitem__
        )

    def process(self, pid: int, faults: int, group: str = "/") -> None:
        self.write(self.proc / f"{pid}/stat", f"{pid} (a (b) c) S 1 1 1 0 -1 4194304 500 0 {faults} 0 1 1 0 0 20 0 1 0 5 0 0\n")
        self.write(self.proc / f"{pid}/cgroup", f"4:memory:/x\n0::{group}\n")

    def pressure(self, path: Path, seconds: float) -> None:
        self.write(path, f"some avg10=0.00 avg60=0.00 avg300=0.00 total={int(seconds * 1e6)}\nfull avg10=0.00 total=0\n")

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_cpus_are_those_of_anyone_in_the_tree(host: Host) -> None:
    assert host.contention.cpus("tree") == frozenset({0, 1, 3})
    assert host.contention.cpus("nobody") is None


def test_cpus_of_a_process_that_is_gone_are_not_known() -> None:
    def gone(pid: int) -> set[int]:
        raise ProcessLookupError(pid)

    assert Contention(lambda key: (1,), affinity=gone).cpus("tree") is None
    assert Contention(lambda key: (1,), affinity=None).cpus("tree") is None


@pytest.mark.parametrize(("fetched", "expected"), [(500, 0.3), (21, 0.3), (19, 0.0), (0, 0.0)])
def test_a_tree_that_fetches_pages_stalls_as_its_host_does(host: Host, fetched: int, expected: float) -> None:
    for pid in (1, 2):
        host.process(pid, 1000)
    host.pressure(host.proc / "pressure/memory", 50.0)
    assert host.contention.memory_wait("tree", 100.0) is None
    host.process(2, 1000 + fetched)
    host.pressure(host.proc / "pressure/memory", 50.6)
    assert host.contention.memory_wait("tree", 102.0) == pytest.approx(expected)


def test_the_pressure_of_its_own_control_group_counts_where_it_has_one(host: Host) -> None:
    for pid in (1, 2):
        host.process(pid, 1000, "/shop/worker")
    host.pressure(host.proc / "pressure/memory", 50.0)
    host.pressure(host.cgroups / "shop/worker/memory.pressure", 5.0)
    assert host.contention.memory_wait("tree", 100.0) is None
    host.process(1, 2000, "/shop/worker")
    host.pressure(host.cgroups / "shop/worker/memory.pressure", 6.0)
    assert host.contention.memory_wait("tree", 102.0) == pytest.approx(0.5)


def test_where_the_kernel_counts_no_pressure_nothing_is_known(host: Host) -> None:
    host.process(1, 1000)
    for at in (100.0, 102.0):
        assert host.contention.memory_wait("tree", at) is None


def test_who_is_forgotten_is_asked_for_the_first_time_again(host: Host) -> None:
    host.process(1, 1000)
    host.pressure(host.proc / "pressure/memory", 50.0)
    host.contention.memory_wait("tree", 100.0)
    host.contention.forget(["tree"])
    assert host.contention.memory_wait("tree", 102.0) == 0.0
    host.contention.forget([])
    assert host.contention.memory_wait("tree", 104.0) is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not say where a process may run")
def test_a_real_tree() -> None:
    with starting() as start:
        script = start("say(fork(rest)); rest()")
        (child,) = script.pids()
        one = min(os.sched_getaffinity(0))
        os.sched_setaffinity(script.pid, {one})
        os.sched_setaffinity(child, {one})
        sampler = TreeSampler()
        sampler.sample({"tree": script.process})
        assert sampler.members("tree") == (script.pid, child)
        assert sampler.members("nobody") == ()
        assert Contention(sampler.members).cpus("tree") == frozenset({one})
