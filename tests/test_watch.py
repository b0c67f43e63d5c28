"""What happens to processes without a request: samples, time and who is given up, over a writer whose commits the test decides."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from headway import gates
from headway.model import Condition, Killed, OSProcess, Process, Status, Transition
from headway.registry.changes import HostFacts
from headway.registry.unfinished import Unfinished, left_stopping
from headway.registry.watch import LAST_WORDS, Watch
from headway.registry.zombies import give_up_zombies
from headway.samples import Exit, Sample
from registry_world import HOST, START, World, in_loop


@in_loop
async def test_zombies_are_given_up_after_a_while_with_how_they_ended() -> None:
    world = World(zombie_cleanup=600.0)
    for number, process_id in enumerate(("coded", "known", "silent", "stopped", "held", "alive"), 1):
        world.create(id=process_id, host="here", pid=number, create_time=START - 5)
    world.registry.move("stopped", Status.STOPPING, cause="kill asked by ann", cancel_requested_at=START)
    world.registry.entry("held").in_hand = 1
    entries = world.registry.entries
    for process_id, entry in entries.items():
        entry.sample = Sample(at=START + 700, alive=True, zombie_since=None if process_id == "alive" else START + 100)
    world.watch.exit_of = {"known": Exit(at=START + 99, signal=9), "silent": Exit(at=START + 99)}.get
    world.clock.now = START + 699
    assert give_up_zombies(world.watch, lambda pid: None) == []
    world.clock.now += 1
    found = give_up_zombies(world.watch, lambda pid: Exit(at=START + 700, code=3) if pid == 1 else None)
    assert found == ["coded", "known", "silent", "stopped"]
    words = "and its parent has not waited for it for 10 min; it never said how it ended"
    assert entries["coded"].process.error == f"its OS process exited with code 3, {words}"
    assert entries["known"].process.error == f"its OS process ended by SIGKILL, {words}"
    assert entries["silent"].process.error == f"its OS process ended, {words}"
    assert {world.status(one) for one in found[:3]} == {Status.ORPHANED} and world.status("stopped") is Status.KILLED
    assert [entries[one].process.finished_at for one in found] == [START + 100, START + 99, START + 99, START + 100]
    assert world.status("held") is world.status("alive") is Status.RUNNING


@in_loop
async def test_what_an_exporter_left_stopping_comes_to_its_truth() -> None:
    world = World(stop_grace=5.0)
    steps = {}
    for number, process_id in enumerate(("lives", "stands", "gone", "zombie", "cancelled", "says-so", "again", "unseen"), 1):
        world.create(id=process_id, host="here", pid=number, create_time=START - 5)
        asked = START - 60 if process_id == "cancelled" else START
        world.registry.move(process_id, Status.STOPPING, cause="kill asked by ann", cancel_requested_at=asked)
        cause = "reported" if process_id == "says-so" else "kill asked by ann"
        steps[process_id] = [Transition(process_id, START, Status.RUNNING, Status.STOPPING, cause)]
    entries = world.registry.entries
    left = left_stopping([entry.process for entry in entries.values()])
    assert len(left) == 8 and left_stopping([world.create(id="other")]) == []
    unfinished = Unfinished(world.watch, steps)
    for process_id in set(steps) - {"gone", "unseen"}:
        since = START if process_id == "zombie" else None
        state = "stopped" if process_id == "stands" else "sleeping"
        entries[process_id].sample = Sample(at=START, alive=True, state=state, zombie_since=since)
    entries["again"].in_hand = 1
    world.clock.now += 4.9
    unfinished.settle()
    assert {world.status(one) for one in steps} == {Status.STOPPING, Status.KILLED} and world.status("zombie") is Status.KILLED
    world.clock.now += 0.1
    for _ in range(2):
        unfinished.settle()
    moved = {one: world.status(one) for one in steps if world.status(one) is not Status.STOPPING}
    running, paused, killed = Status.RUNNING, Status.PAUSED, Status.KILLED
    assert moved == {"lives": running, "stands": paused, "zombie": killed, "cancelled": running}
    assert [entries[one].process.cancel_requested_at for one in ("lives", "cancelled")] == [None, START - 60]
    assert [step.cause for step in world.writer.transitions if step.process_id == "lives"][-1].startswith("it lives on: ")
    world.watch.orphan(entries["gone"], START, "its OS process is gone")
    assert world.status("gone") is Status.KILLED, "as was asked"


@in_loop
async def test_what_was_left_stopping_and_cannot_be_stored_is_tried_again() -> None:
    world = World(stop_grace=0.0)
    process = world.create(id="a", host="here", pid=1, create_time=START - 5)
    world.registry.move("a", Status.STOPPING, cause="kill asked by ann", cancel_requested_at=START)
    world.registry.entry("a").sample = Sample(at=START, alive=True)
    unfinished = Unfinished(world.watch, {"a": [Transition(process.id, START, None, Status.STOPPING, "kill asked by ann")]})
    world.writer.immediate = False
    unfinished.settle()
    assert world.status("a") is Status.RUNNING
    world.registry.commits.undo([token for _, token in world.writer.open])
    world.writer.immediate = True
    assert world.status("a") is Status.STOPPING
    unfinished.settle()
    assert world.status("a") is Status.RUNNING


def sample(at: float, *, alive: bool = True) -> Sample:
    return Sample(at=at, alive=alive)


@in_loop
async def test_a_vanished_os_process_becomes_orphaned_after_its_last_words_had_time() -> None:
    world = World()
    world.create(id="a", pid=4242, create_time=START - 5, host="here", pid_namespace=HOST.pid_namespace)
    assert set(world.watch.roots()) == {"a"}
    world.watch.apply({"a": sample(world.clock.now)})
    world.clock.now += 2
    world.watch.apply({"a": sample(world.clock.now, alive=False)})
    assert world.status("a") is Status.RUNNING
    world.clock.now += LAST_WORDS
    world.watch.apply({"a": sample(world.clock.now, alive=False)})
    process = world.registry.entries["a"].process
    assert process.status is Status.ORPHANED and process.finished_at == START
    assert process.error == "its OS process is gone; it never said how it ended"
    assert world.update("a", status="done", age=6).status is Status.DONE, "its last words may arrive late"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ({"status": "cancelled"}, "which was cancelled"),
        ({"status": "timed_out"}, "which was ended at its timeout"),
        ({"status": "killed", "signal": 15}, None),
        ({"status": "failed"}, None),
        ({"status": "done"}, None),
    ],
    ids=["cancelled", "timed out", "killed by somebody", "failed", "done"],
)
@pytest.mark.parametrize("later", [0, 4, 200])
@in_loop
async def test_what_is_gone_with_the_one_above_it_needs_nobody(end: dict[str, Any], words: str | None, later: int) -> None:
    """It is known that nobody asks whether it ended well; its last words may arrive late all the same."""
    world = World()
    world.create(id="outer", name="Nightly")
    world.create(id="step", parent_id="outer")
    world.create(id="a", parent_id="step", pid=4242, create_time=START - 5, host="here", pid_namespace=HOST.pid_namespace)
    world.watch.apply({"a": sample(world.clock.now)})
    world.clock.now += 30
    world.update("outer", **end)
    world.clock.now += later
    gone = {"a": sample(world.clock.now, alive=False)}
    world.watch.exit_of = {"a": Exit(at=world.clock.now, signal=15)}.get
    world.watch.apply(gone)
    world.clock.now += LAST_WORDS
    world.watch.apply(gone)
    found = world.registry.entries["a"].process
    assert found.status is Status.ORPHANED
    if words is not None and later < 10:
        assert found.dismissed_at == world.clock.now and str(found.error).endswith(f"it ended with Nightly, {words}")
        assert world.update("a", status="done", age=40).status is Status.DONE
    else:
        assert found.dismissed_at is None and str(found.error).endswith("it never said how it ended")


@pytest.mark.parametrize(
    ("asked", "limit", "after", "requested"),
    [(True, None, 3, True), (False, None, 3, False), (True, None, 300, False), (False, 2, 3, True), (False, 9, 3, False)],
    ids=["cancelled", "nobody asked", "long after", "at its timeout", "before its timeout"],
)
@in_loop
async def test_a_kill_of_one_below_is_as_asked(asked: bool, limit: int | None, after: int, requested: bool) -> None:
    world = World()
    world.create(id="outer", timeout=limit)
    world.create(id="inner", parent_id="outer")
    if asked:
        world.registry.request_cancel("outer")
    world.clock.now += after
    state = world.update("inner", status="killed", signal=15).state
    assert isinstance(state, Killed) and state.requested is requested


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
@in_loop
async def test_a_kill_or_a_crash_after_a_timeout_that_ends_nothing_is_not_as_asked(number: int) -> None:
    """The kernel, for want of memory: the one above it goes on."""
    world = World()
    world.create(id="outer", timeout=2)
    world.create(id="inner", parent_id="outer")
    world.clock.now += 60
    state = world.update("inner", status="killed", signal=int(number)).state
    assert isinstance(state, Killed) and not state.requested


@in_loop
async def test_a_reporter_that_was_silent_for_its_lease_and_speaks_again_is_running() -> None:
    words: list[dict[str, Any]] = [
        {"progress": {"current": 3}},
        {"log": "a line"},
        {"stage": "b"},
        {"alive": True},
        {"output": True},
    ]
    for said in words:
        await comes_back(said)


async def comes_back(said: dict[str, Any]) -> None:
    world = World()
    world.create(id="a", lease="10s", progress={"total": 9})
    world.clock.now += 4
    world.update("a", progress={"current": 2})
    world.pass_by(20)
    await asyncio.sleep(0)
    lost = world.registry.entries["a"].process
    assert (lost.status, lost.finished_at) == (Status.ORPHANED, START + 4)
    assert world.update("a", summary="somebody's note").status is Status.ORPHANED
    assert world.update("a", age=25, **said).status is Status.ORPHANED, "that was before"
    process = world.update("a", **said)
    assert process.status is Status.RUNNING and process.started_at == START and process.resumed_at == world.clock.now
    assert world.writer.transitions[-1].after is Status.RUNNING
    world.pass_by(5)
    assert world.status("a") is Status.RUNNING
    world.pass_by(20)
    assert world.status("a") is Status.ORPHANED, "silent again"


@in_loop
async def test_nobody_comes_back_whose_os_process_is_gone() -> None:
    world = World()
    world.create(id="here", pid=4242, create_time=START - 5, host="here", pid_namespace=HOST.pid_namespace)
    world.create(id="unknown", pid=4243, host="here", pid_namespace=HOST.pid_namespace)
    world.watch.orphan(world.registry.entries["here"], START, "its OS process is gone")
    world.clock.now += LAST_WORDS
    world.watch.expire()
    world.clock.now += 1
    for one in ("here", "unknown"):
        assert world.update(one, progress={"current": 3}).status is Status.ORPHANED


@in_loop
async def test_one_that_was_dismissed_and_speaks_again_is_to_be_seen() -> None:
    world = World()
    world.create(id="a", lease="10s")
    world.pass_by(20)
    await asyncio.sleep(0)
    world.registry.dismiss("a")
    dismissed = world.registry.entries["a"].process
    await asyncio.sleep(0)
    assert "a" not in world.registry.entries
    world.registry.recall(dismissed, [])
    assert world.update("a", log="here").dismissed_at is None
    await asyncio.sleep(0)
    assert world.status("a") is Status.RUNNING


@in_loop
async def test_pids_of_other_hosts_and_namespaces_mean_nothing_here() -> None:
    world = World()
    world.create(id="host", pid=1, create_time=START, host="elsewhere")
    world.create(id="namespace", pid=1, create_time=START, host="here", pid_namespace=1)
    world.create(id="unknown", pid=1, host="here")
    assert world.watch.roots() == {}


@in_loop
async def test_a_pid_without_create_time_is_looked_up_on_this_host() -> None:
    world = World()
    found = OSProcess(77, START - 9, HOST.pid_namespace)
    world.registry.host = HostFacts("here", HOST.pid_namespace, lambda pid: found if pid == 77 else None)
    world.create(id="a", pid=77)
    world.create(id="gone", pid=78)
    world.create(id="elsewhere", pid=77, host="there")
    assert world.watch.roots() == {"a": found}


@in_loop
async def test_what_was_sampled_while_it_waited_says_nothing_of_the_work() -> None:
    world = World()
    namespace = HOST.pid_namespace
    world.create(id="a", status="queued", pid=76, create_time=START - 9, host="here", pid_namespace=namespace)
    waits = world.watch.roots()
    world.watch.apply({"a": sample(world.clock.now)._replace(resident_bytes=50)})
    world.update("a", status="running", pid=77, create_time=START - 5, pid_namespace=namespace)
    entry = world.registry.entries["a"]
    assert (entry.sample, entry.usage()) == (None, None)
    world.watch.apply({"a": sample(world.clock.now, alive=False)})  # of a look that began before
    assert (entry.sample, entry.gone_since) == (None, None)
    assert waits["a"].pid == 76 and world.watch.roots() == {"a": OSProcess(77, START - 5, namespace)}
    world.watch.apply({"a": sample(world.clock.now)._replace(resident_bytes=20)})
    world.update("a", status="done")
    usage = entry.process.usage
    assert usage is not None and usage.peak_memory_bytes == 20


@in_loop
async def test_what_had_ended_before_its_beginning_was_told_has_last_words_and_no_lease() -> None:
    world = World()
    world.create(id="a", status="queued")
    world.update("a", status="running", pid=77, pid_namespace=HOST.pid_namespace)
    world.clock.now += LAST_WORDS
    world.watch.expire()
    assert world.status("a") is Status.ORPHANED


@in_loop
async def test_a_silent_reporter_elsewhere_is_given_up_after_its_lease() -> None:
    world = World(lease=300.0)
    world.create(id="a", host="elsewhere")
    world.create(id="q", host="elsewhere", status="queued")
    world.create(id="short", lease="10s")
    world.pass_by(10)
    assert world.status("short") is Status.ORPHANED
    world.pass_by(200)
    world.update("a", alive=True)
    world.pass_by(299)
    assert world.status("a") is Status.RUNNING
    world.pass_by(1)
    assert world.status("a") is Status.ORPHANED
    assert world.status("q") is Status.QUEUED


@in_loop
async def test_who_waits_for_a_person_and_cannot_be_watched_is_not_given_up_meanwhile() -> None:
    """A shell script that waits for an approval says nothing else until it has it. After a day nobody believes that it does."""
    world = World(lease=300.0)
    world.create(id="a", host="elsewhere")
    world.update("a", waiting_for="approval of the import")
    world.create(id="gone", host="elsewhere")
    world.update("gone", waiting_for="an answer")
    world.pass_by(86399)
    assert world.status("a") is Status.RUNNING
    world.update("a", waiting_for=None)
    world.pass_by(299)
    assert (world.status("a"), world.status("gone")) == (Status.RUNNING, Status.ORPHANED)
    world.pass_by(1)
    assert world.status("a") is Status.ORPHANED


@in_loop
async def test_conditions_come_and_go_and_are_counted_once() -> None:
    world = World(stuck_after=60.0)
    world.create(id="a", progress={"total": 10})
    for _ in range(35):
        world.clock.now += 2
        world.watch.evaluate()
    reports = world.registry.entries["a"].conditions
    assert [r.condition for r in reports] == [Condition.STUCK]
    assert reports[0].since == START + 60
    assert world.registry.totals.names[("job", "task")].gate_trips == {"stuck": 1}
    world.update("a", progress={"current": 1})
    world.watch.evaluate()
    assert world.registry.entries["a"].conditions == ()


@in_loop
async def test_one_record_that_no_gate_can_read_silences_no_other() -> None:
    world = World(stuck_after=60.0)
    for process_id in ("a", "odd", "z"):
        world.create(id=process_id, progress={"total": 10})
    conditions = gates.conditions

    def failing(process: Process, **more: Any) -> Any:
        if process.id == "odd":
            raise OverflowError("cannot convert float infinity to integer")
        return conditions(process, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "conditions", failing)
        for _ in range(35):
            world.clock.now += 2
            world.watch.evaluate()
    assert [bool(world.registry.entries[i].conditions) for i in ("a", "odd", "z")] == [True, False, True]


@in_loop
async def test_a_silent_parent_of_a_busy_child_is_alive() -> None:
    world = World(stuck_after=60.0)
    world.create(id="parent", progress={"total": 2})
    world.create(id="child", parent_id="parent", progress={"total": 100})
    for step in range(40):
        world.clock.now += 2
        world.update("child", progress={"current": step + 1})
        world.watch.evaluate()
    assert world.registry.entries["parent"].conditions == ()


@in_loop
async def test_the_time_the_machine_slept_is_nobodys_silence() -> None:
    world = World(stuck_after=60.0)
    world.create(id="a", progress={"total": 10})
    world.watch.evaluate()
    world.clock.now += 3600
    world.watch.evaluate()
    assert world.registry.entries["a"].conditions == ()


@in_loop
async def test_no_lease_runs_while_nobody_watched() -> None:
    for jump in (3600.0, -3600.0):
        world = World(lease=300.0)
        world.create(id="a", host="elsewhere")
        world.pass_by(20)
        world.clock.now += jump
        world.pass_by(280)
        assert world.status("a") is Status.RUNNING
        world.pass_by(40)
        assert world.status("a") is Status.ORPHANED


@in_loop
async def test_who_is_gone_waits_for_nobody() -> None:
    """Its last words are waited for, but it needs no CPU any more."""
    world = World(lease=300.0)
    for process_id, pid in (("hog", 1), ("victim", 2)):
        world.create(id=process_id, pid=pid, create_time=START)
    for step in range(3):
        at = world.clock.now = START + 2 * step
        hog = Sample(at=at, alive=True, cpu_ratio=0.95, cpu_wait_seconds=0.0)
        world.watch.apply({"hog": hog, "victim": Sample(at=at, alive=True, cpu_ratio=0.0, cpu_wait_seconds=1.5 * step)})
        world.watch.evaluate()
    assert world.conditions("hog") == [Condition.BOTTLENECK]
    world.watch.exited("victim", Exit(at=world.clock.now))
    world.watch.evaluate()
    assert world.conditions("hog") == []


class Separate:
    """Each tree on a CPU of its own, and `stalling` stalls for memory."""

    def __init__(self, cpus: dict[str, set[int]], stalling: str = "") -> None:
        self._cpus, self._stalling = cpus, stalling

    def pids(self, key: str) -> frozenset[int]:
        return frozenset()

    def cpus(self, key: str) -> frozenset[int] | None:
        return frozenset(self._cpus[key])

    def memory_wait(self, key: str, at: float) -> float | None:
        return 0.4 if key == self._stalling else 0.0

    def forget(self, keys: Sequence[str]) -> None:
        pass


@in_loop
async def test_only_who_can_be_in_the_way_is_blamed() -> None:
    world = World()
    world.watch.neighbours.evidence = Separate({"hog": {0}, "here": {0, 1}, "there": {1}})
    for pid, process_id in enumerate(("hog", "here", "there"), 1):
        world.create(id=process_id, name=process_id, pid=pid, create_time=START)
    for step in range(3):
        at = world.clock.now = START + 2 * step
        waits = Sample(at=at, alive=True, cpu_ratio=0.1, cpu_wait_seconds=1.5 * step)
        world.watch.apply({"hog": waits._replace(cpu_ratio=0.95), "here": waits, "there": waits})
        world.watch.evaluate()
    (report,) = world.registry.entries["hog"].conditions
    assert "while here waits for it" in report.reason
    assert (world.registry.entries["here"].blocked_by, world.registry.entries["there"].blocked_by) == (("hog",), ())


@in_loop
async def test_who_stalls_for_memory_is_blocked_by_who_holds_it() -> None:
    world = World()
    world.watch.neighbours.evidence = Separate({}, stalling="reader")
    for pid, process_id in enumerate(("hog", "reader", "other"), 1):
        world.create(id=process_id, name=process_id, pid=pid, create_time=START)
    for step in range(3):
        at = world.clock.now = START + 2 * step
        small = Sample(at=at, alive=True, cpu_ratio=0.1, cpu_wait_seconds=0.0, memory_ratio=0.1)
        world.watch.apply({"hog": small._replace(memory_ratio=0.75), "reader": small, "other": small})
        world.watch.evaluate()
    (report,) = world.registry.entries["hog"].conditions
    assert report.reason == "memory at 75% of what there is while reader waits for it"


@in_loop
async def test_who_works_on_after_the_clock_was_set_back_is_not_stuck() -> None:
    world = World(stuck_after=60.0)
    world.create(id="parent", progress={"total": 2})
    world.create(id="a", parent_id="parent", progress={"total": 100})
    world.create(id="hangs", progress={"total": 100})
    world.update("a", progress={"current": 1})
    world.pass_by(20)
    world.clock.now -= 3600
    for step in range(8):
        world.update("a", progress={"current": step + 2})
        world.pass_by(10)
    found = {process_id: world.conditions(process_id) for process_id in ("parent", "a", "hangs")}
    assert found == {"parent": [], "a": [], "hangs": [Condition.STUCK]}


@in_loop
async def test_output_that_is_no_line_yet_is_output() -> None:
    world = World(stuck_after=60.0)
    for process_id in ("dots", "question"):
        world.create(id=process_id)
        world.update(process_id, output=True)
    for _ in range(8):
        world.pass_by(10)
        world.update("dots", output=True)
    assert (world.conditions("dots"), world.conditions("question")) == ([], [Condition.STUCK])


@in_loop
async def test_who_goes_on_is_given_time() -> None:
    world = World(stuck_after=60.0)
    world.create(id="a", progress={"total": 10})
    world.update("a", status="paused")
    world.pass_by(100)
    world.update("a", status="running")
    world.pass_by(50)
    assert world.conditions("a") == []
    world.pass_by(10)
    assert world.conditions("a") == [Condition.STUCK]


@in_loop
async def test_a_silence_that_began_before_the_exporter_says_what_was_watched() -> None:
    world = World(lease=300.0)
    world.create(id="a")
    world.clock.now += 1000
    world.watch = Watch(world.registry)
    world.pass_by(290)
    assert world.status("a") == "running"
    world.pass_by(20)
    lost = world.registry.entries["a"].process
    assert (lost.error or "").startswith("its reporter was silent for 5 min that the exporter watched; ")
    world.create(id="b")
    world.pass_by(310)
    assert (world.registry.entries["b"].process.error or "").startswith("its reporter was silent for 5 min; ")
