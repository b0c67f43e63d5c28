"""What all benchmarks share: figures, verdicts, the table, and a live exporter to measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from bench import parts
from bench.__main__ import ALL, FOLDER
from bench.api import _SAID
from bench.harness import Figure, Report, cpu_seconds, exporter, fill, memory_bytes, number


def test_a_figure_is_the_median_and_meets_its_target_from_the_right_side() -> None:
    least = Figure("rate", "1/s", target=100, more=True, values=[90, 120, 150])
    most = Figure("time", "ms", target=100, values=[90, 120, 150])
    assert least.median == 120 and least.met is True and most.met is False
    assert Figure("peer", "ms", values=[1]).met is None


def test_numbers_are_short() -> None:
    assert [number(value) for value in (0.01234, 9.876, 42.04, 1234567.8)] == ["0.0123", "9.88", "42.0", "1,234,568"]


def test_a_report_prints_a_table_and_json_and_keeps_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("sample", "About something")
    for value in (1.0, 3.0, 2.0):
        report.add("ours", "ms", value, target=2.5)
        report.add("theirs", "ms", value * 10, of="peer")
    report.note("a peer is missing")
    report.note("a peer is missing")
    assert report.finish(tmp_path) == 0
    printed = capsys.readouterr().out.splitlines()
    row = next(line for line in printed[1:] if "ours" in line)
    assert row.split() == ["headway", "ours", "2", "1", "3", "ms", "≤", "2.5", "met"]
    assert printed.count("a peer is missing") == 1
    kept = json.loads((tmp_path / "sample.json").read_text())
    assert kept == json.loads(printed[0])
    assert kept["figures"][1] == {
        "what": "theirs",
        "of": "peer",
        "unit": "ms",
        "median": 20.0,
        "values": [10.0, 30.0, 20.0],
        "target": None,
        "met": None,
    }
    assert printed[1] == "About something (3 rounds)"
    report.add("too slow", "ms", 9.0, target=1.0)
    assert report.finish(tmp_path) == 1


def test_time_counts_for_the_file_in_which_it_was_spent() -> None:
    samples = (
        "main (/a/headway/cli/main.py:130);write_now (/a/headway/api/protocol.py:57) 60\n"
        "main (/a/headway/cli/main.py:130);observe (/a/headway/app.py:1);_at (headway/api/protocol.py:58) 20\n"
        "run (uvloop/loop.pyx:3) 20\n"
    )
    assert parts.shares(samples) == {"api/protocol.py": 0.8, "others": 0.2}


def test_cpu_time_of_another_process_counts_its_threads_that_ended() -> None:
    code = (
        "import threading\n"
        "def work():\n"
        "    for _ in range(3_000_000): pass\n"
        "one = threading.Thread(target=work); one.start(); one.join()\n"
        "print('done', flush=True); input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"done\n"
        assert cpu_seconds(process.pid) > 0.02
        process.communicate(b"\n")


def test_memory_is_of_the_process_asked_for() -> None:
    assert 5e6 < memory_bytes(os.getpid()) <= memory_bytes(os.getpid(), "VmHWM")


def test_a_live_exporter_is_filled_through_its_api_and_ended(tmp_path: Path) -> None:
    with exporter(tmp_path / "data", "--sample-interval", "1h") as live:
        ids = fill(live, 3)
        assert live.call("GET", "/api/processes/stats")["data"]["active"] == len(ids) == 3
        assert live.cpu_seconds() > 0
    deadline = time.monotonic() + 20
    while Path(f"/proc/{live.pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{live.pid}").exists()


def test_what_wrk_says_is_read() -> None:
    said = (
        "  Latency Distribution\n     50%    1.87ms\n     75%    2.25ms\n     99%  843.00us\n  1234 requests in 3.01s, 1MB read\n"
    )
    found = _SAID.search(said + "Requests/sec:   4955.12\n")
    assert found is not None and found.groups() == ("1.87", "ms", "843.00", "us", "1234", "4955.12")


@pytest.mark.parametrize("name", [name for name in ALL if (FOLDER / f"{name}.py").exists()])
def test_each_benchmark_says_what_it_measures(name: str) -> None:
    module = import_module(f"bench.{name}")
    assert (callable(module.main) and f"bench.{name}" in (module.__doc__ or "")) or f"bench/{name}.py" in (module.__doc__ or "")
