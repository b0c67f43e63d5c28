"""Trends: from the store with known answers, from a real Prometheus, and what is said when that is away; drawn in the terminal."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from pathlib import Path
from time import time
from typing import Any

import pytest

from headway import Client
from headway.analysis.trends import Grid, from_history, grid
from headway.cli.trends import ASCII, BLOCKS, LINES, draw, merged, sparkline
from headway.model import Done, Failed, Killed, Process, Usage
from headway.promql import Prometheus, Unavailable, expressions, quoted
from headway.reporter.client import ApiError
from records import T0, process
from running import RunningExporter, Starter
from scraping import prometheus
from test_analysis_api import headway, key_of, run
from waiting import wait_until


@pytest.mark.parametrize(
    ("timeframe", "step", "count"),
    [(3600, 60, 60), (86400, 1800, 48), (30 * 86400, 43200, 60), (600, 60, 10), (366 * 86400, 604800, 53)],
)
def test_steps_that_people_know(timeframe: float, step: float, count: int) -> None:
    found = grid(timeframe, T0)
    assert (found.step, len(found.ends), found.ends[-1]) == (step, count, T0)
    assert found.since <= T0 - timeframe


def test_the_store_with_known_answers() -> None:
    where = Grid(100.0, (T0 + 100, T0 + 200, T0 + 300))

    def at(id: str, start: float, end: float, **more: Any) -> Process:
        return process(id, Done(T0 + start, T0 + end), at=T0 + start, **more)

    long = replace(
        at("long", 50, 250, name="long", expected_duration=100.0), usage=Usage(cpu_seconds=400.0, peak_memory_bytes=1000)
    )
    history = [
        at("a", 0, 10),
        at("b", 0, 20, metadata={"cost_dollars": 2.0}),
        process("f", Failed(T0, T0 + 30), name="bad"),
        process("k", Killed(T0, T0 + 40, None, 15, None, True), name="asked"),
        long,
        replace(at("part", 50, 250, name="part", parent_id="long"), usage=Usage(cpu_seconds=400.0, peak_memory_bytes=900)),
        at("before", -50, -10),
    ]
    found = from_history(history, where)
    assert found["ended"] == [4, 0, 2] and found["failed"] == [1, 0, 0]
    assert found["failure_rate"] == [1 / 3, None, 0.0]
    assert found["duration_p50"] == [25.0, None, 200.0]
    assert found["cpu_cores"] == [1.0, 2.0, 1.0], "2 cores for 200 s, half of them in the middle step"
    assert found["memory_bytes"] == [1000, 1000, 1000]
    assert found["time_sinks"] == [0, 0, 1] and found["cost_dollars"] == [2.0, 0.0, 0.0]
    assert from_history(history[:1], where)["cpu_cores"] == [None, None, None], "unknown is not 0"


def test_lines_fit_what_the_terminal_can_show() -> None:
    assert sparkline([0, 1, None, 7], BLOCKS) == "▁▂ █"
    assert sparkline([0, 0.001, 7], ASCII) == "_.#"[:2] + "@"
    assert sparkline([], BLOCKS) == "" and sparkline([None, None], BLOCKS) == "  "
    none: list[float | None] = [None, None]
    series = dict.fromkeys(
        ("failed", "failure_rate", "duration_p50", "duration_p95", "cpu_cores", "memory_bytes", "time_sinks"), none
    )
    body = {"since": "a", "until": "b", "ends": ["a", "b"], "step_seconds": 60.0, "source": "store", "note": "why\x1b[2J"}
    lines = list(draw({**body, "series": {**series, "ended": [1, 3], "cost_dollars": [0.5, None]}}, ASCII))
    assert lines[0] == "from a to b, 2 steps of 1m, source: store (why)"
    assert [line.split() for line in lines[2:]] == [["ended", "-@", "3", "3", "4"], ["cost", "@", "$0.50", "$0.50", "$0.50"]]
    assert "".join(lines).isascii()
    known = {
        **body,
        "source": "prometheus",
        "series": {**series, "ended": [1, 3], "cost_dollars": none, "duration_p50": [5.0, None]},
    }
    assert sum("as exact as the buckets" in line for line in draw(known, ASCII)) == 1 and "buckets" not in "".join(lines)


def test_on_a_narrow_terminal_steps_share_a_mark() -> None:
    ended: list[float | None] = [float(i) for i in range(96)]
    series = {name: [None] * 96 for _, name, *_ in LINES} | {"ended": ended, "failure_rate": [None] * 95 + [0.5]}
    body = {"since": "2026-01-01", "until": "2026-01-02", "ends": ["t"] * 96, "step_seconds": 900.0, "source": "store"}
    whole = list(draw({**body, "note": None, "series": series}, BLOCKS))
    fitted = list(draw({**body, "note": "Prometheus knows nothing of this exporter", "series": series}, BLOCKS, 80))
    assert max(map(len, whole)) > 96 and max(map(len, fitted)) <= 80
    assert "each mark is 3 steps: their sum, or for what has none the largest" in fitted
    assert [len(line.split()[1]) for line in fitted if line.startswith("ended")] == [32]
    assert merged([1.0, 2.0, None, 4.0, 5.0], 2, True) == [1.0, 2.0, 9.0], "the newest are whole"
    assert merged([1.0, None, None, 4.0, 5.0], 2, False) == [1.0, None, 5.0]


# ── from where ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "no Prometheus"),
        (b"[]", "no Prometheus"),
        (b'{"status":"success","data":{}}', "no Prometheus"),
        (b'{"status":"error","error":"too many samples"}', "too many samples"),
        (b'{"status":"success","data":{"result":[]}}', "does not know the exporter"),
    ],
)
def test_what_is_no_answer_is_said_and_the_store_answers(start_exporter: Starter, body: bytes, words: str) -> None:
    with answering(body) as url:
        exporter = start_exporter("--prometheus-url", url)
        client = Client(exporter.url, exporter.key)
        run(client, "Dump", "no disk")
        found = client.trends("1h")
    assert found["source"] == "store" and words in found["note"]
    assert sum(found["series"]["failed"]) == 1


def test_the_store_answers_where_prometheus_must_not(start_exporter: Starter) -> None:
    exporter = start_exporter("--prometheus-url", "http://127.0.0.1:9")
    client = Client(exporter.url, exporter.key)
    run(client, "Hers", user="ann", project="x")
    run(client, "His", "no disk", user="bob")
    assert "cannot be reached" in client.trends("1h")["note"]
    asked = client.trends("1h", source="store")
    assert (asked["source"], asked["note"], sum(asked["series"]["ended"])) == ("store", None, 2)
    assert len(asked["ends"]) == len(asked["series"]["ended"]) == 60 and asked["ends"][-1].endswith("Z")
    assert sum(client.trends("30d", project="x")["series"]["ended"]) == 1
    own = Client(exporter.url, key_of(exporter, "bob")).trends("1h")
    assert sum(own["series"]["ended"]) == 1 and "everyone's" in own["note"]
    with pytest.raises(ApiError) as refused:
        client.trends("5s")
    assert (refused.value.status, refused.value.field) == (422, "timeframe")
    drawn = headway(exporter, "trends", "--timeframe", "1h", "--ascii")
    assert drawn.returncode == 0 and re.search(r"^failure rate +_?@ +50%", drawn.stdout.replace(" " * 59, ""), re.M), drawn.stdout
    assert json.loads(headway(exporter, "trends", "--json").stdout)["step_seconds"] == 1800


def test_text_is_text_in_a_query() -> None:
    assert quoted('a"b\\c\nd') == r'"a\"b\\c\nd"'
    where = Grid(60.0, (0.0, 60.0))
    asked = expressions(["a.b:1"], where, 'x"} or vector(1) #')
    assert all('name="x\\"} or vector(1) #"' in text for text in asked.values())
    assert r'instance=~"a\\.b:1"' in asked["ended"]


@pytest.mark.stack
def test_a_real_prometheus_answers(start_exporter: Starter, tmp_path: Path) -> None:
    exporter: RunningExporter = start_exporter("--sample-interval", "0.2")
    client = Client(exporter.url, exporter.key)
    run(client, 'first "of" all')
    with prometheus(tmp_path, [f"127.0.0.1:{exporter.port}"]) as url:
        server = Prometheus(url)
        wait_until(lambda: server.instances(exporter.url, time() - 60, time()), timeout=30, what="the exporter known")
        recorded = "sum(instance_outcome:headway_finished:sum)"
        wait_until(lambda: server.range(recorded, Grid(1.0, (time() - 2,)))[0] == 1.0, timeout=60, what="the recorded sums")
        marked = time()
        for n in range(4):
            run(client, 'first "of" all', "no disk" if n == 0 else None, metadata={"cost_dollars": 0.5})
        wait_until(lambda: server.range(recorded, Grid(1.0, (time(),)))[0] == 5.0, timeout=60, what="the new sums")
        # A step that reaches back to just before the four runs, when there was a value already.
        began, step = time(), float(ceil(time() - marked))
        instances = server.instances(exporter.url, began - 60, began)
        for name in (None, 'first "of" all'):
            asked = expressions(instances, Grid(step, (began,)), name)
            values = {key: server.range(text, Grid(step, (began,)))[0] for key, text in asked.items()}
            assert values["ended"] == 4 and values["failed"] == 1 and values["failure_rate"] == 0.25, (name, values)
            assert values["cost_dollars"] == 2.0 and values["time_sinks"] == 0
            assert values["duration_p95"] is not None and 0 < values["duration_p95"] <= 1.0
        with pytest.raises(Unavailable, match="parse error"):
            server.range("sum(", Grid(1.0, (began,)))
