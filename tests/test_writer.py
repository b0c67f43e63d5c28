"""The group-commit writer: order, groups, failures and what is undone, over real SQLite files and stores that fail on command."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway.errors import StoreUnavailable
from headway.model import Done, Kind, Process, Running, Status, Transition
from headway.names import NameStats
from headway.store.base import Batch
from headway.store.memory import MemoryStore
from headway.store.sqlite import SQLiteStore
from headway.store.writer import HAND_OVER_AFTER, Writer
from records import T0, created, line, process
from writer_world import Trial, busy, ended, full, held, play, until

# ── groups and order ────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_that_waits_becomes_one_group_and_all_are_told() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        waiting = [writer.commit(processes=[process(f"p{i}")], transitions=[created(process(f"p{i}"))]) for i in range(50)]
        assert writer.pending == 51 and not first.done()
        trial.open.set()
        await asyncio.gather(first, *waiting)
        assert (writer.pending, writer.commits_total, writer.commit_groups_total) == (0, 51, 2)
        assert writer.last_commit_seconds is not None and writer.last_error is None
        assert [p.id for p in trial.batches[1].processes] == [f"p{i}" for i in range(50)]

    play(scenario)


def test_one_wake_up_of_the_loop_per_group(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe
        calls: list[object] = []

        def counted(callback: Callable[..., object], *args: object) -> object:
            calls.append(callback)
            return wake(callback, *args)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        waiting = [writer.commit(processes=[process(f"p{i}")]) for i in range(50)]
        trial.open.set()
        await asyncio.gather(first, *waiting)
        assert len(calls) == 2

    play(scenario)


def test_a_commit_is_durable_when_its_future_resolves(tmp_path: Path) -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        p = process("a")
        stats = NameStats(name="job", kind=Kind.TASK).with_end(ended(p))
        await writer.commit(processes=[p], transitions=[created(p)], lines=[line("a", 1)], names=[stats])
        other = SQLiteStore(tmp_path / "headway.db")
        assert other.get("a") == p and other.transitions("a") == [created(p)] and other.lines("a", 9) == [line("a", 1)]
        assert other.load(done_since=0).names == [stats]
        other.close()

    play(scenario, store=SQLiteStore(tmp_path / "headway.db"))


def test_what_is_written_behind_arrives_within_a_second_and_only_the_latest(tmp_path: Path) -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        p = process("a")
        await writer.commit(processes=[p])
        for i in range(1000):
            writer.behind(process=process("a", current=i), lines=[line("a", i + 1)] if i % 10 == 0 else ())
        writer.behind(names=[NameStats(name="job", kind=Kind.TASK, gate_trips={"stuck": 1})])
        await until(lambda: trial.get("a") == process("a", current=999), "the latest record arrives")
        assert len(trial.lines("a", 999)) == 100 and trial.load(done_since=0).names[0].gate_trips == {"stuck": 1}
        await until(lambda: writer.commit_groups_total == 2, "its thread counts it")

    play(scenario, store=SQLiteStore(tmp_path / "headway.db"), hand_over_after=0.7)
    assert HAND_OVER_AFTER < 1


def test_of_a_holder_the_record_is_written_that_it_has_when_it_is_handed_over() -> None:
    class Newest:
        process = process("a", current=1)

    async def scenario(writer: Writer, trial: Trial) -> None:
        await writer.commit(processes=[process("a")])
        newest = Newest()
        writer.behind_of("a", newest)
        newest.process = process("a", current=2)
        await until(lambda: trial.get("a") == process("a", current=2), "the record arrives, though nothing else is handed in")
        writer.behind_of("a", newest)
        await writer.commit(processes=[ended(process("a", current=3))])
        newest.process = process("a", current=4)
        await writer.flush()
        assert trial.get("a") == ended(process("a", current=3)), "a commit is newer than what was collected before it"

    play(scenario)


def test_a_record_written_behind_never_overwrites_a_newer_commit() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        a = process("a")
        await writer.commit(processes=[a])
        writer.behind(process=process("a", current=1))
        first = await held(writer, trial)
        writer.behind(process=process("a", current=2))
        await until(lambda: not writer._behind and not writer._behind_lines, "what is written behind is handed over")
        # It lies in the queue before the commit.
        finished = writer.commit(processes=[ended(process("a", current=3))])
        trial.open.set()
        await asyncio.gather(first, finished)
        assert trial.get("a") == ended(process("a", current=3))
        await asyncio.sleep(0.05)
        await writer.flush()
        assert trial.get("a") == ended(process("a", current=3))
        writer.behind(process=ended(process("a", current=4)))
        await writer.flush()
        assert trial.get("a") == ended(process("a", current=4))

    play(scenario)


def the_end(of: Process) -> dict[str, Any]:
    return {"processes": [ended(of)], "transitions": [Transition(of.id, T0 + 5, Status.RUNNING, Status.DONE, "reported")]}


def test_a_change_of_status_takes_along_all_lines_that_were_told_before_it() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        await writer.commit(processes=[process("a"), process("b")])
        writer.behind(process("a"), [line("a", 1), line("a", 2)])
        writer.behind(process("b"), [line("b", 1)])
        await writer.commit(**the_end(process("a")), lines=[line("a", 3)])
        assert [found.number for found in trial.lines("a", 9)] == [1, 2, 3]
        assert trial.lines("b", 9) == [], "what others told may wait"
        await writer.flush()
        assert trial.lines("b", 9) == [line("b", 1)]

    play(scenario, hand_over_after=60)


def test_lines_of_who_ended_do_not_wait_behind_many_others() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        for number in range(1, 12_001):
            writer.behind(process("chatty"), [line("chatty", number)])
        writer.behind(process("a"), [line("a", 1)])
        await until(lambda: not writer._behind and not writer._behind_lines, "what is written behind is handed over")
        over = writer.commit(**the_end(process("a")))
        trial.open.set()
        await asyncio.gather(first, over)
        of_the_end = next(batch for batch in trial.batches if batch.transitions)
        assert line("a", 1) in of_the_end.lines and len(of_the_end.lines) == 5000
        await writer.flush()
        assert [found.number for found in trial.lines("chatty", 99_999)] == list(range(1, 12_001)), "none lost, all in order"

    play(scenario)


@pytest.mark.parametrize("how", ["written behind", "committed"])
def test_no_record_is_stored_before_the_lines_that_were_told_before_it(how: str) -> None:
    """Else who repeats them, because the exporter was killed in between, has been heard by the record, and they are lost."""

    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        for number in range(1, 12_001):
            writer.behind(process("chatty", current=number), [line("chatty", number)])
        writer.behind(process("a", current=1), [line("a", 1)])
        if how == "committed":  # somebody asks it to cancel: no change of status
            writer.commit(processes=[process("a", current=1)])
        await until(lambda: not writer._behind and not writer._behind_lines, "what is written behind is handed over")
        trial.open.set()
        await first
        await until(lambda: trial.get("a") and trial.get("chatty"), "all arrive")
        for process_id, last in (("a", 1), ("chatty", 12_000)):
            place = next(i for i, batch in enumerate(trial.batches) if any(p.id == process_id for p in batch.processes))
            stored = [found for batch in trial.batches[: place + 1] for found in batch.lines if found.process_id == process_id]
            assert [found.number for found in stored] == list(range(1, last + 1))
        assert max(len(batch.lines) for batch in trial.batches) <= 5000

    play(scenario)


def test_of_a_commit_and_a_later_record_in_one_group_the_record_is_written() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        finished = writer.commit(processes=[ended(process("a", current=3))])
        writer.behind(process=ended(process("a", current=4)))
        flushed = asyncio.create_task(writer.flush())
        await asyncio.sleep(0)
        trial.open.set()
        await asyncio.gather(first, finished, flushed)
        assert [p.id for p in trial.batches[-1].processes] == ["a"]
        assert trial.get("a") == ended(process("a", current=4))

    play(scenario)


def test_much_that_is_written_behind_is_cut_into_pieces_so_that_commits_get_between() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        for i in range(3500):
            writer.behind(process=process(f"p{i}"), lines=[line(f"p{i}", n) for n in (1, 2, 3)])
        await until(lambda: not writer._behind and not writer._behind_lines, "what is written behind is handed over")
        trial.open.set()
        await first
        await until(lambda: len(trial.status_counts()) and sum(trial.status_counts().values()) == 3501, "all arrive")
        assert max(len(batch.processes) for batch in trial.batches) <= 1000
        assert max(len(batch.lines) for batch in trial.batches) <= 5000
        for i in range(3500):
            writer.behind(process=process(f"p{i}", current=1))
        await writer.flush()
        assert trial.get("p3499") == process("p3499", current=1), "flush means everything"

    play(scenario)


def test_forget_removes_what_is_stored_and_what_is_on_its_way() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        await writer.commit(processes=[process("old")], lines=[line("old", 1)])
        first = await held(writer, trial)
        lost = writer.commit(processes=[process("a")], transitions=[created(process("a"))], lines=[line("a", 1)])
        writer.behind(process=process("b"), lines=[line("b", 1)])
        writer.forget(["old", "a", "b", "never"])
        writer.behind(process=process("b", name="again"))
        again = writer.commit(processes=[process("a", name="again")])
        trial.open.set()
        await asyncio.gather(first, lost, again)
        await writer.flush()
        assert trial.get("old") is None and trial.lines("old", 9) == [] and trial.lines("b", 9) == []
        assert trial.get("a") == process("a", name="again") and trial.transitions("a") == [] and trial.lines("a", 9) == []
        assert trial.get("b") == process("b", name="again")

    play(scenario)


def test_a_handler_that_is_cancelled_does_not_cancel_what_it_waited_for() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)

        async def handler() -> None:
            await writer.commit(processes=[process("a")])

        task = asyncio.create_task(handler())
        after = asyncio.create_task(handler())
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        trial.open.set()
        await asyncio.gather(first, after)
        assert trial.get("a") == process("a") and writer.commits_total == 3

    play(scenario)


def test_too_many_waiting_are_refused_at_once_and_nothing_of_them_is_kept() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        waiting = [writer.commit(processes=[process(f"p{i}")]) for i in range(9)]
        writer.behind(process=process("late", current=1))
        with pytest.raises(StoreUnavailable, match="10 changes wait for the disk"):
            writer.commit(processes=[process("late")])
        trial.open.set()
        await asyncio.gather(first, *waiting)
        await writer.flush()
        assert trial.get("late") == process("late", current=1)
        await writer.commit(processes=[process("late")])

    play(scenario, max_pending=10)


def test_upkeep_runs_beside_the_commits() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        await writer.commit(processes=[ended(process("a"))])
        assert await writer.run(lambda store: store.prune(ended_before=T0 + 99, failed_before=0, keep=9)) == ["a"]

    play(scenario)


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_writes_what_is_there_and_refuses_what_comes_after(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "headway.db")

    async def run() -> None:
        writer = Writer(store)
        writer.behind(process=process("early"))
        writer.start(asyncio.get_running_loop())
        waiting = [writer.commit(processes=[process(f"p{i}")]) for i in range(20)]
        writer.behind(process=process("late"))
        await writer.close()
        assert all(future.done() and future.exception() is None for future in waiting)
        with pytest.raises(StoreUnavailable, match="stopping"):
            writer.commit(processes=[process("x")])
        await writer.close()
        assert not writer._thread.is_alive()

    asyncio.run(run())
    assert store.status_counts() == {Status.RUNNING: 22}
    store.close()


def test_closing_on_a_full_disk_says_so_and_ends_all_the_same() -> None:
    async def run() -> None:
        trial = Trial()
        trial.fails = full
        writer = Writer(trial)
        writer.start(asyncio.get_running_loop())
        waiting = writer.commit(processes=[process("a")])
        with pytest.raises(StoreUnavailable, match="full"):
            await writer.close()
        assert isinstance(waiting.exception(), StoreUnavailable)
        assert not writer._thread.is_alive()

    asyncio.run(run())


def test_before_the_start_commits_are_refused_and_closing_is_harmless() -> None:
    async def run() -> None:
        writer = Writer(MemoryStore())
        with pytest.raises(StoreUnavailable, match="starting"):
            writer.commit(processes=[process("a")])
        await writer.close()

    asyncio.run(run())


# ── any history ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Model:
    """What a registry does, as little of it as possible: a record per process, changes that can be undone."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.records: dict[str, Process] = {}
        self.durable: dict[str, Status] = {}
        self.step = 0

    def change(self, process_id: str, status: type[Running] | type[Done]) -> Coroutine[Any, Any, None]:
        before = self.records.get(process_id)
        self.step += 1
        state = Running(T0) if status is Running else Done(T0, T0 + self.step)
        after = process(process_id, state, current=self.step)
        self.records[process_id] = after
        changed = Transition(process_id, T0, None if before is None else before.status, after.status, str(self.step))
        future = self.writer.commit(processes=[after], transitions=[changed], token=(process_id, before))
        return self.settle(process_id, after, future)

    async def settle(self, process_id: str, after: Process, future: asyncio.Future[None]) -> None:
        with suppress(StoreUnavailable):
            await future
            self.durable[process_id] = after.status

    def update(self, process_id: str) -> None:
        self.step += 1
        now = self.records[process_id]
        self.records[process_id] = replace(now, activity=replace(now.activity, current=self.step))
        self.writer.behind(process=self.records[process_id])

    def undo(self, error: Exception, tokens: Sequence[object]) -> None:
        for token in tokens:
            assert isinstance(token, tuple)
            process_id, before = token
            if before is None:
                del self.records[process_id]
            else:
                self.records[process_id] = before
                self.writer.behind(process=before)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_store_shows_only_what_was_committed(seed: int) -> None:
    """Random changes, updates, pauses of the loop and failures. After every batch the status of each process in the store must be
    one that a commit of that process carried and that was written in the same batch or before; at the end all agree."""
    chance = random.Random(seed)
    written: dict[str, tuple[Status, float]] = {}
    wrong: list[str] = []

    def watch(batch: Batch) -> Exception | None:
        if chance.random() < 0.3:
            return StoreUnavailable("by chance")
        for transition in batch.transitions:
            # The number of the step in which it was committed, as the model writes it into the cause.
            written[transition.process_id] = (transition.after, float(transition.cause))
        for p in batch.processes:
            if p.id not in written:
                wrong.append(f"{p.id} is written, its creation is not")
            elif p.status is not written[p.id][0]:
                wrong.append(f"{p.id} is written as {p.status}, committed was {written[p.id]}")
            elif (p.activity.current or 0) < written[p.id][1]:
                wrong.append(f"{p.id}: an older record is written over a newer one")
        return None

    async def scenario(writer: Writer, trial: Trial) -> None:
        model = Model(writer)
        writer._on_failure = model.undo
        trial.fails = watch
        tasks: set[asyncio.Task[None]] = set()
        for _ in range(400):
            what = chance.random()
            process_id = f"p{chance.randrange(8)}"
            if what < 0.35:
                kind = Done if process_id in model.records and chance.random() < 0.5 else Running
                tasks.add(asyncio.create_task(model.change(process_id, kind)))
            elif what < 0.85 and process_id in model.records:
                model.update(process_id)
            elif what < 0.93:
                await asyncio.sleep(0)
            elif what < 0.97:
                await asyncio.sleep(chance.random() * 0.02)
            else:
                busy(chance.random() * 0.005)
        await asyncio.gather(*tasks)
        trial.fails = lambda batch: None
        await writer.flush()
        await writer.flush()
        stored = {p.id: p for p in trial.load(done_since=0).processes}
        assert {i: p.status for i, p in stored.items()} == {i: p.status for i, p in model.records.items()} == model.durable
        assert stored == model.records

    play(scenario, hand_over_after=0.003, retry_after=0.005)
    assert not wrong, wrong[0]
