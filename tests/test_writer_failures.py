"""The writer thread when the store fails: what is undone, what is kept, and what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from headway.errors import StoreCorrupt, StoreUnavailable
from headway.model import Process, Status, Transition
from headway.store.sqlite import SQLiteStore
from headway.store.writer import Writer
from records import T0, created, line, process
from small_disk import small_disk
from writer_world import Trial, busy, ended, full, held, play, until


def test_all_that_was_built_on_a_failed_change_is_undone_in_reverse_order() -> None:
    undone: list[object] = []

    async def scenario(writer: Writer, trial: Trial) -> None:
        kept = writer.commit(processes=[process("kept")], token="kept")
        await kept
        trial.fails = full
        first = await held(writer, trial)
        second = writer.commit(processes=[process("a")], token=2)
        trial.open.set()
        third = writer.commit(processes=[process("a", name="b")], token=3)
        fourth = writer.commit(processes=[process("c")], token=4)
        results = await asyncio.gather(first, second, third, fourth, return_exceptions=True)
        assert all(isinstance(result, StoreUnavailable) and result.status == 507 for result in results)
        assert undone == [4, 3, 2] and writer.commit_failures_total == 1 and writer.last_error == "the disk is full"
        trial.fails = lambda batch: None
        await writer.commit(processes=[process("d")], token=5)
        assert sorted(trial.status_counts().items()) == [(Status.RUNNING, 2)]
        assert writer.last_error is None and undone == [4, 3, 2] and writer.pending == 0

    play(scenario, on_failure=lambda error, tokens: undone.extend(tokens))


def test_a_change_that_reaches_the_thread_before_the_loop_knows_fails_too() -> None:
    """The disk fails once and works again at once: still nothing may be written that was built on what failed."""

    async def scenario(writer: Writer, trial: Trial) -> None:
        await writer.commit(processes=[process("a")])
        failures = iter([StoreUnavailable("once")])
        first = await held(writer, trial)
        trial.fails = lambda batch: next(failures, None)
        trial.open.set()
        busy(0.05)  # the loop hears nothing of the failure, and goes on
        late = [writer.commit(processes=[ended(process("a"))]), writer.commit(processes=[process(f"x{i}") for i in range(3)])]
        busy(0.05)
        results = await asyncio.gather(first, *late, return_exceptions=True)
        assert all(isinstance(result, StoreUnavailable) for result in results)
        await writer.commit(processes=[process("b")])
        assert {p.id for p in trial.load(done_since=0).processes} == {"a", "b"}
        assert trial.get("a") == process("a")

    play(scenario)


def test_records_written_behind_survive_a_failure_but_never_carry_a_status_that_failed() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        a, b = process("a"), process("b")
        await writer.commit(processes=[a, b])
        trial.fails = full
        finished = writer.commit(processes=[ended(a)], token=a)
        writer.behind(process=replace(ended(a), metadata={"after": "the end"}), lines=[line("a", 1)])
        writer.behind(process=process("b", current=7), lines=[line("b", 1)])
        with pytest.raises(StoreUnavailable):
            await finished
        await until(lambda: writer.commit_failures_total >= 3, "it is tried again")
        trial.fails = lambda batch: None
        await until(lambda: trial.get("b") == process("b", current=7), "what was written behind arrives later")
        assert trial.get("a") == a
        assert trial.lines("a", 9) == [line("a", 1)] and trial.lines("b", 9) == [line("b", 1)]

    play(scenario, on_failure=lambda error, tokens: None)


def test_a_record_in_the_group_that_fails_goes_with_the_commit_it_is_built_on() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        a = process("a")
        await writer.commit(processes=[a])
        first = await held(writer, trial)
        finished = writer.commit(processes=[ended(a)])
        writer.behind(process=ended(process("a", current=4)))
        flushed = asyncio.create_task(writer.flush())
        await asyncio.sleep(0)
        trial.fails = lambda batch: full(batch) if batch.processes[0].id == "a" else None
        trial.open.set()
        await asyncio.gather(first, finished, flushed, return_exceptions=True)
        assert isinstance(finished.exception(), StoreUnavailable) and isinstance(flushed.exception(), StoreUnavailable)
        trial.fails = lambda batch: None
        await writer.flush()
        assert trial.get("a") == a

    play(scenario)


def test_lines_of_a_process_whose_creation_failed_go_with_it() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        trial.fails = full
        first = await held(writer, trial)
        born = writer.commit(processes=[process("a")], transitions=[created(process("a"))])
        writer.behind(process=process("a", current=1), lines=[line("a", 1)])
        await asyncio.sleep(0.05)
        writer.behind(process=process("a", current=2), lines=[line("a", 2)])
        trial.open.set()
        await asyncio.gather(first, born, return_exceptions=True)
        trial.fails = lambda batch: None
        await writer.flush()
        assert trial.get("a") is None and trial.lines("a", 9) == []

    play(scenario)


def test_what_on_failure_hands_in_is_written_and_commits_are_refused_there() -> None:
    refused: list[str] = []

    async def scenario(writer: Writer, trial: Trial) -> None:
        def undo(error: Exception, tokens: Sequence[object]) -> None:
            for token in tokens:
                assert isinstance(token, Process)
                writer.behind(process=replace(token, metadata={"restored": True}))
            try:
                writer.commit(processes=[process("x")])
            except RuntimeError as error:
                refused.append(str(error))

        writer._on_failure = undo
        a = process("a")
        await writer.commit(processes=[a])
        trial.fails = full
        with pytest.raises(StoreUnavailable):
            await writer.commit(processes=[ended(a)], token=a)
        trial.fails = lambda batch: None
        await writer.flush()
        assert trial.get("a") == replace(a, metadata={"restored": True})
        assert len(refused) == 1 and trial.get("x") is None

    play(scenario)


def test_a_failure_of_what_is_written_behind_undoes_nothing() -> None:
    undone: list[object] = []

    async def scenario(writer: Writer, trial: Trial) -> None:
        await writer.commit(processes=[process("a")])
        trial.fails = full
        writer.behind(process=process("a", current=1))
        with pytest.raises(StoreUnavailable):
            await writer.flush()
        assert writer.commit_failures_total >= 1 and undone == [] and writer.last_error is not None
        trial.fails = lambda batch: None
        await writer.commit(processes=[process("b")], token="b")
        await until(lambda: trial.get("a") == process("a", current=1), "it is kept")
        assert undone == []

    play(scenario, on_failure=lambda error, tokens: undone.append(tokens))


def test_lines_that_wait_too_long_are_dropped_oldest_first_and_counted() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        trial.fails = full
        number = 0
        for _ in range(10):
            for _ in range(10):
                number += 1
                writer.behind(lines=[line("a", number)])
            await asyncio.sleep(0.015)
        with pytest.raises(StoreUnavailable):
            await writer.flush()
        trial.fails = lambda batch: None
        await writer.flush()
        kept = [entry.number for entry in trial.lines("a", 999)]
        assert kept == list(range(101 - len(kept), 101)) and len(kept) == 30
        assert writer.dropped_lines_total == 70

    play(scenario, max_lines=30)


def test_lines_told_before_an_end_that_cannot_be_stored_stay() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        a = process("a")
        await writer.commit(processes=[a], transitions=[created(a)])
        trial.fails = full
        over = Transition("a", T0 + 5, Status.RUNNING, Status.DONE, "reported")
        writer.behind(a, [line("a", 1)])
        one = writer.commit(processes=[ended(a)], transitions=[over], lines=[line("a", 2)], token="a")
        writer.behind(a, [line("a", 3)])
        two = writer.commit(processes=[ended(a)], transitions=[over], token="a")  # discarded, without being tried
        unborn = process("u")
        lost = writer.commit(processes=[unborn], transitions=[created(unborn)], token="u")
        writer.behind(unborn, [line("u", 1)])
        too = writer.commit(processes=[ended(unborn)], transitions=[replace(over, process_id="u")], token="u")
        results = await asyncio.gather(one, two, lost, too, return_exceptions=True)
        assert all(isinstance(result, StoreUnavailable) for result in results)
        trial.fails = lambda batch: None
        await writer.flush()
        assert [found.number for found in trial.lines("a", 9)] == [1, 3], "the line of the end itself was not accepted"
        assert trial.lines("u", 9) == []

    play(scenario, hand_over_after=60)


def test_a_disk_that_hangs_does_not_let_the_queue_grow() -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        first = await held(writer, trial)
        for i in range(200):
            for n in range(20):
                writer.behind(process=process(f"p{n}", current=i))
            await asyncio.sleep(0.001)
        assert writer._queue.qsize() <= 1
        trial.open.set()
        await first
        await writer.flush()
        assert trial.get("p7") == process("p7", current=199)

    play(scenario)


def test_a_record_that_cannot_be_written_at_all_does_not_stop_all_others(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(writer: Writer, trial: Trial) -> None:
        trial.fails = lambda batch: TypeError("unencodable") if any(p.id == "bad" for p in batch.processes) else None
        writer.behind(process=process("bad"), lines=[line("bad", 1)])
        await until(lambda: writer.commit_failures_total, "it is tried")
        await writer.commit(processes=[process("good")])
        with pytest.raises(StoreUnavailable, match="unencodable"):
            await writer.commit(processes=[process("bad")])
        await writer.commit(processes=[process("better")])
        assert writer.dropped_lines_total == 1

    play(scenario)
    assert "cannot be stored" in caplog.text


def test_a_damaged_database_answers_507_and_is_reported_as_it_is() -> None:
    seen: list[Exception] = []

    async def scenario(writer: Writer, trial: Trial) -> None:
        trial.fails = lambda batch: StoreCorrupt("it is damaged")
        with pytest.raises(StoreUnavailable, match="it is damaged"):
            await writer.commit(processes=[process("a")])
        assert isinstance(seen[0], StoreCorrupt)

    play(scenario, on_failure=lambda error, tokens: seen.append(error))


def test_an_undo_that_raises_still_lets_those_who_wait_know(caplog: pytest.LogCaptureFixture) -> None:
    def undo(error: Exception, tokens: Sequence[object]) -> None:
        raise ZeroDivisionError

    async def scenario(writer: Writer, trial: Trial) -> None:
        trial.fails = full
        with pytest.raises(StoreUnavailable):
            await writer.commit(processes=[process("a")])
        trial.fails = lambda batch: None
        await writer.commit(processes=[process("b")])

    play(scenario, on_failure=undo)
    assert "undoing" in caplog.text


def test_a_real_full_disk_fails_undoes_and_recovers(tmp_path: Path) -> None:
    undone: list[object] = []

    async def scenario(writer: Writer, trial: Trial) -> None:
        assert isinstance(trial.real, SQLiteStore)
        acknowledged: list[str] = []

        async def one(i: int) -> None:
            await writer.commit(processes=[process(f"p{i}", metadata={"text": "x" * 2000})], token=f"p{i}")
            acknowledged.append(f"p{i}")

        await one(0)
        disk.fill()
        results = await asyncio.gather(*(one(i) for i in range(1, 400)), return_exceptions=True)
        failed = [result for result in results if result is not None]
        assert failed and all(isinstance(error, StoreUnavailable) and "is full" in str(error) for error in failed)
        assert len(undone) == len(failed) and set(undone).isdisjoint(acknowledged)
        assert {p.id for p in trial.load(done_since=0).processes} == set(acknowledged)
        assert "is full" in (trial.check() or "")
        disk.make_room()
        await until(lambda: trial.check() is None, "the store notices that there is room")
        await one(1000)
        assert {p.id for p in trial.load(done_since=0).processes} == set(acknowledged)

    with small_disk(tmp_path / "disk") as disk:
        store = SQLiteStore(disk.path / "headway.db")
        play(scenario, store=store, on_failure=lambda error, tokens: undone.extend(tokens))
        store.close()
