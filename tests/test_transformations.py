"""What Grafana makes of the answers before it shows them: its own transformations, run in Node on what a real Prometheus says.

They come from npm, but for two that Grafana keeps to itself and that transform.cjs writes anew. `make test` installs them where
node and npm are (python3 -m stack transformations); without them these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from grafana.asking import substituted, values

from dashboards import BOARDS, CHOSEN, ROOT, log_panels, panel_named
from scraping import raw
from test_dashboard_queries import LISTED, World, world  # noqa: F401  (the fixture)

FOLDER = ROOT / "tests/transforming"
EVERYTHING = dict.fromkeys(("kind", "project", "task", "agent", "name"), "(?s:.*)")

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules/@grafana/data").exists(), reason="no @grafana/data: python3 -m stack transformations"
    ),
]
Row = dict[str, Any]


def transformed(panel: dict[str, Any], answers: dict[str, Any]) -> list[Row]:
    """The rows of the table that Grafana shows."""
    asked = {"transformations": panel["transformations"], "answers": answers}
    done = subprocess.run(
        ["node", "transform.cjs"], cwd=FOLDER, input=json.dumps(asked), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    assert len(tables) == 1, "one table"
    return [dict(zip(tables[0]["fields"], row, strict=True)) for row in tables[0]["rows"]]


def shown(world: World, uid: str, title: str, **chosen: str) -> list[Row]:  # noqa: F811
    """The table of this panel over the world, of the first exporter."""
    board, panel = BOARDS[uid], panel_named(uid, title)
    given = values(board, {**CHOSEN, **chosen})
    answers = {target["refId"]: raw(world.prometheus, substituted(target["expr"], given)) for target in panel["targets"]}
    places = panel["transformations"][-1]["options"]["indexByName"]
    wanted = sorted(places, key=places.__getitem__)
    named = panel["transformations"][-1]["options"]["renameByName"]
    rows = transformed(panel, answers)
    present = [name for name in (named.get(source, source) for source in wanted) if name in rows[0]]
    assert list(rows[0]) == present, "the columns stand in their order, and no others"
    return [row for row in rows if row.get("external_url", f"http://{world.first}") == f"http://{world.first}"]


def test_active_processes(world: World) -> None:  # noqa: F811
    rows = shown(world, "headway-overview", "Active processes")
    assert {row["id"] for row in rows} == LISTED and len(rows) == len(LISTED)
    found = {row["id"]: row for row in rows}
    assert [row["order"] for row in rows] == sorted((row["order"] for row in rows), reverse=True)
    one = found["backfill"]
    assert (one["Process"], one["Items"], one["Time left"], one[" "]) == ("NLP Backfill", "51/80 sessions", "~14min", 3)
    assert one["%"] == pytest.approx(51 / 80) and one["Progress"] == "64" and one["tone"] is None
    assert found["query"]["Flags"] == "stuck" and found["late"]["Flags"] in ("overdue, duplicate", "duplicate, overdue")
    assert found["layer"]["Process"] == "↳ Build images › Layer 3" and found["graph"]["Result"] == "412 nodes merged"
    assert found["deck"]["%"] is None and found["deck"]["Items"] is None, "unknown is empty"


def test_needs_attention(world: World) -> None:  # noqa: F811
    rows = shown(world, "headway-overview", "Needs attention")
    severities = [row[" "] for row in rows]
    assert severities == sorted(severities, reverse=True) and severities[0].startswith("9 ")
    said = {row["id"]: row["What"] for row in rows}
    assert said["import"] == "Failed with exit code 1: no column: phone" and said["orphan"] == "Vanished without a final word"


def test_active_and_history(world: World) -> None:  # noqa: F811
    rows = shown(world, "headway-active", "Processes", **EVERYTHING)
    found = {row["id"]: row for row in rows}
    assert "import" not in found and found["backfill"][" "] == "3" and found["late"]["Flags"] is not None
    assert found["backfill"]["Progress"] == found["backfill"]["%"] == pytest.approx(51 / 80) and found["deck"]["%"] is None
    assert found["backfill"]["Kind"] == "task" and found["query"]["Time left"] == 33, "it is stuck, and shown as elsewhere"
    past = {row["id"]: row for row in shown(world, "headway-history", "Processes", **EVERYTHING)}
    assert past["import"]["Exit"] == "1" and past["import"]["Status"] == "11" and past["graph"]["Duration"] == pytest.approx(480)
    assert past["graph"]["Result"] == "412 nodes merged" and past["backfill"]["Ended"] is None
    assert past["graph"]["Ended"] - past["graph"]["Started"] == pytest.approx(480_000, abs=200), "in tenths of seconds"


def test_nested_processes(world: World) -> None:  # noqa: F811
    rows = shown(world, "headway-process", "Nested processes", id="release")
    assert {(row["id"], row["Place"]) for row in rows} == {
        ("images", "↳ child"),
        ("changelog", "↳ child"),
        ("layer", "↳↳ child of a child"),
    }
    assert {row["id"]: row["Place"] for row in shown(world, "headway-process", "Nested processes", id="layer")} == {
        "images": "↑ parent"
    }


def test_last_lines() -> None:
    (panel,) = log_panels("headway-overview")

    def line(at: int, process: str, text: str) -> Row:
        labels = {"job": "headway", "host": "h", "name": f"Name of {process}", "kind": "task", "source": "output"}
        return {"ts": 1_790_000_000_000 + at, "line": text, "labels": labels | {"id": process, "process": process}}

    lines = [line(1, "a", "first"), line(5, "b", "of b"), line(9, "a", "last"), line(3, "a", "middle")]
    rows = transformed(panel, {"lines": {"lines": lines}})
    assert [(row["Process"], row["Last line"], row["id"]) for row in rows] == [
        ("Name of a", "last", "a"),
        ("Name of b", "of b", "b"),
    ]
