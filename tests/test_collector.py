"""What the collector shows, for how long, and how much of it."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from headway.collector import Collector
from headway.metrics.own import OwnMetrics
from headway.model import Condition, ConditionReport, Kind, Running, Severity, State, Status
from headway.names import NameStats
from headway.samples import Sample
from headway.view import View
from metrics_world import START, Maker, cleaned, ended_state, expected, process, view, without_own

STUCK = ConditionReport(Condition.STUCK, Severity.WARNING, START, "no output for 75 s")


def new(**limits: int) -> Collector:
    return Collector(OwnMetrics(), **limits)


def lines(collector: Collector) -> list[str]:
    """The series of processes, names and totals."""
    page = without_own(collector.page()[0]).decode()
    return [line for line in page.split("\n") if line and not line.startswith("#")]


def ids(collector: Collector) -> list[str]:
    return [line.split('"')[1] for line in lines(collector) if line.startswith("headway_process_status_code")]


def number(collector: Collector, start: str) -> float | None:
    """The value of the only series whose line begins like this."""
    found = [line for line in lines(collector) if line.startswith(start)]
    assert len(found) <= 1, found
    return float(found[0].rpartition(" ")[2]) if found else None


def stats(name: str, *ends: Status, kind: Kind = Kind.TASK) -> NameStats:
    made = NameStats(name=name, kind=kind)
    for n, status in enumerate(ends):
        made = made.with_end(process(state=ended_state(status, START + 11 + n)))
    return made


# ── lifetimes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_page_is_a_page() -> None:
    collector = new()
    assert lines(collector) == ["headway_processes_dropped_total 0", "headway_names_dropped_total 0"]
    assert list(parse_text(collector.page()[0].decode()))
    page = collector.page("application/openmetrics-text")[0].decode()
    assert list(parse_openmetrics(page))  # type: ignore[no-untyped-call]


def test_active_families_go_with_the_end_and_the_rest_with_the_removal() -> None:
    collector = new()
    sample = Sample(at=START, alive=True, cpu_seconds=3.5)
    collector.put(view("p1", sample=sample, rate=2.0, eta=10.0, conditions=(STUCK,), blocked_by=("p9",)))
    assert number(collector, 'headway_process_status_code{id="p1"') == 3
    assert number(collector, 'headway_process_cpu_seconds_total{id="p1"') == 3.5
    assert number(collector, 'headway_process_condition{id="p1",name="Job",kind="task",condition="stuck"}') == 1
    begun = 'headway_process_condition_start_timestamp_seconds{id="p1"'
    assert [line for line in lines(collector) if line.startswith(begun)] == [
        f'{begun},name="Job",kind="task",condition="stuck"}} {STUCK.since}'
    ]
    collector.put(view("p1", sample=sample))
    assert number(collector, begun) is None, "it holds no more"
    collector.put(view("p1", ended_state(Status.FAILED, exit_code=3, error="Boom")))
    shown = {line.partition("{")[0].removeprefix("headway_process_") for line in lines(collector) if 'id="p1"' in line}
    assert shown == {
        *("info", "status_code", "created_timestamp_seconds", "start_timestamp_seconds", "update_timestamp_seconds"),
        *("finish_timestamp_seconds", "exit_code", "result_info", "dismissed"),
    }
    assert number(collector, 'headway_process_status_code{id="p1"') == 11
    collector.remove("p1")
    assert not [line for line in lines(collector) if "p1" in line]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (ended_state(Status.KILLED, signal=9), 0),
        (ended_state(Status.KILLED, signal=15, requested=True), 1),
        (ended_state(Status.FAILED, exit_code=137), None),
    ],
    ids=["by nobody knows whom", "on request", "it has failed"],
)
def test_who_killed_it(state: State, shown: float | None) -> None:
    collector = new()
    collector.put(view("p1", state))
    assert number(collector, 'headway_process_kill_requested{id="p1"') == shown


def test_dismissal_shows_until_the_removal() -> None:
    collector = new()
    failed = view("p1", ended_state(Status.FAILED))
    for dismissed_at, shown in ((None, 0), (START + 90, 1)):
        collector.put(replace(failed, process=replace(failed.process, dismissed_at=dismissed_at)))
        assert number(collector, 'headway_process_dismissed{id="p1"') == shown


def test_an_orphan_that_reports_again_is_active_again() -> None:
    collector = new()
    collector.put(view("p1", ended_state(Status.ORPHANED)))
    assert number(collector, 'headway_process_finish_timestamp_seconds{id="p1"') == START + 60
    collector.put(view("p1", Running(START + 1), eta=5.0))
    assert ids(collector) == ["p1"]
    assert number(collector, 'headway_process_finish_timestamp_seconds{id="p1"') is None
    assert number(collector, 'headway_process_eta_timestamp_seconds{id="p1"') == START + 15


def test_time_left_is_that_of_the_last_view() -> None:
    collector = new()
    for now, eta in ((START + 10, 30.0), (START + 12, 31.5)):
        collector.put(view("p1", now=now, eta=eta))
        assert number(collector, "headway_process_eta_seconds") == eta
        assert number(collector, "headway_process_eta_timestamp_seconds") == now + eta
    collector.put(view("p1", now=START + 14))
    assert number(collector, "headway_process_eta_seconds") is None


def test_removing_what_is_not_there_is_fine() -> None:
    collector = new()
    collector.remove("nobody")
    collector.put(view("p1"))
    collector.remove("p1")
    collector.remove("p1")
    assert ids(collector) == []


def test_a_new_label_replaces_the_old_series() -> None:
    collector = new()
    collector.put(view("p1", user="otto", rate=1.0))
    collector.page()
    collector.put(view("p1", user="otto", name="Renamed", rate=1.0))
    assert len(ids(collector)) == 1
    assert not [line for line in lines(collector) if 'name="Job"' in line]


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_processes_over_the_limit_are_left_out_and_counted_once() -> None:
    collector = new(max_processes=3)
    for _ in range(2):
        for n in range(5):
            collector.put(view(f"p{n}"))
        assert ids(collector) == ["p0", "p1", "p2"]
        assert number(collector, "headway_processes_dropped_total") == 2
    collector.remove("p1")
    collector.put(view("p4"))
    assert ids(collector) == ["p0", "p2", "p4"]
    assert number(collector, "headway_processes_dropped_total") == 2


def test_an_active_process_takes_the_place_of_the_one_that_ended_first() -> None:
    collector = new(max_processes=3)
    for n in range(3):
        collector.put(view(f"old{n}", ended_state(Status.DONE)))
    collector.page()
    collector.put(view("late", ended_state(Status.DONE)))
    assert sorted(ids(collector)) == ["old0", "old1", "old2"]
    assert number(collector, "headway_processes_dropped_total") == 1
    collector.put(view("new0"))
    collector.put(view("old0", ended_state(Status.DONE)))
    collector.put(view("new1"))
    assert sorted(ids(collector)) == ["new0", "new1", "old2"]
    assert number(collector, "headway_processes_dropped_total") == 3


def test_who_lost_its_place_does_not_slip_back_in() -> None:
    collector = new(max_processes=1)
    collector.put(view("old", ended_state(Status.DONE)))
    collector.page()
    collector.put(view("old", ended_state(Status.DONE)))
    collector.put(view("new"))
    assert ids(collector) == ["new"]
    assert number(collector, "headway_processes_dropped_total") == 1
    collector.remove("old")
    collector.remove("new")
    assert ids(collector) == []
    assert not collector._left_out and not collector._shown


def test_who_is_active_again_keeps_its_place() -> None:
    collector = new(max_processes=1)
    collector.put(view("orphan", ended_state(Status.ORPHANED)))
    collector.page()
    collector.put(view("orphan"))
    collector.put(view("new"))
    assert ids(collector) == ["orphan"]


def test_notes_do_not_grow_while_nobody_looks() -> None:
    collector = new(max_processes=10)
    for n in range(5_000):
        collector.put(view(f"p{n}"))
        collector.remove(f"p{n}")
    assert len(collector._told) <= collector._told_limit
    collector.put(view("last"))
    assert ids(collector) == ["last"]


def test_names_over_the_limit_are_added_up_as_other() -> None:
    collector = new(max_names=2)
    collector.put_name(stats("a", Status.DONE))
    collector.put_name(stats("b"))
    collector.put_name(stats("c", Status.DONE, Status.FAILED))
    collector.put_name(stats("d", Status.FAILED))
    collector.put_name(stats("other", Status.FAILED).with_gate_trip("stuck"))
    collector.page()
    collector.put_name(stats("d", Status.FAILED, Status.FAILED, Status.DONE))
    collector.put_name(stats("c", Status.DONE, Status.FAILED))
    finished = 'headway_finished_total{name="other",kind="task",outcome="%s"}'
    assert number(collector, finished % "failed") == 1 + 2 + 1
    assert number(collector, finished % "done") == 1 + 1
    assert number(collector, finished % "killed") == 0
    assert number(collector, 'headway_duration_seconds_count{name="other"') == 6
    assert number(collector, 'headway_duration_seconds_sum{name="other"') == pytest.approx(10 + 11 + 10 + 11 + 12 + 10)
    assert number(collector, 'headway_duration_seconds_bucket{name="other",kind="task",le="10.0"}') == 3
    assert number(collector, 'headway_gate_trips_total{name="other",kind="task",gate="stuck"}') == 1
    assert number(collector, 'headway_last_success_timestamp_seconds{name="other"') == START + 13
    assert number(collector, "headway_names_dropped_total") == 2
    assert number(collector, 'headway_finished_total{name="a",kind="task",outcome="done"}') == 1


def test_one_name_of_two_kinds_is_two_series_and_other_keeps_them_apart() -> None:
    collector = new(max_names=1)
    collector.put_name(stats("a", Status.DONE))
    collector.put_name(stats("a", Status.DONE, Status.DONE, kind=Kind.CRON))
    assert number(collector, 'headway_finished_total{name="a",kind="task",outcome="done"}') == 1
    assert number(collector, 'headway_finished_total{name="other",kind="cron",outcome="done"}') == 2


def test_names_that_utf8_cannot_tell_apart_are_no_duplicate_series() -> None:
    collector = new()
    collector.put_name(stats("a\ud800", Status.DONE))
    collector.put_name(stats("a\udfff", Status.DONE))
    found = [line for line in lines(collector) if line.startswith("headway_finished_total") and 'outcome="done"' in line]
    assert found == [
        'headway_finished_total{name="a\ufffd",kind="task",outcome="done"} 1',
        'headway_finished_total{name="other",kind="task",outcome="done"} 1',
    ]


# ── totals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_is_there_at_0_before_anything_ended() -> None:
    collector = new()
    collector.put_name(NameStats(name="a", kind=Kind.TASK))
    for outcome in (status.value for status in Status if status.ended):
        assert number(collector, f'headway_finished_total{{name="a",kind="task",outcome="{outcome}"}}') == 0
    assert number(collector, 'headway_gate_trips_total{name="a",kind="task",gate="stuck"}') == 0
    assert number(collector, 'headway_duration_seconds_count{name="a"') == 0
    assert number(collector, "headway_last_status_code") is None


def test_counts_by_status_know_every_status() -> None:
    collector = new()
    collector.set_status_counts({Status.RUNNING: 2})
    counts = {line.split('"')[1]: line[-1] for line in lines(collector) if line.startswith("headway_processes{")}
    assert counts == {**{status.value: "0" for status in Status}, "running": "2"}


def test_the_page_counts_its_own_series() -> None:
    collector = new()
    maker = Maker(3)
    for _ in range(40):
        collector.put(maker.view())
    collector.put_name(stats("a", Status.DONE))
    shown = len(lines(collector))
    own = collector.page()[0].decode().rpartition("headway_collector_series ")[2]
    assert float(own.split("\n")[0]) == shown


# ── caching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
def test_cached_lines_are_those_of_a_new_collector(seed: int) -> None:
    """Random changes, pages in between: never a stale, missing or doubled line."""
    maker = Maker(seed)
    collector = new()
    now: dict[str, View] = {}
    for step in range(300):
        chance = maker.random.random()
        if chance < 0.25 or not now:
            made = maker.view()
        elif chance < 0.85:
            made = maker.moved(maker.random.choice(list(now.values())))
        else:
            gone = maker.random.choice(list(now))
            del now[gone]
            collector.remove(gone)
            continue
        now[made.process.id] = made
        collector.put(made)
        if step % 7 == 0:
            collector.page()
    fresh = new()
    for made in now.values():
        fresh.put(made)
    assert Counter(lines(collector)) == Counter(lines(fresh))
    assert set(Counter(line.rpartition(" ")[0] for line in lines(collector)).values()) == {1}, "a series twice"
    assert len(lines(collector)) - 2 == len(expected(now.values()))


def test_an_unchanged_page_is_not_made_again() -> None:
    collector = new()
    maker = Maker(5)
    for _ in range(200):
        collector.put(maker.view())
    collector.page(None, "gzip")
    kept = {key: (id(piece), id(piece.deflated)) for key, piece in collector._pieces.items()}
    collector.page("application/openmetrics-text", "gzip")
    assert {key: (id(piece), id(piece.deflated)) for key, piece in collector._pieces.items()} == kept


def test_ended_lines_are_not_joined_again_when_only_active_ones_change() -> None:
    collector = new()
    for n in range(20):
        collector.put(view(f"e{n}", ended_state(Status.DONE)))
    collector.put(view("p1", eta=1.0))
    collector.page()
    block = collector._ended.blocks["headway_process_info"]
    before = block.data
    collector.put(view("p1", eta=2.0, now=START + 12))
    collector.page()
    assert block.data is before
    collector.put(view("p1", ended_state(Status.DONE)))
    collector.page()
    assert block.data is not before and block.data.startswith(before)


def test_encodings_and_formats_carry_the_same() -> None:
    collector = new()
    maker = Maker(11)
    views = [maker.view() for _ in range(300)]
    for made in views:
        collector.put(made)
    text, kind, encoding = collector.page("text/plain")
    assert (kind, encoding) == ("text/plain; version=0.0.4; charset=utf-8", None)
    packed, kind, encoding = collector.page(None, "gzip, deflate")
    assert (kind, encoding) == ("text/plain; version=0.0.4; charset=utf-8", "gzip")
    assert without_own(gzip.decompress(packed)) == without_own(text)
    open_text, kind, encoding = collector.page("application/openmetrics-text; version=1.0.0", None)
    assert (kind, encoding) == ("application/openmetrics-text; version=1.0.0; charset=utf-8", None)
    series = [line for line in without_own(text).split(b"\n") if not line.startswith(b"#")]
    assert series == [line for line in without_own(open_text).split(b"\n") if not line.startswith(b"#")]
    assert {cleaned(made.process.name) for made in views} == {
        sample.labels["name"]
        for family in parse_text(text.decode())
        for sample in family.samples
        if sample.name == "headway_process_status_code"
    }


def test_many_threads_tell_while_pages_are_made() -> None:
    collector = new()
    stop = threading.Event()
    errors: list[BaseException] = []

    def tell(part: int) -> None:
        try:
            step = 0
            while not stop.is_set():
                step += 1
                made = view(f"t{part}-{step % 50}", eta=float(step), conditions=(STUCK,) if step % 3 else ())
                collector.put(made if step % 5 else replace(made, process=replace(made.process, state=ended_state(Status.DONE))))
                if step % 7 == 0:
                    collector.remove(f"t{part}-{step % 49}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=tell, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            shown = lines(collector)
            assert len(shown) == len({line.rpartition(" ")[0] for line in shown})
            gzip.decompress(collector.page(None, "gzip")[0])
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not errors
