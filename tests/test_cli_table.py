"""The rows and tables of `ps`: what they say, how they fit."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from headway.cli.ps import fitting
from headway.cli.rows import MARKS, folded, row, rows, short_ids, tree
from headway.cli.suggest import describe
from headway.cli.table import plain, table
from headway.figures import rate, size
from headway.model import Status


def process(id: str = "p", **fields: Any) -> dict[str, Any]:
    """A process as the API gives it in a list."""
    known: dict[str, Any] = {
        "id": id,
        "name": f"job {id}",
        "type": "task",
        "status": "running",
        "stage": None,
        "progress": {"current": None, "total": None, "unit": None, "initial": None, "ratio": None},
        "rate": None,
        "eta_seconds": None,
        "elapsed_seconds": 75.0,
        "conditions": [],
        "summary": None,
        "error": None,
        "parent_id": None,
        "project": None,
        "cancel_requested": False,
        "cpu_ratio": None,
        "memory_bytes": None,
        "log_tail": [],
        "waiting_for": None,
    }
    assert set(fields) <= set(known)
    return known | fields


def progress(current: float | None, total: float | None, unit: str | None = None) -> dict[str, Any]:
    ratio = current / total if current is not None and total else None
    return {"current": current, "total": total, "unit": unit, "initial": None, "ratio": ratio}


def shown(found: list[dict[str, Any]], width: int, unicode: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, legacy_windows=False)
    console.print(table(rows(found), width, unicode))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


BUSY = process(
    "0192f0c1-8f7a-7c3e-9d5a-1b2c3d4e5f60",
    name="NLP Backfill",
    progress=progress(51, 80, "files"),
    rate=12.34,
    eta_seconds=141.0,
    cpu_ratio=0.853,
    memory_bytes=1_300_000_000,
    conditions=[{"name": "time_sink", "severity": "warning", "since": "", "reason": ""}],
)


def test_a_busy_process_in_full() -> None:
    head, line = shown([BUSY], 140)
    assert head.split() == ["NAME", "PROGRESS", "RATE", "LEFT", "ELAPSED", "CPU", "MEMORY", "FLAGS", "ID"]
    assert line == (
        "●  NLP Backfill  ━━━━━━━───── 51/80 files 63%  12.3/min  2m 21s   1m 15s  85%  1.2 GiB  time sink  "
        "0192f0c1-8f7a-7c3e-9d5a-1b2c3d4e5f60"
    ).replace("-7c3e-9d5a-1b2c3d4e5f60", "")


def test_without_unicode() -> None:
    assert shown([BUSY], 140, unicode=False)[1].startswith("*  NLP Backfill  =======----- 51/80 files 63%")


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 140])
def test_a_narrow_terminal_shows_what_matters_most(width: int) -> None:
    found = [BUSY, process("x" * 36, name="long name " * 20, progress=progress(3, None), log_tail=["a long last line " * 20])]
    lines = shown(found, width)
    assert len(lines) == 3 and all(len(line) <= width for line in lines)
    if width >= 60:
        assert "63%" in lines[1] and "2m 21s" in lines[1] and "time sink" in lines[1]
    if width >= 40:
        assert "63%" in lines[1] or "51/80" in lines[1]


def test_children_stand_below_their_parents_in_the_order_of_work() -> None:
    found = [process("c2", parent_id="a"), process("b"), process("c1", parent_id="a"), process("g", parent_id="c1"), process("a")]
    assert [(depth, p["id"]) for depth, p in tree(found)] == [(0, "b"), (0, "a"), (1, "c1"), (2, "g"), (1, "c2")]
    assert [(depth, p["id"]) for depth, p in tree(found[:1])] == [(0, "c2")]
    assert "    job g" in plain(rows(found)) and "\n✓" not in plain(rows(found))


def test_what_is_said_of_each_status() -> None:
    assert set(MARKS) == set(Status)
    assert row(process(status="queued")).flags == "queued"
    assert row(process(status="paused", cancel_requested=True)).flags == "paused · cancel asked"
    failed = row(process(status="failed", error="OSError: disk full", summary="x", eta_seconds=5.0, progress=progress(1, 2)))
    assert (failed.flags, failed.note, failed.left, failed.alarming) == ("failed", "OSError: disk full", "", True)
    done = row(process(status="done", summary="12 files, 3 skipped", progress=progress(2, 2)))
    assert (done.note, done.alarming) == ("12 files, 3 skipped", False)
    assert (
        "✓" in shown([process(status="done", summary="ok then")], 80)[1]
        and "ok then" in shown([process(status="done", summary="ok then")], 80)[1]
    )
    assert row(process(log_tail=["the last line\x1b[2J"], stage=None)).note == "the last line"
    assert row(process(log_tail=["x"], stage="fitting")).note == "fitting"


@pytest.mark.parametrize(
    ("current", "total", "unit", "text"),
    [
        (51, 80, "files", "51/80 files"),
        (51.0, None, None, "51"),
        (None, 80, "files", "?/80 files"),
        (None, None, "files", ""),
        (0.125, 1.5, "GB", "0.12/1.5 GB"),
        (1e6, 2e6, None, "1000000/2000000"),
        (906172178, 3221225472, "bytes", "864 MiB/3.00 GiB"),
        (1486418668, 3221225472, "B", "1.38/3.00 GiB"),
        (0, 999, "byte", "0/999 B"),
        (None, 20_971_520, "Bytes", "?/20.0 MiB"),
        (2e15, None, "B", "1819 TiB"),
        (906172178, 3221225472, "b", "906172178/3221225472 b"),
    ],
)
def test_counts(current: float | None, total: float | None, unit: str | None, text: str) -> None:
    assert row(process(progress=progress(current, total, unit))).count == text


def test_bytes_are_readable_in_the_table_and_as_sent_in_the_api() -> None:
    found = process(progress=progress(906172178, 3221225472, "bytes"), rate=726e6)
    assert " 864 MiB/3.00 GiB 28%  692 MiB/min " in shown([found], 140)[1]
    assert found["progress"]["current"] == 906172178


def test_a_percentage_is_not_said_twice() -> None:
    assert row(process(progress=progress(31, 100, "%"))).count == ""


def test_a_percentage_is_never_rounded_up_to_the_end() -> None:
    assert row(process(progress=progress(999, 1000))).percent == "99%"


def test_rates_and_sizes() -> None:
    assert [rate(r) for r in (None, 0.001, 0.5, 12.34, 432.1, 9999, 12345, 5e6)] == (
        ["", "<0.01/min", "0.5/min", "12.3/min", "432/min", "9999/min", "12.3k/min", "5M/min"]
    )
    assert [rate(726e6, unit) for unit in ("B", "bytes", "files")] == ["692 MiB/min", "692 MiB/min", "726M/min"]
    assert [size(n) for n in (0, 999, 2048, 300_000_000, 5e10, 5e13)] == [
        "0 B",
        "999 B",
        "2.0 KiB",
        "286 MiB",
        "46.6 GiB",
        "45.5 TiB",
    ]


def test_ids_are_cut_where_no_other_begins_the_same() -> None:
    uuids = ["0192f0c1-8f7a-7c3e-9d5a-1b2c3d4e5f60", "0192f0c1-8f7a-7c3f-9d5a-1b2c3d4e5f60", "0192f0c2-0000-7c3f-9d5a-1b2c3d4e5f60"]
    assert short_ids(uuids) == {uuids[0]: "0192f0c1-8f7a-7c3e", uuids[1]: "0192f0c1-8f7a-7c3f", uuids[2]: "0192f0c2-0000"}
    assert short_ids(["nightly", "nightly-backfill-42"]) == {"nightly": "nightly", "nightly-backfill-42": "nightly-backfill-42"}
    prefix, longer = "a" * 21, "a" * 30
    cut = short_ids([prefix, longer])
    assert cut[prefix] == prefix and cut[longer] == "a" * 22
    assert short_ids([]) == {}


def test_one_run_is_no_plural_and_a_limit_reads_as_in_the_command() -> None:
    timeout = {"value": 0.37, "p99": 0.31, "margin": 0.2, "runs": 1, "trust": "low"}
    one = {"name": "job", "type": "task", "runs": 1, "expected_seconds": None, "timeout": timeout, "memory": None}
    lines = list(describe({**one, "cpu_seconds": None, "reason": None, "command": "headway run --timeout 0.37s"}))
    assert lines[0] == "job (task), 1 good run" and lines[2].split()[:2] == ["timeout", "0.37s"]


def test_a_long_name_does_not_push_the_columns_away() -> None:
    lines = plain(rows([process(name="n" * 512), BUSY])).splitlines()
    assert max(map(len, lines)) < 250 and "n" * 79 + "…" in lines[1] and lines[2].endswith(BUSY["id"])


def test_plain_columns_are_for_scripts() -> None:
    lines = plain(rows([BUSY])).splitlines()
    assert lines[0].split() == ["STATUS", "NAME", "PROGRESS", "PERCENT", "RATE", "LEFT", "ELAPSED", "CPU", "MEMORY", "FLAGS", "ID"]
    assert lines[1].startswith("running  NLP Backfill  51/80 files  63%") and lines[1].endswith(BUSY["id"])
    assert "\x1b" not in plain(rows([process(name="\x1b[31mx\x1b]0;t\x07")]))


def test_a_screen_that_is_too_small_shows_what_needs_attention() -> None:
    stuck = {"name": "stuck", "severity": "warning", "since": "", "reason": ""}
    every = [row(process(id=f"p{n}", conditions=[stuck] if n == 8 else [])) for n in range(10)]
    assert [r.id for r in fitting(every, 4)] == ["p0", "p1", "p2", "p8"]
    assert [r.id for r in fitting(every, 0)] == ["p8"]
    assert fitting(every, 10) == every


def test_many_failures_hide_nothing_that_runs_on_a_small_screen() -> None:
    failed = [row(process(id=f"f{n}", status="failed", error="no disk")) for n in range(30)]
    running = [row(process(id=f"r{n}")) for n in range(3)]
    assert [r.id for r in fitting([*running, *failed], 6)] == ["r0", "r1", "r2", "f0", "f1", "f2"]
    many = [row(process(id=f"r{n}")) for n in range(30)]
    assert [r.id for r in fitting([*many, *failed], 6)] == ["r0", "r1", "r2", "r3", "f0", "f1"], "and they do not hide the failures"
    assert [r.id for r in fitting([*many, *failed[:1]], 6)] == ["r0", "r1", "r2", "r3", "r4", "f0"]
    assert [r.id for r in fitting([*running, *failed], 1)] == ["r0"]


def test_what_ended_alike_is_one_line_and_a_different_error_never() -> None:
    def bad(id: str, error: str = "disk full", **more: Any) -> dict[str, Any]:
        return process(id, name="dump", **{"status": "failed", "error": error} | more)

    alike = [bad("f4"), bad("f3"), bad("f2", "no such table"), bad("f1")]
    others = [bad("t1", type="cron"), bad("p1", project="shop"), bad("o1", status="orphaned"), bad("c1", parent_id="r1")]
    running = [process("r2", name="dump"), process("r1", name="dump")]
    found = folded([*running, *alike, *others])
    assert [(row.id, row.flags) for row in found] == [
        ("r2", ""),
        ("r1", ""),
        ("c1", "failed"),
        ("f4", "failed · 3 times"),
        ("f2", "failed"),
        ("t1", "failed"),
        ("p1", "failed"),
        ("o1", "orphaned"),
    ]
    done = [process(f"d{n}", name="dump", status="done", summary=f"{n} rows") for n in range(2)]
    assert [row.flags for row in folded(done)] == ["done · 2 times"], "what it says of itself is no other result"
    kind = [
        bad("k1", "no answer from 10.0.0.7:5432 in 3.5 s"),
        bad("k2", "no answer from 10.0.0.8:5432 in 30 s"),
        bad("k3", "exit code 3"),
    ]
    kind += [bad("k4", "exit code 4"), bad("k5", "Traceback (most recent call last):\n  File 'a.py', line 3\nKeyError: 'a'")]
    kind += [bad("k6", "Traceback (most recent call last):\n  File 'b.py', line 7\nKeyError: 'b'")]
    found = folded(kind)
    assert [(row.id, row.flags) for row in found] == [
        ("k1", "failed · 2 times"),
        ("k3", "failed"),
        ("k4", "failed"),
        ("k5", "failed · 2 times"),
    ]
    assert found[0].note == "no answer from 10.0.0.7:5432 in 3.5 s", "one of them is the example"
    family = [bad("above"), bad("below", parent_id="above"), bad("beside")]
    assert [row.id for row in folded(family)] == ["above", "below", "beside"]


def test_what_waits_for_a_person_comes_first_with_all_above_it_and_says_for_what() -> None:
    found = [
        process("new"),
        process("agent", waiting_for="permission to use Bash", stage="waiting for the user", parent_id="outer"),
        process("other"),
        process("outer"),
        process("asks", waiting_for="approval", summary="so far"),
    ]
    assert [line.id for line in rows(found)] == ["outer", "agent", "asks", "new", "other"]
    assert [line.note for line in rows(found)][1:3] == [
        "waits for a person: permission to use Bash",
        "waits for a person: approval",
    ]
    loop = [process("a", parent_id="b", waiting_for="x"), process("b", parent_id="a")]
    assert rows(loop) == rows(list(reversed(loop)))
    older = {name: value for name, value in process("p", stage="load").items() if name != "waiting_for"}
    assert row(older).note == "load", "an exporter that knows of no waiting"
