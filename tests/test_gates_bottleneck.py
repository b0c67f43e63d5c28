"""The gate bottleneck: who is blamed for whose waiting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate_cases import LIMITS, START, process, sample, the
from headway.gates import (
    Neighbour,
    bottleneck,
    conditions,
    cpu_wait_ratio,
)
from headway.model import (
    OSProcess,
    Severity,
)


@pytest.mark.parametrize(
    ("cpu", "waits", "fires"), [(0.8, 0.1, True), (0.799, 0.5, False), (0.8, 0.099, False), (None, 0.5, False), (0.9, None, False)]
)
def test_bottleneck_needs_a_hog_and_someone_who_waits(cpu: float | None, waits: float | None, fires: bool) -> None:
    found = bottleneck(
        process(),
        limits=LIMITS,
        sample=sample(START, cpu_ratio=cpu),
        neighbours=[Neighbour(id="n", name="tests", cpu_wait_ratio=waits)],
    )
    assert (found is not None) is fires


def test_a_hog_alone_is_no_bottleneck() -> None:
    assert bottleneck(process(), limits=LIMITS, sample=sample(START, cpu_ratio=2.0)) is None
    assert bottleneck(process(), limits=LIMITS, sample=None, neighbours=[Neighbour(id="n", name="t", cpu_wait_ratio=1.0)]) is None


def test_bottleneck_names_whom_it_blocks() -> None:
    waiting = [Neighbour(id=f"n{i}", name=f"job{i}", cpu_wait_ratio=0.1 * i) for i in range(1, 6)]
    read = sample(START + 4, cpu_ratio=1.204)
    one = the(bottleneck(process(), limits=LIMITS, sample=read, neighbours=waiting[:1]))
    assert one.reason == "CPU at 1.20 of a core while job1 waits for it (up to 0.10 s per second)"
    assert (one.severity, one.since) == (Severity.WARNING, START + 4)
    all_five = the(bottleneck(process(), limits=LIMITS, sample=read, neighbours=waiting))
    assert all_five.reason == "CPU at 1.20 of a core while job5, job4, job3 and 2 more wait for it (up to 0.50 s per second)"


def test_memory_bottleneck() -> None:
    waiting = [Neighbour(id="n", name="tests", memory_wait_ratio=0.1)]
    found = the(bottleneck(process(), limits=LIMITS, sample=sample(START, memory_ratio=0.7), neighbours=waiting))
    assert found.reason == "memory at 70% of what there is while tests waits for it"
    assert bottleneck(process(), limits=LIMITS, sample=sample(START, memory_ratio=0.699), neighbours=waiting) is None
    assert bottleneck(process(), limits=LIMITS, sample=sample(START, cpu_ratio=1.0), neighbours=waiting) is None
    both = the(
        bottleneck(
            process(),
            limits=LIMITS,
            sample=sample(START, memory_ratio=0.75, cpu_ratio=0.9),
            neighbours=[*waiting, Neighbour(id="m", name="lint", cpu_wait_ratio=0.3)],
        )
    )
    assert (
        both.reason
        == "CPU at 0.90 of a core and memory at 75% of what there is while lint, tests wait for it (up to 0.30 s per second)"
    )


def test_its_own_family_is_not_blocked_by_it() -> None:
    read = sample(START, cpu_ratio=1.0)
    parent = Neighbour(id="parent", name="parent", cpu_wait_ratio=1.0)
    child = Neighbour(id="child", name="child", cpu_wait_ratio=1.0, ancestors=frozenset({"p1", "parent"}))
    itself = Neighbour(id="p1", name="build", cpu_wait_ratio=1.0)
    found = bottleneck(process(), limits=LIMITS, sample=read, neighbours=[parent, child, itself], ancestors={"parent"})
    assert found is None


def test_what_shares_its_os_process_is_not_blocked_by_it() -> None:
    here, elsewhere = OSProcess(7, 100.0), OSProcess(8, 100.0)
    hog = replace(process(), spec=replace(process().spec, os_process=here))
    read = sample(START, cpu_ratio=1.0)
    twin = Neighbour(id="twin", name="second half", os_process=here, cpu_wait_ratio=1.0)
    other = Neighbour(id="other", name="tests", os_process=elsewhere, cpu_wait_ratio=1.0)
    assert bottleneck(hog, limits=LIMITS, sample=read, neighbours=[twin]) is None
    assert "tests waits" in the(bottleneck(hog, limits=LIMITS, sample=read, neighbours=[twin, other])).reason


def test_a_lasting_bottleneck_keeps_its_beginning() -> None:
    waiting = [Neighbour(id="n", name="tests", cpu_wait_ratio=0.3)]
    first = conditions(process(), now=START, limits=LIMITS, sample=sample(START, cpu_ratio=1.0), neighbours=waiting)
    later = conditions(
        process(), now=START + 9, limits=LIMITS, sample=sample(START + 9, cpu_ratio=1.0), neighbours=waiting, before=first
    )
    assert [r.since for r in later] == [START]


def test_cpu_wait_ratio_is_the_delay_per_second() -> None:
    before, after = sample(10.0, cpu_wait_seconds=5.0), sample(12.0, cpu_wait_seconds=5.5)
    assert cpu_wait_ratio(before, after) == 0.25
    assert cpu_wait_ratio(after, before._replace(at=14.0)) == 0.0
    for unknown in (None, sample(10.0), sample(12.0, cpu_wait_seconds=1.0), sample(13.0, cpu_wait_seconds=1.0)):
        assert cpu_wait_ratio(unknown, after) is None
