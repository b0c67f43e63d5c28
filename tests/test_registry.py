"""The registry's verbs, over a writer whose commits the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from headway import gates
from headway.errors import Conflict, InvalidInput, NotFound, StoreUnavailable, TooLarge
from headway.model import Condition, OSProcess, Process, Status, Transition
from headway.registry.changes import HostFacts
from headway.registry.unfinished import Unfinished, left_stopping
from headway.registry.watch import LAST_WORDS, Watch
from headway.registry.zombies import give_up_zombies
from headway.samples import Exit, Sample
from headway.schemas import CreateIn, ProgressIn, UpdateIn
from headway.store.base import LogLine
from headway.store.codec import decode_process, encode_process
from registry_world import HOST, START, World, in_loop


@in_loop
async def test_a_creation_starts_running_now_or_a_while_ago() -> None:
    world = World()
    now = world.create(id="a")
    earlier = world.create(id="b", started_age=90)
    assert (now.status, now.started_at) == (Status.RUNNING, START)
    assert earlier.started_at == START - 90
    assert world.create(id="c", status="queued").started_at is None


@in_loop
async def test_a_repeated_creation_changes_nothing_and_waits_for_the_first() -> None:
    world = World()
    world.writer.immediate = False
    form = CreateIn(name="job", type="task", id="a")  # type: ignore[arg-type]
    first = world.registry.create(form)
    again = world.registry.create(form)
    assert first.created and not again.created
    assert again.stored is first.stored, "a repeat must not be acknowledged before the creation is durable"
    with pytest.raises(Conflict, match="in use"):
        world.create(id="a", name="another")


@in_loop
async def test_ids_that_are_path_words_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        World().create(id="stats")
    assert caught.value.field == "id"


@in_loop
async def test_updates_move_progress_and_keep_what_was_not_sent() -> None:
    world = World()
    world.create(id="a", progress={"total": 80, "unit": "sessions"})
    world.clock.now += 10
    process = world.update("a", progress={"current": 51}, log=["one", "two"])
    assert (process.activity.current, process.activity.total, process.activity.unit) == (51, 80, "sessions")
    assert process.activity.last_progress_at == process.activity.last_output_at == START + 10
    assert process.activity.last_line == "two"
    world.clock.now += 10
    process = world.update("a", alive=True)
    assert process.activity.last_progress_at == START + 10, "a heartbeat is not progress"
    assert process.activity.updated_at == START + 10
    assert world.update("a", progress={"unit": None}).activity.unit is None


@in_loop
async def test_repeats_are_ignored_by_sequence_number() -> None:
    world = World()
    world.create(id="a")
    world.update("a", seq=2, log="two")
    outcome = world.registry.update("a", UpdateIn(seq=2, log="two"))
    assert outcome.duplicate
    assert [line.text for line in world.registry.entries["a"].log.tail()] == ["two"]


@in_loop
async def test_the_age_of_an_event_is_its_time() -> None:
    world = World()
    world.create(id="a")
    world.clock.now += 100
    assert world.update("a", status="done", age=40).finished_at == START + 60
    world.create(id="b")
    assert world.update("b", status="done", age=4000).finished_at == START + 100, "never before the creation"


@pytest.mark.parametrize(
    ("path", "last"),
    [
        (["running", "paused", "running", "done"], "done"),
        (["running", "stopping", "cancelled"], "cancelled"),
        (["failed"], "failed"),
        (["running", "timed_out"], "timed_out"),
        (["running", "orphaned", "running", "done"], "done"),
        (["running", "orphaned", "done"], "done"),
    ],
)
def test_legal_paths(path: list[str], last: str) -> None:
    async def walk() -> None:
        world = World()
        world.create(id="a", status="queued")
        for status in path:
            world.clock.now += 1
            world.update("a", status=status)
        assert world.registry.entries["a"].process.status == last
        assert [t.after for t in world.writer.transitions] == ["queued", *path]
        assert [t.before for t in world.writer.transitions] == [None, "queued", *path[:-1]]

    asyncio.run(walk())


@pytest.mark.parametrize(
    ("ended", "next_status"), [("done", "running"), ("failed", "done"), ("killed", "running"), ("done", "failed")]
)
def test_the_end_is_final(ended: str, next_status: str) -> None:
    async def walk() -> None:
        world = World()
        world.create(id="a")
        world.update("a", status=ended)
        with pytest.raises(Conflict) as caught:
            world.update("a", status=next_status)
        assert "is final" in caught.value.detail and caught.value.field == "status"
        assert world.registry.entries["a"].process.status == ended
        world.update("a", status=ended)

    asyncio.run(walk())


@in_loop
async def test_an_error_belongs_to_an_ended_process() -> None:
    world = World()
    world.create(id="a")
    with pytest.raises(InvalidInput, match="final status"):
        world.update("a", error="boom")
    process = world.update("a", status="failed", error="boom", exit_code=3)
    assert (process.error, process.exit_code) == ("boom", 3)
    world.create(id="b")
    world.update("b", status="failed", error="boom")
    assert world.update("b", exit_code=4).exit_code == 4


@in_loop
async def test_the_first_final_word_counts() -> None:
    world = World()
    world.create(id="a", progress={"current": 1, "total": 2})
    world.clock.now += 10
    ended = world.update("a", status="failed", summary="first", error="boom", exit_code=1, stage="last")
    world.clock.now += 10
    late = world.update(
        "a", status="failed", summary="again", error="no", exit_code=2, signal=9, stage="new", progress={"current": 5}, rate=1
    )
    assert (late.activity.summary, late.error, late.exit_code, late.activity.stage) == ("first", "boom", 1, "last")
    assert (late.activity.current, late.activity.rate, late.finished_at) == (1, None, ended.finished_at)
    assert late.signal == 9, "what was left open can be told later"
    assert world.update("a", summary=None).activity.summary == "first"
    told = world.update("a", metadata={"tokens": 5}, log="flushed late")
    assert told.metadata == {"tokens": 5} and told.activity.last_line == "flushed late"
    assert world.update("a", progress={"current": 2}, age=15).activity.current == 2, "work before the end may be told late"


@in_loop
async def test_an_end_without_a_summary_takes_a_later_one_and_the_lost_may_come_back() -> None:
    world = World()
    for one, status in (("a", "done"), ("b", "orphaned")):
        world.create(id=one)
        world.update(one, status=status)
        world.clock.now += 5
        assert world.update(one, summary="late").activity.summary == "late"
    assert world.update("b", progress={"current": 7}, summary="goes on").activity.current == 7
    assert world.registry.entries["b"].process.activity.summary == "goes on"


@in_loop
async def test_what_is_said_beside_done_is_kept() -> None:
    """Not refused: the final word of a reporter that always sent an error would be lost, and its process orphaned."""
    world = World()
    world.create(id="a")
    process = world.update("a", status="done", exit_code=3, signal=15, error="bad")
    assert (process.status, process.exit_code, process.signal, process.error) == (Status.DONE, 3, 15, "bad")
    assert decode_process("a", encode_process(process)) == process


@in_loop
async def test_metadata_merges_and_null_removes() -> None:
    world = World(max_metadata_bytes=100)
    world.create(id="a", metadata={"model": "m", "tokens": {"input": 1}, "gone": None})
    process = world.update("a", metadata={"tokens": {"output": 2}, "model": None})
    assert process.metadata == {"tokens": {"input": 1, "output": 2}}
    with pytest.raises(TooLarge) as caught:
        world.update("a", metadata={"big": "x" * 100})
    assert caught.value.field == "metadata"
    assert world.registry.entries["a"].process.metadata == process.metadata


@in_loop
async def test_secrets_in_commands_are_masked() -> None:
    process = World().create(command="deploy --token=hunter2secret --to prod")
    assert process.spec.command is not None
    assert "hunter2secret" not in process.spec.command and "--to prod" in process.spec.command


@in_loop
async def test_totals_of_a_name_grow_with_its_ends() -> None:
    world = World()
    for duration in (10, 20, 60):
        process = world.create()
        world.clock.now += duration
        world.update(process.id, status="done")
    stats = world.registry.names[("job", "task")]
    assert stats.finished == {Status.DONE: 3}
    assert stats.expected_duration == 20
    assert world.writer.names[0].finished == {}, "a name is stored at 0 when it is first seen"
    assert world.registry.view(world.registry.entry(world.create().id)).expected_duration == 20


@in_loop
async def test_how_long_daemons_lived_is_no_expectation_for_the_next() -> None:
    world = World()
    for duration in (10, 20, 60):
        process = world.create(type="daemon")
        world.clock.now += duration
        world.update(process.id, status="done")
    assert world.registry.names[("job", "daemon")].expected_duration == 20
    assert world.registry.view(world.registry.entry(world.create(type="daemon").id)).expected_duration is None
    declared = world.create(type="daemon", expected_duration=30)
    assert world.registry.view(world.registry.entry(declared.id)).expected_duration == 30


@in_loop
async def test_names_beyond_the_limit_count_as_other() -> None:
    world = World(max_names=2)
    for name in ("a", "b", "c", "d"):
        world.update(world.create(name=name).id, status="done")
    assert set(world.registry.names) == {("a", "task"), ("b", "task"), ("other", "task")}
    assert world.registry.names[("other", "task")].finished[Status.DONE] == 2


@in_loop
async def test_a_change_that_cannot_be_stored_is_undone() -> None:
    world = World()
    world.create(id="a")
    world.update("a", log="kept")
    before, names, counts = world.registry.entries["a"].process, dict(world.registry.names), dict(world.registry.status_counts)
    world.writer.immediate = False
    world.update("a", status="done", log="lost", seq=7)
    world.create(id="b", name="new")
    assert world.registry.status_counts[Status.DONE] == 1
    world.writer.fail(world.registry)
    assert world.registry.entries["a"].process == before, "the sequence number too, so that the repeat is accepted"
    assert [line.text for line in world.registry.entries["a"].log.tail()] == ["kept"]
    assert "b" not in world.registry.entries
    assert world.registry.names == names and world.registry.status_counts == counts
    world.writer.immediate = True
    assert world.update("a", status="done", seq=7).status is Status.DONE


@in_loop
async def test_a_full_writer_refuses_and_nothing_changes() -> None:
    world = World()
    world.create(id="a")
    world.writer.full = True
    with pytest.raises(StoreUnavailable):
        world.update("a", status="done")
    with pytest.raises(StoreUnavailable):
        world.create(id="b")
    assert world.status("a") is Status.RUNNING
    assert "b" not in world.registry.entries


@in_loop
async def test_a_change_is_published_only_after_it_was_stored() -> None:
    world = World()
    world.create(id="a")
    await asyncio.sleep(0)
    seen = world.registry.version
    world.writer.immediate = False
    world.update("a", status="done")
    await asyncio.sleep(0)
    assert world.registry.version == seen
    world.writer.succeed()
    await asyncio.sleep(0)
    assert [entry.process.id for entry in world.registry.newer_than(seen)] == ["a"]


@in_loop
async def test_done_fades_and_failed_stays_until_dismissed() -> None:
    world = World(active_retention=1800.0)
    ends = {"d": "done", "c": "cancelled", "f": "failed", "t": "timed_out", "k": "killed", "o": "orphaned"}
    for process_id, status in ends.items():
        world.create(id=process_id)
        world.update(process_id, status=status)
    world.clock.now += 1799
    assert world.registry.fade() == []
    world.clock.now += 1
    assert sorted(world.registry.fade()) == ["c", "d"]
    world.registry.dismiss("f")
    await asyncio.sleep(0)
    assert sorted(world.registry.entries) == ["k", "o", "t"]
    world.create(id="r")
    with pytest.raises(Conflict, match="only an ended one"):
        world.registry.dismiss("r")
    with pytest.raises(NotFound):
        world.registry.dismiss("nobody")


@in_loop
async def test_orphaned_ones_stay_in_view_for_a_day_since_they_were_found() -> None:
    world = World()
    world.create(id="o")
    world.clock.now += 3 * 86400  # no exporter ran meanwhile
    world.watch.orphan(world.registry.entry("o"), START + 60, "its OS process is gone")
    world.create(id="f")
    world.update("f", status="failed")
    world.clock.now += 86399
    assert world.registry.fade() == []
    world.clock.now += 1
    assert world.registry.fade() == ["o"]
    assert list(world.registry.entries) == ["f"]


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
    world.registry.undo([token for _, token in world.writer.open])
    world.writer.immediate = True
    assert world.status("a") is Status.STOPPING
    unfinished.settle()
    assert world.status("a") is Status.RUNNING


@in_loop
async def test_a_cancel_request_reaches_the_reporter_and_marks_the_end_as_requested() -> None:
    world = World()
    world.create(id="a")
    world.registry.request_cancel("a")
    assert world.registry.update("a", UpdateIn(progress=ProgressIn(current=1))).cancel_requested
    world.update("a", status="killed", signal=15)
    assert world.registry.fade() == []
    world.clock.now += 1800
    assert world.registry.fade() == ["a"], "killed on request needs nobody's attention"
    with pytest.raises(NotFound):
        world.registry.request_cancel("a")


@in_loop
async def test_children_find_their_parent_in_any_order() -> None:
    world = World()
    world.create(id="late-parent-child", parent_id="late")
    world.create(id="late")
    world.create(id="second", parent_id="late")
    assert world.registry.entries["late"].children == {"late-parent-child", "second"}
    world.registry.drop(["second"])
    assert world.registry.entries["late"].children == {"late-parent-child"}
    with pytest.raises(InvalidInput, match="own parent"):
        world.create(id="x", parent_id="x")


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
async def test_conditions_come_and_go_and_are_counted_once() -> None:
    world = World(stuck_after=60.0)
    world.create(id="a", progress={"total": 10})
    for _ in range(35):
        world.clock.now += 2
        world.watch.evaluate()
    reports = world.registry.entries["a"].conditions
    assert [r.condition for r in reports] == [Condition.STUCK]
    assert reports[0].since == START + 60
    assert world.registry.names[("job", "task")].gate_trips == {"stuck": 1}
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
async def test_load_takes_over_what_was_active() -> None:
    world = World()
    process = world.create(id="a", progress={"current": 5, "total": 10})
    later = World()
    later.clock.now += 60
    later.registry.load([process], [], {Status.RUNNING: 1}, lambda _: [LogLine("a", 7, START, "before")])
    assert later.registry.entries["a"].process == process
    later.update("a", log="after")
    assert [(line.number, line.text) for line in later.registry.entries["a"].log.tail()] == [(7, "before"), (8, "after")]


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
