"""Who is asked about for the gate bottleneck, and how often: a thousand tasks of one program are one neighbour, not a thousand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from headway.model import OSProcess, Process
from headway.registry.entry import Entry
from headway.registry.logs import LogTail
from headway.registry.neighbours import Neighbours
from headway.samples import Sample
from headway.view import Limits
from records import T0, process

LIMITS = Limits(stuck_after=60, time_sink_ratio=2, cpu_ratio=0.8, memory_ratio=0.7)
PROGRAM, OTHER = OSProcess(10, T0), OSProcess(20, T0)
BUSY = Sample(at=T0 + 1, alive=True, cpu_ratio=0.95)
IDLE = Sample(at=T0 + 1, alive=True, cpu_ratio=0.1)


# The trees of a script with two workers.
TREES = {"script": frozenset({40, 41, 42}), "one": frozenset({41}), "two": frozenset({42})}


class Asked:
    """Evidence that counts who was asked about; the program has both CPUs, the other one of them, `apart` a third."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def pids(self, key: str) -> frozenset[int]:
        return TREES.get(key, frozenset())

    def cpus(self, key: str) -> frozenset[int] | None:
        self.asked[key] += 1
        return frozenset({2}) if key == "apart" else frozenset({0, 1})

    def memory_wait(self, key: str, at: float) -> float | None:
        return None

    def forget(self, keys: Sequence[str]) -> None:
        pass


def entries(*processes: Process) -> dict[str, Entry]:
    return {one.id: Entry(one, LogTail(1, 1), None, T0) for one in processes}


def test_tasks_of_one_program_are_asked_about_once_a_round() -> None:
    evidence = Asked()
    neighbours = Neighbours(evidence)
    tasks = [process(f"t{number}", os_process=OSProcess(PROGRAM.pid, T0 + number / 1e6)) for number in range(500)]
    active = entries(*tasks, process("other", os_process=OTHER), process("apart", os_process=OSProcess(30, T0)))
    for one in active:
        neighbours.waited(one, 0.5)
    for _ in range(2):
        evidence.asked.clear()
        waiting = neighbours.of(active, dict.fromkeys(active), T0 + 1)
        assert len(waiting) == 502
        for task in tasks:
            found = {one.id: one.cpu_wait_ratio for one in neighbours.near(task, BUSY, LIMITS, waiting)}
            assert found == {"other": 0.5, "apart": None}, "on another CPU it waits for somebody else"
        assert evidence.asked.total() == 3
        theirs = {one.id for one in neighbours.near(active["other"].process, BUSY, LIMITS, waiting)}
        assert theirs == {*(task.id for task in tasks), "apart"} and evidence.asked.total() == 3


def test_nobody_waits_for_who_is_not_busy() -> None:
    evidence = Asked()
    neighbours = Neighbours(evidence)
    active = entries(process("a", os_process=PROGRAM), process("b", os_process=OTHER))
    neighbours.waited("b", 0.5)
    waiting = neighbours.of(active, dict.fromkeys(active), T0 + 1)
    for sample in (IDLE, None):
        assert not neighbours.near(active["a"].process, sample, LIMITS, waiting)
    assert evidence.asked.total() == 0
    hog = Sample(at=T0 + 1, alive=True, cpu_ratio=0.1, memory_ratio=0.9)
    assert [one.id for one in neighbours.near(active["a"].process, hog, LIMITS, waiting)] == ["b"]
    assert [one.id for one in neighbours.near(process("without"), BUSY, LIMITS, waiting)] == ["b"]


def test_nobody_waits_for_its_own_workers_nor_they_for_it() -> None:
    neighbours = Neighbours(Asked())
    pids = {"script": 40, "one": 41, "two": 42, "stranger": 50}
    active = entries(*(process(name, os_process=OSProcess(pid, T0)) for name, pid in pids.items()))
    for one in active:
        neighbours.waited(one, 0.5)
    waiting = neighbours.of(active, dict.fromkeys(active), T0 + 1)
    found = {name: {one.id for one in neighbours.near(active[name].process, BUSY, LIMITS, waiting)} for name in pids}
    assert found["script"] == {"stranger"} and found["one"] == {"two", "stranger"} and found["two"] == {"one", "stranger"}
    assert found["stranger"] == {"script", "one", "two"}
