"""The committed dashboards, as the tests read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "grafana" / "dashboards"
BOARDS: Final = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
Query = tuple[str, str, str]  # dashboard, refId, expression


def panels(uid: str) -> list[dict[str, Any]]:
    return list(BOARDS[uid]["panels"])


def queries() -> list[Query]:
    return [(uid, target["refId"], target["expr"]) for uid in BOARDS for panel in panels(uid) for target in panel["targets"]]


def expression(uid: str, ref: str) -> str:
    return next(expr for board, name, expr in queries() if (board, name) == (uid, ref))


def overrides(panel: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Column or query → its properties."""
    return {o["matcher"]["options"]: {p["id"]: p["value"] for p in o["properties"]} for o in panel["fieldConfig"]["overrides"]}


def without_zero(expr: str) -> str:
    """A count without the 0 that is there whenever an exporter is, and that is no data."""
    return expr.partition(" or 0 * count(")[0]
