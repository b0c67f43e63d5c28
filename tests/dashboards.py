"""The committed dashboards, as the tests read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from grafana.asking import Asked, asked, substituted, values
from grafana.asking import panels as of_type

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "grafana" / "dashboards"
BOARDS: Final = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
Query = tuple[str, str, str]  # dashboard, refId, expression


def panels(uid: str) -> list[dict[str, Any]]:
    """Those that ask Prometheus."""
    return [dict(panel) for panel in of_type(BOARDS[uid], "prometheus")]


def log_panels(uid: str) -> list[dict[str, Any]]:
    return [dict(panel) for panel in of_type(BOARDS[uid], "loki")]


@cache
def recorded() -> dict[str, str]:
    """The recording rules that are generated with the dashboards, in their order: record → expression."""
    return _records("dashboards.yml")


@cache
def last_recorded() -> list[str]:
    """The last record of each group of them."""
    groups = yaml.safe_load((ROOT / "prometheus" / "rules" / "dashboards.yml").read_text(encoding="utf-8"))["groups"]
    return [group["rules"][-1]["record"] for group in groups]


@cache
def recorded_for_alerts() -> dict[str, str]:
    """The recording rules of the alerts, of which the dashboards read some."""
    return _records("time.yml")


def _records(file: str) -> dict[str, str]:
    groups = yaml.safe_load((ROOT / "prometheus" / "rules" / file).read_text(encoding="utf-8"))["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule}


# What is chosen in a dashboard of one process, where the small world is asked.
CHOSEN: Final = {"id": "backfill", "name": "NLP Backfill"}


def panel_named(uid: str, title: str) -> dict[str, Any]:
    return next(p for p in panels(uid) if p["title"] == title)


def questions(chosen: Mapping[str, str] = CHOSEN) -> list[Asked]:
    """Every query of every panel and annotation, with the variables put in."""
    made = [(BOARDS[uid], one) for uid in BOARDS for one in asked(uid, BOARDS[uid])]
    return [replace(one, expr=substituted(one.expr, values(board, chosen, one.points, one.interval))) for board, one in made]


def queries() -> list[Query]:
    return [(one.dashboard, f"{one.panel}/{one.ref}", one.expr) for one in questions()]


def expression(uid: str, ref: str, title: str = "") -> str:
    """`title`: of the panel, where several have such a query."""
    return next(one.expr for one in questions() if (one.dashboard, one.ref) == (uid, ref) and title in ("", one.panel))


def overrides(panel: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Column or query → its properties."""
    return {o["matcher"]["options"]: {p["id"]: p["value"] for p in o["properties"]} for o in panel["fieldConfig"]["overrides"]}


def without_zero(expr: str) -> str:
    """A count without the 0 that is there whenever an exporter is, and that is no data."""
    return expr.partition(" or 0 * count(")[0]
