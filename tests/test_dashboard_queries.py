"""What the queries of the dashboards answer on a real Prometheus: over a small world, which two exporters with the same ids show.
test_dashboards_live asks them about a live exporter."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dashboards import CHOSEN, expression, last_recorded, queries, questions, without_zero
from exposition import HOSTILE, WORLD, exposition
from scraping import ask, prometheus
from waiting import wait_until

pytestmark = pytest.mark.stack


class World:
    """The addresses of the two exporters and the Prometheus that scrapes them; `born` is the now of the world (unix s)."""

    def __init__(self, prometheus: str, port: int, born: float) -> None:
        self.prometheus, self.born = prometheus, born
        self.first, self.second = f"127.0.0.1:{port}", f"localhost:{port}"

    def ask(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        return ask(self.prometheus, expr, at)

    def cells(self, ref: str) -> dict[str, dict[str, Any]]:
        """A column of the Active processes: id → row of the first exporter."""
        rows = [r for r in self.ask(expression("headway-overview", ref)) if r["key"].startswith(self.first)]
        return {row["key"].removeprefix(self.first + " "): row for row in rows}

    def column(self, ref: str, label: str) -> dict[str, str]:
        return {key: row[label] for key, row in self.cells(ref).items() if label in row}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    born = time.time()

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(born, f"http://{self.headers['Host']}", time.time() - born).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    port = server.server_address[1]
    try:
        with prometheus(tmp_path_factory.mktemp("prometheus"), [f"127.0.0.1:{port}", f"localhost:{port}"]) as url:

            def both(record: str) -> bool:
                return len(ask(url, f"count by (instance) ({record})")) == 2

            # The last of each group, whose rules are evaluated one after the other.
            for last in last_recorded():
                wait_until(partial(both, last), timeout=30, what=last)
            yield World(url, port, born)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LISTED = {key for key, actor in WORLD.items() if not actor.dismissed}


@pytest.mark.parametrize(("uid", "ref", "expr"), queries())
def test_every_query_gives_data(world: World, uid: str, ref: str, expr: str) -> None:
    itself = without_zero(expr)
    # A process that runs has no result, one that has ended no rate.
    ended = itself.replace(f'id="{CHOSEN["id"]}"', 'id="import"')
    # It has no children either.
    nested = itself.replace(f'id="{CHOSEN["id"]}"', 'id="release"')
    # The rules of the alerts are evaluated beside, and a rate needs two scrapes.
    rows = wait_until(lambda: world.ask(itself) or world.ask(ended) or world.ask(nested), timeout=30, what=expr, interval=0.2)
    assert itself == expr or rows[0]["value"] > 0


@pytest.mark.parametrize(("uid", "ref", "expr"), queries())
def test_without_an_exporter_nothing_is_claimed(world: World, uid: str, ref: str, expr: str) -> None:
    assert world.ask(expr, at=world.born - 3600) == []


def test_counts(world: World) -> None:
    got = {ref: world.ask(expression("headway-overview", ref))[0]["value"] for ref in ("total", "failed", "stuck", "completed")}
    assert got == {"total": 2 * len(LISTED), "failed": 2 * 5, "stuck": 2, "completed": 2 * 3}
    nobody = expression("headway-overview", "stuck").replace('condition="stuck"', 'condition="never"')
    assert [row["value"] for row in world.ask(nobody)] == [0]


def test_rows_are_the_listed_processes_with_the_page_of_their_exporter(world: World) -> None:
    rows = world.ask(expression("headway-overview", "order"))
    assert len(rows) == 2 * len(LISTED) and {row["id"] for row in rows} == LISTED
    assert {(row["key"].split()[0], row["external_url"]) for row in rows} == {
        (world.first, f"http://{world.first}"),
        (world.second, f"http://{world.second}"),
    }
    symbols = {key: row["value"] for key, row in world.cells("symbol").items()}
    assert {key: code for key, code in symbols.items() if code != WORLD[key].code} == {"changelog": 110, "faded": 210}


def test_active_shows_the_time_left_of_what_is_stuck_too(world: World) -> None:
    chosen = CHOSEN | {"name": "database-query"}
    expr = next(one.expr for one in questions(chosen) if (one.dashboard, one.ref) == ("headway-active", "time_left"))
    assert {row["key"]: row["value"] for row in world.ask(expr)} == {f"{world.first} query": 33, f"{world.second} query": 33}


def test_titles_show_the_tree(world: World) -> None:
    titles = world.column("order", "title")
    assert titles["release"] == "Release 2.4" and titles["images"] == "↳ Build images"
    assert titles["layer"] == "↳ Build images › Layer 3"
    assert titles["lost"] == "Lost child"  # its parent is long gone
    assert titles["hostile"] == HOSTILE


def test_order(world: World) -> None:
    order = {key: row["value"] for key, row in world.cells("order").items()}
    assert order.keys() == LISTED
    assert len(set(order.values())) >= len(LISTED) - 2
    listed = sorted(LISTED, key=lambda key: -order[key])
    assert listed[:8] == ["hostile", "timeout", "killed", "import", "orphan", "asking", "query", "build"]
    assert listed[-5:] == ["webinar", "graph", "cancelled", "asked", "faded"]
    tree = listed[listed.index("release") :][:4]
    assert tree[0] == "release" and set(tree[1:3]) == {"images", "layer"} and tree[3] == "changelog"


def test_cells(world: World) -> None:
    bars = world.column("progress", "bar")
    assert (bars["backfill"], bars["refresh"], bars["import"], bars["deck"], bars["graph"]) == ("64", "-41", "25.5", "0.25", "-100")
    assert not {"webinar", "faded", "starting"} & bars.keys()
    # Its rules need each other's answers, and some of them a second evaluation.
    wait_until(lambda: "counter" in world.column("items", "items"), timeout=30, what="the items")
    items = world.column("items", "items")
    assert items["backfill"] == "51/80 sessions" and items["refresh"] == "0.41M/1M messages"
    assert items["counter"] == "130 rows" and items["killed"] == "1/4" and "deck" not in items
    left = world.column("time_left", "text")
    assert left["query"] == "~33s"  # it is stuck, and its time left grows: as on the pages
    assert left["backfill"] == "~14min" and left["lint"] == "~6min"
    assert re.fullmatch(r"[2-9]min ago", left["graph"]), "two minutes, and what this test has taken"
    assert world.column("rate", "rate") == {"backfill": "2.1/min", "images": "12.5/s", "lint": "7.2/min", "release": "9/h"}
    assert world.column("result", "result")["graph"] == "412 nodes merged"
    assert world.cells("elapsed")["import"]["value"] == pytest.approx(600)
    assert world.cells("cancel").keys() == {key for key, actor in WORLD.items() if actor.code < 10}
    assert world.cells("tone").keys() == {"hostile", "timeout", "killed", "import", "orphan"}


def test_every_process_has_a_row_of_flags(world: World) -> None:
    flags: dict[str, set[str]] = {}
    for row in world.ask(expression("headway-overview", "flags")):
        where, key = row["key"].split(" ")
        if where == world.first:
            flags.setdefault(key, set()).add(row.get("flag", ""))
    assert flags.keys() == LISTED
    assert flags["query"] == {"stuck"} and flags["webpack"] == {"bottleneck · blocks 2"} and flags["deck"] == {""}
    assert flags["asking"] == {"waiting"}
    assert flags["late"] == {"overdue", "duplicate"} and flags["zombie"] == {"zombie"}
    (sink,) = flags["build"]
    assert re.fullmatch(r"time sink \d(\.\d)?×", sink)


def test_attention_is_in_sentences_with_since_when(world: World) -> None:
    rows = [r for r in world.ask(expression("headway-overview", "since")) if r["instance"] == world.first]
    said = {(row["id"], row["severity"].partition(" ")[2]): row["text"] for row in rows}
    ago = {row["id"]: round(world.born - row["value"] / 1000) for row in rows if row["value"]}
    assert said[("import", "failed")] == "Failed with exit code 1: no column: phone"
    assert said[("hostile", "failed")] == "Failed with exit code 3: " + HOSTILE.replace("\n", " ")
    assert said[("timeout", "timed_out")] == "Ended for its time limit"
    assert said[("orphan", "orphaned")] == "Vanished without a final word"
    assert re.fullmatch(r"No output and no progress for \d+min", said[("query", "stuck")])
    assert re.fullmatch(r"Takes \d(\.\d)?× as long as expected", said[("build", "time_sink")])
    assert said[("webpack", "bottleneck")] == "2 others wait for it"
    assert said[("asking", "waiting")] == "Waits for a person: approval of the plan" and ago["asking"] == 240
    assert said[("late", "overdue")] == "Still runs after its time limit of 60min"
    assert not [key for key, _ in said if WORLD[key].dismissed]
    assert ago["import"] == 900 and ago["query"] == 190 and ago["build"] == 351 - 2 * 100 and ago["late"] == 400
    assert ago["webpack"] == 60


def test_services_and_schedules(world: World) -> None:
    services = world.ask(expression("headway-overview", "services"))
    badges = {(row["service"], row["value"]): row.get("more") for row in services if row["instance"] == world.first}
    assert badges == {("api", 2): None, ("worker", 4): " · restarted 3×", ("mail", 0): None}
    (due,) = (row for row in world.ask(expression("headway-overview", "next_run")) if row["key"].startswith(world.first))
    assert due["name"] == "Nightly" and due["value"] == pytest.approx(1000 * (world.born + 3600))
    missed = world.ask(expression("headway-overview", "missed"))
    assert [row["value"] for row in missed] == [2, 2]


def test_active_and_history_obey_their_filters(world: World) -> None:
    first = {("headway-active", "order"), ("headway-history", "started")}  # the column that says which rows there are

    def ids(uid: str, **chosen: str) -> set[str]:
        asked = next(one.expr for one in questions({**CHOSEN, **chosen}) if one.dashboard == uid and (uid, one.ref) in first)
        return {row["id"] for row in world.ask(asked)}

    running = {key for key, actor in WORLD.items() if actor.code < 10}
    every = {"name": "(?s:.*)"}
    assert ids("headway-active", **every) == running
    assert ids("headway-active", **every, kind="subagent|cron") == {"deck", "webinar", "late", "asking"}
    assert ids("headway-active", **every, status="4") == {"refresh"}
    assert ids("headway-active", **every, status="[0-9]+") == LISTED
    assert ids("headway-active", name="NLP Backfill") == {"backfill"}
    # The second exporter's ids are the same; what ended before the 3 h that are shown is not there.
    assert ids("headway-history", **every) == set(WORLD)
    assert ids("headway-history", **every, outcome="11|13|14|15", kind="task") == {
        key for key, actor in WORLD.items() if actor.code in (11, 13, 14, 15) and actor.kind == "task"
    }
