"""The table of families, the lines made from it, and the page in its formats and encodings."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench.exposition import main as exposition_bench
from hypothesis import given
from hypothesis import strategies as st

from headway.collector import Collector
from headway.metrics import docs, page
from headway.metrics.families import FAMILIES, PROCESS_FAMILIES, RESULT_LENGTH, result_text, stable_part
from headway.metrics.family import Family, Scope, Shown, Type
from headway.metrics.lines import escape, numbers
from headway.metrics.own import OwnMetrics
from headway.metrics.page import Format, Piece, accepts_gzip, body, choose_format, gzipped
from headway.model import (
    Activity,
    Condition,
    ConditionReport,
    Kind,
    OSProcess,
    Paused,
    Queued,
    Running,
    Severity,
    Status,
    Waiting,
)
from headway.names import NameStats
from headway.repetition import LATE, due_at
from headway.samples import Sample
from headway.used import Used
from metrics_world import HOSTILE, ROOT, START, Maker, ended_state, promtool, view, without_own

GOLDEN = Path(__file__).parent / "golden"
BY_NAME = {family.name: family for family in FAMILIES}


def value_of(name: str, source: object) -> float | int | None:
    read = BY_NAME[name].value
    assert read is not None
    return read(source)


def rows_of(name: str, source: object) -> tuple[tuple[str, tuple[str, ...], float | int], ...]:
    read = BY_NAME[name].rows
    assert read is not None
    return read(source)


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_name_is_declared_once() -> None:
    assert len(BY_NAME) == len(FAMILIES)
    assert len({family.metadata_name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_rules(family: Family) -> None:
    assert family.name.endswith("_total") == (family.type is Type.COUNTER)
    assert family.name.endswith("_info") == (family.type is Type.INFO)
    assert not family.unit or family.metadata_name.endswith("_" + family.unit)
    assert not (family.unit and family.type is Type.INFO)
    assert family.name.startswith(("headway_", "process_"))
    assert family.name.isascii() and "\n" not in family.help and family.help.endswith(".")
    assert len(set(family.all_labels)) == len(family.all_labels)
    readers = (family.value is not None) + (family.rows is not None)
    assert readers == (family.scope in (Scope.PROCESS, Scope.NAME))


def test_after_the_end_only_what_stays_true_is_shown() -> None:
    kept = {family.name.removeprefix("headway_process_") for family in PROCESS_FAMILIES if family.shown is not Shown.ACTIVE}
    times = {"created", "start", "update", "last_output", "last_progress", "finish"}
    assert kept == {
        *(
            "info",
            "status_code",
            "progress_ratio",
            "items_done",
            "items_expected",
            "exit_code",
            "kill_requested",
            "result_info",
            "value",
            "retry_timestamp_seconds",
            "dismissed",
        ),
        *(f"{time}_timestamp_seconds" for time in times),
    }


def test_what_is_not_volatile_depends_on_the_stable_part_only() -> None:
    maker = Maker(7)
    for _ in range(300):
        before = maker.view()
        after = maker.derived(replace(before.process, activity=maker.activity()))
        if stable_part(before) != stable_part(after):
            told = before.process.activity
            activity = replace(after.process.activity, unit=told.unit, summary=told.summary, waiting=told.waiting)
            dismissed_at = before.process.dismissed_at
            after = replace(
                after,
                process=replace(after.process, activity=activity, dismissed_at=dismissed_at),
                limits=before.limits,
                expected_duration=before.expected_duration,
                expected_runs=before.expected_runs,
            )
        assert stable_part(before) == stable_part(after)
        for family in PROCESS_FAMILIES:
            read = family.rows or family.read
            if not family.volatile:
                assert read(before) == read(after), family.name


def test_docs_are_current_and_complete() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert text == docs.document(), "run: python -m headway.metrics.docs docs/metrics.md"
    for family in FAMILIES:
        line = next(line for line in text.splitlines() if line.startswith(f"| `{family.name}` |"))
        assert family.help in line and all(f"`{label}`" in line for label in family.labels)


def test_docs_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main([str(tmp_path / "metrics.md")]) == 0
    assert docs.main([]) == 0
    assert (tmp_path / "metrics.md").read_text(encoding="utf-8") == capsys.readouterr().out == docs.document()


# ── what the families read ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"records": 512, "change": -0.5}, {"records": 512, "change": -0.5}),
        (
            {"text": "5", "yes": True, "none": None, "nan": float("nan"), "huge": 10**400, "": 1, "k" * 65: 1, "a\0": 1, "ok": 0},
            {"ok": 0},
        ),
        ({f"k{n}": n for n in range(20)}, {f"k{n}": n for n in range(16)}),
        ([1, 2], {}),
        (7, {}),
        (None, {}),
    ],
)
def test_numbers_of_its_own_come_from_metadata(values: object, shown: dict[str, float]) -> None:
    seen = view(metadata={"values": values})
    assert {labels[0]: number for _, labels, number in rows_of("headway_process_value", seen)} == shown


@pytest.mark.parametrize(
    ("metadata", "tokens", "cost"),
    [
        ({}, {}, None),
        ({"tokens": {"input": 12, "output": 3}, "cost_dollars": 0.5}, {"input": 12, "output": 3}, 0.5),
        ({"tokens_in": 12, "tokens_out": 0, "cost_dollars": 0}, {"input": 12, "output": 0}, 0),
        ({"tokens": {"input": 1}, "tokens_in": 2, "tokens_out": 3}, {"input": 1, "output": 3}, None),
        ({"tokens": 900, "cost_dollars": "0.5"}, {}, None),
        ({"tokens_in": -1, "tokens_out": True, "cost_dollars": -0.1}, {}, None),
        ({"tokens_in": float("inf"), "tokens_out": 10**400, "cost_dollars": float("nan")}, {}, None),
    ],
)
def test_tokens_and_cost_come_from_metadata(metadata: dict[str, object], tokens: dict[str, float], cost: float | None) -> None:
    seen = view(metadata=metadata)
    assert {labels[0]: number for _, labels, number in rows_of("headway_process_tokens_total", seen)} == tokens
    assert value_of("headway_process_cost_dollars_total", seen) == cost


def test_each_condition_is_there_as_0_or_1() -> None:
    reports = tuple(ConditionReport(c, Severity.WARNING, START, "why") for c in (Condition.STUCK, Condition.ZOMBIE))
    found = {labels[0]: number for _, labels, number in rows_of("headway_process_condition", view(conditions=reports))}
    assert found == {**dict.fromkeys((c.value for c in Condition), 0), "stuck": 1, "zombie": 1}
    assert {number for *_, number in rows_of("headway_process_condition", view())} == {0}


@pytest.mark.parametrize(
    ("status", "error", "summary", "text"),
    [
        (Status.DONE, None, "412 nodes\n  merged ", "412 nodes merged"),
        (Status.FAILED, "Boom:\n\tno column", "half done", "Boom: no column"),
        (Status.FAILED, None, "half done", "half done"),
        (Status.ORPHANED, "gone", None, "gone"),
        (Status.DONE, None, None, ""),
        (Status.DONE, None, "x" * 160, "x" * 160),
        (Status.DONE, None, "x" * 161, "x" * 159 + "…"),
        (Status.DONE, None, "word " * 10_000, None),
    ],
)
def test_result_is_one_short_line(status: Status, error: str | None, summary: str | None, text: str | None) -> None:
    facts: dict[str, Any] = {} if status is Status.DONE else {"error": error}
    ended = view(state=ended_state(status, **facts), activity=Activity(updated_at=START, summary=summary))
    found = result_text(ended.process)
    assert len(found) <= RESULT_LENGTH and "\n" not in found
    assert text is None or found == text


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70), st.integers(10**300, 10**310))))
def test_numbers_are_exact_or_unknown(values: list[float | int | None]) -> None:
    texts = numbers(values)
    assert len(texts) == len(values)
    for value, text in zip(values, texts, strict=True):
        too_big = isinstance(value, int) and abs(value) >= 10**24
        if value is None or too_big or not math.isfinite(value):
            assert text == b"null"
        else:
            assert float(text) == float(value)
            assert len(text) <= 24


def test_no_number_at_all() -> None:
    assert numbers([]) == []


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('say "hi"', rb"say \"hi\""),
        ("two\nlines", rb"two\nlines"),
        ("back\\slash \\n", rb"back\\slash \\n"),
        ("\U0001f680\u00e9", "\U0001f680\u00e9".encode()),
        ("tab\t cr\r nul\x00", b"tab\t cr\r nul\x00"),
        ("lone \ud800!", "lone \ufffd!".encode()),
        ("", b""),
    ],
)
def test_escaping(text: str, written: bytes) -> None:
    assert escape(text) == written


def test_long_hostile_label_is_written_whole() -> None:
    assert len(escape(HOSTILE[-1])) == len("long ") + 2_500 * len(rb"\"\\\n") + 2_500 * 2


# ── formats and encodings ───────────────────────────────────────────────────────────────────────────────────────────

# Word for word what Prometheus 2.42 and 3.5 send.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Format.TEXT),
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Format.TEXT),
        ("application/json", Format.TEXT),
        (PROMETHEUS_2, Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ('Application/OpenMetrics-Text ; Version="1.0.0" ; charset=utf-8', Format.OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", Format.TEXT),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0.3, text/plain", Format.TEXT),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.2", Format.OPENMETRICS),
        ("application/openmetrics-text;q=high", Format.TEXT),
        ("application/openmetrics-text;q=7", Format.TEXT),
        (";;,=,,;q", Format.TEXT),
    ],
)
def test_format_is_negotiated(accept: str | None, form: Format) -> None:
    assert choose_format(accept) is form


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP;q=0.5, deflate", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("br, deflate", False),
        ("identity, gzip;q=0.5", False),
        ("gzip, identity;q=0.5", True),
    ],
)
def test_encoding_is_negotiated(header: str | None, answer: bool) -> None:
    assert accepts_gzip(header) is answer


@pytest.mark.parametrize("module", ["isal", "zlib"])
def test_gzip_is_one_member_of_reused_pieces(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if module == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(page, "_deflate", zlib)
    big = [Piece(f'a{{n="{n}"}} {n}\n'.encode() * 3_000) for n in range(3)]
    pieces = [Piece(b"small "), big[0], Piece(b"and "), Piece(b"more "), big[1], big[2], Piece(b"end")]
    for _ in range(2):
        packed = gzipped(pieces)
        inflater = zlib.decompressobj(wbits=31)
        assert inflater.decompress(packed) == body(pieces)
        assert inflater.eof and not inflater.unused_data, "not exactly one member"
        assert gzip.decompress(packed) == body(pieces)  # checks length and checksum
    assert all(piece.deflated for piece in big) and not pieces[0].deflated
    kept = big[0].deflated
    gzipped(pieces)
    assert big[0].deflated is kept
    assert gzip.decompress(gzipped([])) == b""


# ── the whole page ──────────────────────────────────────────────────────────────────────────────────────────────────


def golden_collector() -> Collector:
    """One running process with every family, one paused with next to nothing, a queued one, three ended, totals of two names."""
    collector = Collector(OwnMetrics(version="1.2.3"))
    sample = Sample(
        at=START + 9,
        alive=True,
        cpu_seconds=12.25,
        cpu_ratio=0.42,
        cpu_wait_seconds=0.001953125,
        resident_bytes=412_000_000,
        memory_ratio=0.0625,
        io_read_bytes=4096,
        io_written_bytes=0,
        threads=7,
        open_fds=21,
        os_processes=3,
        quiet_since=START + 5,
        zombie_since=START + 7,
        major_faults=37,
        proportional_bytes=307_200_000,
    )
    running = view(
        "0198-run",
        Running(START + 1, resumed_at=START + 3),
        name="NLP Backfill",
        kind=Kind.PIPELINE,
        user="otto",
        project="search",
        task="t1",
        attempt="1",
        agent="claude",
        group="nightly",
        parent_id="0198-parent",
        os_process=OSProcess(4711, START),
        timeout=3600.0,
        activity=Activity(
            updated_at=START + 9.5,
            current=51,
            total=80,
            unit="sessions",
            last_output_at=START + 9.25,
            last_progress_at=START + 9.5,
            waiting=Waiting('permission to use "Bash"', START + 8),
        ),
        metadata={"tokens": {"input": 1200, "output": 85}, "cost_dollars": 0.04, "values": {"records": 512, "change": -0.5}},
        rate=0.035,
        eta=829.5,
        eta_range=(700.5, 1020.25),
        expected_duration=1800.0,
        expected_runs=7,
        sample=sample,
        conditions=(ConditionReport(Condition.TIME_SINK, Severity.WARNING, START, "2.1 times what was expected"),),
        blocked_by=("0198-webpack",),
    )
    collector.put(running)
    collector.put(view("0198-pause", Paused(START + 1, START + 2), name='a "quoted"\nname \\ \U0001f680', limits=running.limits))
    collector.put(view("0198-wait", Queued(), name="Webinar draft", kind=Kind.SUBAGENT))
    done = view(
        "0198-done",
        ended_state(Status.DONE, START + 120, exit_code=0),
        name="Graph maintenance",
        activity=Activity(updated_at=START + 120, current=3.0, total=3.0, unit="steps", summary="412 nodes\nmerged"),
        metadata={"values": {"nodes": 412}},
    )
    failed = view(
        "0198-fail",
        ended_state(Status.FAILED, START + 61, exit_code=1, error="no column: phone"),
        name="Import",
        metadata={"retry_in": 4},
    )
    killed = view("0198-kill", ended_state(Status.KILLED, START + 62, signal=9), name="Import")
    collector.put(done)
    collector.put(failed)
    collector.put(killed)
    collector.put_name(NameStats(name="Graph maintenance", kind=Kind.TASK).with_end(done.process, used=Used(61.5, 4096, 0, 12, 3)))
    collector.put_name(NameStats(name="Import", kind=Kind.TASK).with_end(failed.process).with_gate_trip("stuck"))
    collector.set_status_counts({Status.RUNNING: 1, Status.PAUSED: 1, Status.QUEUED: 1, Status.DONE: 1, Status.FAILED: 1})
    collector.set_project_costs({"": 0.5, "shop": 1.25})
    return collector


@pytest.mark.parametrize(("accept", "file"), [(None, "metrics.prom"), ("application/openmetrics-text", "metrics.openmetrics.prom")])
def test_golden_page(accept: str | None, file: str) -> None:
    """To accept a wanted change: write `without_own(golden_collector().page(accept)[0])` to the file and read the difference."""
    found = without_own(golden_collector().page(accept)[0])
    assert found.decode() == (GOLDEN / file).read_bytes().decode()


@pytest.mark.parametrize(
    ("status", "said", "due"),
    [
        (Status.FAILED, 2.5, START + 62.5),
        (Status.TIMED_OUT, 0, START + 60),
        (Status.FAILED, 300, START + 360),
        *((Status.FAILED, said, None) for said in (301, -1, "2", True, None, float("nan"), [2])),
        *((status, 2.5, None) for status in (Status.DONE, Status.KILLED, Status.CANCELLED, Status.ORPHANED)),
    ],
)
def test_when_a_failure_is_run_again_is_what_its_reporter_says(status: Status, said: Any, due: float | None) -> None:
    assert due_at(view(state=ended_state(status), metadata={"retry_in": said}).process) == due
    assert due_at(view(metadata={"retry_in": said}).process) is None, "it runs"


def test_rules_and_announcer_wait_equally_long_for_the_next_try() -> None:
    rules = (Path(__file__).parent.parent / "prometheus" / "rules" / "ends.yml").read_text(encoding="utf-8")
    assert rules.count(f"(headway_process_retry_timestamp_seconds > time() - {LATE:g})") == 2


def test_golden_page_has_every_family_of_processes_and_names() -> None:
    text = (GOLDEN / "metrics.prom").read_text(encoding="utf-8")
    for family in FAMILIES:
        if family.scope is not Scope.OWN:
            assert f"\n# TYPE {family.name} " in text, family.name


def test_promtool_has_no_complaint_about_the_whole_page() -> None:
    page, _, _ = golden_collector().page()
    checked = subprocess.run([promtool(), "check", "metrics"], input=page, capture_output=True, timeout=60)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_lines_of_a_family_are_together() -> None:
    names: list[str] = []
    for line in golden_collector().page()[0].decode().splitlines():
        family = line.split()[2] if line.startswith("#") else None
        if family and (not names or names[-1] != family):
            names.append(family)
    assert len(names) == len(set(names))


def test_bench_compares_like_with_like(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--running", "3", "--ended", "4", "--names", "2", "--rounds", "1", "--results", str(tmp_path)]
    assert exposition_bench(arguments) in (0, 1), "it ran; whether it is quick is not asked here"
    figures = {one["what"]: one for one in json.loads(capsys.readouterr().out.splitlines()[0])["figures"]}
    assert figures["page after a tick, gzip"]["target"] == 60
