"""The registry's verbs, over a writer whose commits the test decides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headway.errors import Conflict, InvalidInput, NotFound, StoreUnavailable, TooLarge
from headway.model import Status
from headway.registry.mended import dismiss_mended
from headway.registry.outcome import Outcome
from headway.schemas.reports import CreateIn, ProgressIn, UpdateIn
from headway.store.base import LogLine
from headway.store.codec import decode_process, encode_process
from registry_world import START, World, in_loop


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
    version = world.registry.feed.version
    assert world.update("a", alive=True) is process and world.registry.feed.version == version, "nobody is told, nothing is written"
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
    stats = world.registry.totals.names[("job", "task")]
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
    assert world.registry.totals.names[("job", "daemon")].expected_duration == 20
    assert world.registry.view(world.registry.entry(world.create(type="daemon").id)).expected_duration is None
    declared = world.create(type="daemon", expected_duration=30)
    assert world.registry.view(world.registry.entry(declared.id)).expected_duration == 30


@in_loop
async def test_names_beyond_the_limit_count_as_other() -> None:
    world = World(max_names=2)
    for name in ("a", "b", "c", "d"):
        world.update(world.create(name=name).id, status="done")
    assert set(world.registry.totals.names) == {("a", "task"), ("b", "task"), ("other", "task")}
    assert world.registry.totals.names[("other", "task")].finished[Status.DONE] == 2


@in_loop
async def test_a_change_that_cannot_be_stored_is_undone() -> None:
    world = World()
    world.create(id="a")
    world.update("a", log="kept")
    before, names, counts = (
        world.registry.entries["a"].process,
        dict(world.registry.totals.names),
        dict(world.registry.totals.by_status),
    )
    world.writer.immediate = False
    world.update("a", status="done", log="lost", seq=7)
    world.create(id="b", name="new")
    assert world.registry.totals.by_status[Status.DONE] == 1
    world.writer.fail(world.registry)
    assert world.registry.entries["a"].process == before, "the sequence number too, so that the repeat is accepted"
    assert [line.text for line in world.registry.entries["a"].log.tail()] == ["kept"]
    assert "b" not in world.registry.entries
    assert world.registry.totals.names == names and world.registry.totals.by_status == counts
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
    seen = world.registry.feed.version
    world.writer.immediate = False
    world.update("a", status="done")
    await asyncio.sleep(0)
    assert world.registry.feed.version == seen
    world.writer.succeed()
    await asyncio.sleep(0)
    assert [entry.process.id for entry in world.registry.feed.newer_than(seen)] == ["a"]


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
async def test_failed_ones_are_dismissed_after_a_later_one_was_done_where_the_settings_say_so() -> None:
    world = World(mended_retention=600.0)
    for process_id in ("f1", "f2"):
        world.create(id=process_id, name="dump")
        world.update(process_id, status="failed")
    world.create(id="other", name="fetch")
    world.update("other", status="failed")
    world.create(id="kind", name="dump", type="cron")
    world.update("kind", status="failed")
    world.clock.now += 3600
    assert dismiss_mended(world.registry) == [], "no later one was done"
    world.create(id="good", name="dump")
    world.update("good", status="done")
    world.create(id="again", name="dump")
    world.clock.now += 1
    world.update("again", status="failed")
    world.clock.now += 598
    assert dismiss_mended(world.registry) == []
    world.clock.now += 1
    assert dismiss_mended(world.registry) == ["f1", "f2"]
    await asyncio.sleep(0)
    assert {"f1", "f2"}.isdisjoint(world.registry.entries) and world.writer.processes[-1].dismissed_at == world.clock.now
    world.clock.now += 86400
    assert dismiss_mended(world.registry) == [], "those of another name, of another kind, and the one that failed after it, stay"
    assert dismiss_mended(World().registry) == []


@in_loop
async def test_what_was_mended_stays_without_the_setting_and_while_nothing_can_be_stored() -> None:
    for world in (World(), World(mended_retention=0.0)):
        world.create(id="f")
        world.update("f", status="failed")
        world.clock.now += 1
        world.create(id="good")
        world.update("good", status="done")
        world.clock.now += 65
        world.writer.full = True
        assert dismiss_mended(world.registry) == []
        assert world.registry.entry("f").process.dismissed_at is None
    world.writer.full = False
    assert dismiss_mended(world.registry) == ["f"]


@in_loop
@pytest.mark.parametrize(("after", "told_after"), [(60.0, 65.0), (0.0, 5.0)])
async def test_a_failure_is_not_dismissed_before_it_was_told_however_soon_it_is_mended(after: float, told_after: float) -> None:
    """Prometheus has to see it, or the announcer to say it: each failure is told once."""
    world = World(mended_retention=0.0, announce_failures_after=after)
    world.create(id="f")
    world.update("f", status="failed", age=0)
    world.create(id="good")
    world.clock.now += 0.2
    world.update("good", status="done")
    assert dismiss_mended(world.registry) == []
    world.clock.now += told_after - 0.3
    assert dismiss_mended(world.registry) == []
    world.clock.now += 0.2
    assert dismiss_mended(world.registry) == ["f"]
    # One that is heard of late, out of the spool: it is news from then on.
    world.create(id="late", started_age=7200)
    world.update("late", status="failed", age=7000)
    assert dismiss_mended(world.registry) == []
    world.clock.now += told_after + 0.1
    assert dismiss_mended(world.registry) == ["late"]


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


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ({"status": "done", "exit_code": 0}, "killed"),
        ({"status": "failed", "exit_code": 1, "error": "Terminated"}, "killed"),
        ({"status": "cancelled", "exit_code": 143}, "killed"),
        ({"status": "cancelled", "signal": 9}, "killed"),
        ({"status": "timed_out", "exit_code": 143}, "timed_out"),
        ({"status": "done"}, "done"),
        ({"status": "failed", "error": "could not"}, "failed"),
        ({"status": "done", "exit_code": 0, "age": 5}, "done"),  # it was over before
    ],
)
def test_whatever_exit_code_it_takes_a_kill_with_it_was_killed_on_request(word: dict[str, Any], status: str) -> None:
    async def walk() -> None:
        world = World()
        world.create(id="a")
        world.clock.now += 60
        world.registry.move("a", Status.STOPPING, cause="kill asked", cancel_requested_at=world.clock.now)
        world.clock.now += 1
        assert world.update("a", **word).status == status
        assert world.registry.entries["a"].process.exit_code == word.get("exit_code")
        world.clock.now += 1800
        assert world.registry.fade() == ([] if status in ("failed", "timed_out") else ["a"]), "it needs nobody's attention"

    asyncio.run(walk())


@in_loop
async def test_what_is_being_ended_is_not_paused_when_it_is_stopped_before_its_end() -> None:
    world = World()
    world.create(id="a")
    entry = world.registry.entries["a"]
    world.registry.move("a", Status.STOPPING, cause="kill asked", cancel_requested_at=world.clock.now)
    entry.in_hand += 1
    assert world.update("a", status="paused", log="last line").status == Status.STOPPING
    assert entry.process.activity.last_line == "last line", "the rest of the update counts"
    assert world.update("a", status="running").status == Status.STOPPING
    entry.in_hand -= 1
    assert world.update("a", status="paused").status == Status.PAUSED, "nobody ends it any more"


@in_loop
async def test_children_find_their_parent_in_any_order() -> None:
    world = World()
    world.create(id="late-parent-child", parent_id="late")
    world.create(id="late")
    world.create(id="second", parent_id="late")
    assert world.registry.entries["late"].children == {"late-parent-child", "second"}
    world.registry.roll.drop(["second"])
    assert world.registry.entries["late"].children == {"late-parent-child"}
    with pytest.raises(InvalidInput, match="own parent"):
        world.create(id="x", parent_id="x")


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
async def test_a_failure_that_is_run_again_needs_no_attention() -> None:
    world = World()
    for number, (name, user) in enumerate((("flaky", "ann"), ("flaky", "bob"), ("other", "ann"))):
        world.create(id=f"f{number}", name=name, user=user)
        world.update(f"f{number}", status="failed", error="no luck")
    dismissed = {process_id: entry.process.dismissed_at is not None for process_id, entry in world.registry.entries.items()}
    assert dismissed == {"f0": False, "f1": False, "f2": False}
    again = world.create(id="again", name="flaky", user="ann", metadata={"retry": 1, "retry_of": "f0"})
    assert world.registry.entry("f0").process.dismissed_at is not None
    world.update(again.id, status="failed")
    world.create(id="last", name="flaky", user="ann", metadata={"retry": 2, "retry_of": "f0"})
    assert world.registry.entry("again").process.dismissed_at is not None, "the one between is of the same row"
    world.update("last", status="failed")
    assert world.registry.entry("last").process.dismissed_at is None, "the last one stands for all"
    for victim in ("f1", "f2"):
        world.create(name="flaky", user="ann", metadata={"retry_of": victim})
        assert world.registry.entry(victim).process.dismissed_at is None, "another's, or another job, is nobody's to take away"


@in_loop
async def test_a_repetition_stands_though_the_failure_before_it_cannot_be_put_away() -> None:
    world = World()
    world.create(id="first")
    world.update("first", status="failed")

    def full(process_id: str) -> Outcome:
        raise StoreUnavailable("the queue is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.registry, "dismiss", full)
        assert world.create(id="again", metadata={"retry_of": "first"}).id == "again"
    assert world.registry.entry("first").process.dismissed_at is None
