"""The contract of a store: one suite for every implementation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import records
from headway.model import (
    ACTIVE,
    ENDED,
    Cancelled,
    Done,
    Failed,
    Killed,
    Kind,
    Orphaned,
    Paused,
    Process,
    Queued,
    Starting,
    State,
    Status,
    Stopping,
    TimedOut,
    Transition,
)
from headway.names import NameStats
from headway.store.base import Batch, Query, Store
from headway.store.memory import MemoryStore
from headway.store.sqlite import SQLiteStore
from records import T0, created, done, line, process

Kinds = ["memory", "sqlite"]


def make(kind: str, folder: Path) -> Store:
    return MemoryStore() if kind == "memory" else SQLiteStore(folder / "headway.db")


@pytest.fixture(params=Kinds)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = make(request.param, tmp_path)
    yield made
    made.close()


def put(store: Store, *processes: Process) -> None:
    store.write(Batch(processes=processes))


def ids(found: Any) -> list[str]:
    return [p.id for p in found]


def test_what_is_written_can_be_read(store: Store) -> None:
    before, after = process("a"), process("a", Done(T0, T0 + 5, 0), metadata={"cost": 1.5})
    stats = NameStats(name="job", kind=Kind.TASK).with_end(after, (1.0, 2.0))
    ended = Transition("a", T0 + 5, Status.RUNNING, Status.DONE, "reported")
    store.write(Batch(processes=[before], transitions=[created(before)], lines=[line("a", 1)]))
    store.write(Batch(processes=[after], transitions=[ended], lines=[line("a", 2, "bye")], names=[stats]))
    assert store.get("a") == after
    assert store.get("b") is None
    assert store.transitions("a") == [created(before), ended]
    assert store.lines("a", 10) == [line("a", 1), line("a", 2, "bye")]
    assert store.load(done_since=T0).names == [stats]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(process=records.processes, names=records.names)
def test_any_record_comes_back_as_it_was(store: Store, process: Process, names: NameStats) -> None:
    store.write(Batch(processes=[process], names=[names]))
    assert store.get(process.id) == process
    assert names in store.load(done_since=0).names


def test_of_several_records_of_one_process_the_last_counts(store: Store) -> None:
    put(store, process("a", current=1), process("a", current=3), process("b"))
    assert store.get("a") == process("a", current=3)
    put(store, process("a", Done(T0, T0 + 1)), process("a", Failed(T0, T0 + 2)))
    assert store.status_counts() == {Status.RUNNING: 1, Status.FAILED: 1}
    assert ids(store.list(Query(statuses=[Status.RUNNING]))) == ["b"]


def test_progress_of_many_and_a_change_of_status_among_them(store: Store) -> None:
    put(store, *(process(f"p{i}") for i in range(150)))
    put(store, *(process(f"p{i}", Done(T0, T0 + 9) if i == 70 else None, current=i, updated_at=T0 + i) for i in range(150)))
    assert store.get("p3") == process("p3", current=3, updated_at=T0 + 3)
    assert ids(store.list(Query(statuses=[Status.DONE]))) == ["p70"]
    assert store.status_counts() == {Status.RUNNING: 149, Status.DONE: 1}
    assert len(store.list(Query(since=T0 + 100, limit=1000))) == 50


def test_a_line_that_is_written_again_replaces_the_first(store: Store) -> None:
    store.write(Batch(lines=[line("a", 1), line("a", 2)]))
    store.write(Batch(lines=[line("a", 2, "again"), line("a", 3)]))
    assert [entry.text for entry in store.lines("a", 10)] == ["hello", "again", "hello"]
    assert [entry.number for entry in store.lines("a", 2)] == [2, 3]
    assert store.lines("a", 0) == [] and store.lines("a", -1) == [] and store.lines("nobody", 5) == []


def test_forgetting_comes_before_writing(store: Store) -> None:
    store.write(Batch(processes=[process("a"), process("b")], transitions=[created(process("a"))], lines=[line("a", 1)]))
    again = process("b", name="again")
    store.write(Batch(processes=[again], transitions=[created(again)], forget=["a", "b", "never"]))
    assert store.get("a") is None and store.lines("a", 9) == [] and store.transitions("a") == []
    assert store.get("b") == again and store.transitions("b") == [created(again)]


def test_text_that_is_no_unicode_is_stored_all_the_same(store: Store) -> None:
    odd = process("a", name="caf\udce9", metadata={"\udce9": ["\udce9"]})
    stats = NameStats(name="caf\udce9", kind=Kind.TASK)
    change = Transition("a", T0, None, Status.RUNNING, "\udce9")
    store.write(Batch(processes=[odd, process("b")], transitions=[change], lines=[line("a", 1, "\udce9")], names=[stats]))
    found = store.get("a")
    assert found is not None and found.name.startswith("caf")
    assert store.get("b") == process("b")


# ── queries ─────────────────────────────────────────────────────────────────────────────────────────────────────────

EVERY_STATE: tuple[State | None, ...] = (
    Queued(),
    Starting(T0),
    None,
    Paused(T0, T0 + 1),
    Stopping(T0, T0 + 1),
    Done(T0, T0 + 10),
    Failed(T0, T0 + 10),
    Cancelled(T0, T0 + 10),
    Killed(T0, T0 + 10),
    TimedOut(T0, T0 + 10),
    Orphaned(T0, T0 + 10),
)


def test_lists_are_newest_first_and_paged_without_gaps_or_repeats(store: Store) -> None:
    put(store, *(process(f"p{i:02}", at=T0 + i // 3) for i in range(20)))
    found: list[str] = []
    after = None
    while page := store.list(Query(after=after, limit=7)):
        found += ids(page)
        after = (page[-1].spec.created_at, page[-1].id)
    assert found == [f"p{i:02}" for i in sorted(range(20), key=lambda i: (i // 3, i), reverse=True)]
    assert store.list(Query(limit=0)) == []


def test_by_end_the_latest_end_is_first_and_paged_without_gaps_or_repeats(store: Store) -> None:
    ended = [process(f"p{i:02}", at=T0 + i, state=Done(T0, T0 + 100 - i // 3)) for i in range(20)]
    bad = [process(f"b{i}", at=T0, state=Failed(T0, T0 + 200 + i)) for i in range(3)]
    put(store, *ended, *bad, process("runs", at=T0 + 99))
    found: list[str] = []
    after = None
    while page := store.list(Query(by_end=True, after=after, limit=7)):
        found += ids(page)
        after = (page[-1].finished_at or 0.0, page[-1].id)
    wanted = ["b2", "b1", "b0", *(f"p{i:02}" for i in sorted(range(20), key=lambda i: (-(i // 3), i), reverse=True))]
    assert found == wanted
    assert ids(store.list(Query(by_end=True, statuses=[Status.FAILED, Status.RUNNING], limit=2))) == ["b2", "b1"]
    assert ids(store.list(Query(by_end=True, statuses=[Status.RUNNING]))) == []
    assert ids(store.list(Query(by_end=True, statuses=ENDED, name_part="NO SUCH"))) == []


def test_every_filter_finds_what_it_names(store: Store) -> None:
    fields: dict[str, Any] = {
        "kind": Kind.CRON,
        "user": "ann",
        "project": "web",
        "task": "t",
        "attempt": "1",
        "agent": "x",
        "group": "g",
        "parent_id": "root",
        "name": "backup",
    }
    put(store, process("plain", at=T0 + 99), *(process(f"{key}-1", **{key: value}) for key, value in fields.items()))
    put(store, process("boss", executor=True), process("late", updated_at=T0 + 50))
    for key, value in fields.items():
        assert ids(store.list(Query(**{key: value}))) == [f"{key}-1"], key
        assert ids(store.list(Query(**{key: value}, statuses=[Status.RUNNING]))) == [f"{key}-1"], key
        assert ids(store.list(Query(**{key: value}, statuses=ENDED))) == [], key
    assert ids(store.list(Query(executors_only=True))) == ["boss"]
    assert ids(store.list(Query(since=T0 + 50))) == ["plain", "late"]
    assert ids(store.list(Query(since=T0 + 50, until=T0 + 99))) == ["late"]
    assert ids(store.list(Query(name_part="ACK"))) == ["name-1"], "of «backup»"
    assert ids(store.list(Query(name="backup", kind=Kind.TASK, user="ann"))) == []
    assert store.list(Query(statuses=[])) == []


QUERIES = st.builds(
    Query,
    statuses=st.none() | st.sets(st.sampled_from(Status)) | st.just(ACTIVE) | st.just(ENDED),
    kind=st.none() | st.sampled_from([Kind.TASK, Kind.CRON]),
    user=st.none() | st.sampled_from(["ann", "bob"]),
    task=st.none() | st.sampled_from(["t1", "t2"]),
    name=st.none() | st.sampled_from(["job", "other"]),
    parent_id=st.none() | st.just("p1"),
    executors_only=st.booleans(),
    since=st.none() | st.floats(T0, T0 + 20),
    until=st.none() | st.floats(T0, T0 + 30),
    name_part=st.none() | st.sampled_from(["O", "job", "th"]),
    after=st.none() | st.tuples(st.floats(T0, T0 + 30), st.sampled_from(["p5", "zz"])),
    limit=st.integers(0, 30),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """Both stores with the same sixty processes."""
    both = make("memory", tmp_path_factory.mktemp("a")), make("sqlite", tmp_path_factory.mktemp("b"))
    many = [
        process(
            f"p{i}",
            EVERY_STATE[i % len(EVERY_STATE)],
            at=T0 + i // 2,
            updated_at=T0 + i % 23,
            kind=(Kind.TASK, Kind.CRON)[i % 2],
            user=(None, "ann", "bob")[i % 3],
            task=(None, "t1", "t2", None)[i % 4],
            name=("job", "other")[i % 5 > 2],
            parent_id=(None, "p1")[i % 7 == 3],
            executor=i % 6 == 1,
        )
        for i in range(60)
    ]
    for store in both:
        put(store, *many)
    yield both
    both[1].close()


@settings(max_examples=300, deadline=None)
@given(query=QUERIES)
def test_both_stores_answer_any_query_alike(pair: tuple[Store, Store], query: Query) -> None:
    memory, sqlite = pair
    assert ids(sqlite.list(query)) == ids(memory.list(query))


def test_children_of_several_parents_oldest_first(store: Store) -> None:
    put(store, process("r"), process("b", parent_id="r", at=T0 + 2), process("a", parent_id="r", at=T0 + 2))
    put(store, process("c", parent_id="s", at=T0 + 1), process("d", parent_id="else"))
    assert ids(store.children(["r", "s", "nobody"])) == ["c", "a", "b"]
    assert store.children([]) == []


# ── what the registry starts from, and what is forgotten ────────────────────────────────────────────────────────────


def test_load_brings_what_has_not_faded(store: Store) -> None:
    put(store, *(process(f"s{i}", state) for i, state in enumerate(EVERY_STATE)))
    assert {p.status for p in store.load(done_since=T0 + 10).processes} == set(Status)
    later = {p.status for p in store.load(done_since=T0 + 11).processes}
    assert later == set(Status) - {Status.DONE, Status.CANCELLED}
    put(store, process("k", Killed(T0, T0 + 10, requested=True)))
    assert "k" in ids(store.load(done_since=T0 + 10).processes) and "k" not in ids(store.load(done_since=T0 + 11).processes)
    put(store, *(process(f"s{i}", state, dismissed_at=T0 + 12) for i, state in enumerate(EVERY_STATE[5:], start=5)))
    assert set(ids(store.load(done_since=0).processes)) == {"s0", "s1", "s2", "s3", "s4", "k"}


def test_prune_forgets_good_ends_and_failures_at_their_time(store: Store) -> None:
    put(store, *(process(f"s{i}", state) for i, state in enumerate(EVERY_STATE)))
    put(store, process("d", Failed(T0, T0 + 10), dismissed_at=T0 + 11), process("k", Killed(T0, T0 + 10, requested=True)))
    store.write(Batch(lines=[line("s5", 1)], transitions=[Transition("s5", T0, None, Status.DONE, "x")]))
    assert set(store.prune(ended_before=T0 + 10, failed_before=T0 + 10, keep=99)) == set()
    assert set(store.prune(ended_before=T0 + 11, failed_before=T0 + 10, keep=99)) == {"s5", "s7", "d", "k"}
    assert store.get("s5") is None and store.lines("s5", 9) == [] and store.transitions("s5") == []
    assert set(store.prune(ended_before=T0, failed_before=T0 + 11, keep=99)) == {"s6", "s8", "s9", "s10"}
    assert set(store.status_counts()) == ACTIVE


def test_prune_keeps_the_newest_ends_and_never_touches_active_ones(store: Store) -> None:
    put(store, *(done(f"d{i:03}", T0 + i) for i in range(500)), *(process(f"r{i}") for i in range(5)))
    gone = store.prune(ended_before=T0 + 10, failed_before=T0 + 10, keep=30)
    assert len(gone) == 470 and len(set(gone)) == 470
    assert set(ids(store.list(Query(statuses=[Status.DONE], limit=999)))) == {f"d{i:03}" for i in range(470, 500)}
    assert store.prune(ended_before=0, failed_before=0, keep=0) and store.status_counts() == {Status.RUNNING: 5}


def test_trim_keeps_the_newest_lines_within_both_limits(store: Store) -> None:
    store.write(Batch(lines=[line("a", i, "1234é") for i in range(1, 21)] + [line("b", 1), line("c", 7, "x" * 999)]))
    store.trim_lines(["a", "nobody"], keep_lines=10, keep_bytes=10_000)
    assert [entry.number for entry in store.lines("a", 99)] == list(range(11, 21))
    store.trim_lines(["a", "c"], keep_lines=10, keep_bytes=6 * 4 + 5)
    assert [entry.number for entry in store.lines("a", 99)] == [17, 18, 19, 20]
    assert len(store.lines("b", 99)) == 1
    assert [entry.number for entry in store.lines("c", 99)] == [7], "the last line stays, whatever its length"


# ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backup_is_a_database_with_the_same_content(store: Store, tmp_path: Path) -> None:
    ended = process("a", Done(T0, T0 + 5))
    stats = NameStats(name="job", kind=Kind.TASK).with_end(ended)
    store.write(Batch(processes=[ended, process("b")], transitions=[created(ended)], lines=[line("a", 1)], names=[stats]))
    store.backup(tmp_path / "copy.db")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        store.backup(tmp_path / "copy.db")
    copy = SQLiteStore(tmp_path / "copy.db")
    assert copy.load(done_since=0) == store.load(done_since=0)
    assert copy.lines("a", 9) == [line("a", 1)] and copy.transitions("a") == [created(ended)]
    copy.close()
    assert not list(tmp_path.glob("*.part"))


def test_reads_from_many_threads_see_whole_batches(store: Store) -> None:
    stop = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not stop.is_set():
            loaded = store.load(done_since=0)
            total = sum(stats.finished.get(Status.DONE, 0) for stats in loaded.names)
            ends = sum(p.status is Status.DONE for p in loaded.processes)
            if total != ends:
                wrong.append(f"{total} counted, {ends} there")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    stats = NameStats(name="job", kind=Kind.TASK)
    for i in range(60):
        ended = done(f"d{i}", T0 + i)
        stats = stats.with_end(ended)
        store.write(Batch(processes=[ended], names=[stats]))
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not wrong


def test_check_finds_nothing_wrong_and_closing_twice_is_allowed(store: Store) -> None:
    assert store.check() is None
    put(store, replace(process("a"), cancel_requested_at=T0))
    assert store.check() is None
    assert store.size_bytes() >= 0
    store.close()
    store.close()
