"""What Grafana asks Prometheus for: every query of a dashboard's panels, annotations and variables, with the variables put in."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

SCRAPE: Final = 2.0  # s; timeInterval of the data source
POINTS: Final = 400  # what Grafana asks for a panel of half the width of a screen
UNITS: Final[Mapping[str, float]] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Not $1 and ${1}, which are groups of label_replace.
VARIABLE: Final = re.compile(r"\$\{([a-z_]\w*)(?::\w+)?\}|\$([a-z_]\w*)")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of the panel with this title; `ranged` over the dashboard's time with so many `points`, at least `interval` s apart,
    else at its end."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    ranged: bool
    points: int = POINTS
    interval: float = SCRAPE


def seconds(text: str) -> float:
    """Of `90s`, `15m` or `now-6h`."""
    found = re.fullmatch(r"(?:now-)?(\d+)([smhd])", text)
    if found is None:
        raise ValueError(f"not a time: {text}")
    return int(found[1]) * UNITS[found[2]]


def time_range(board: Mapping[str, Any]) -> float:
    """How far the dashboard looks back (s)."""
    return seconds(board["time"]["from"])


def step(board: Mapping[str, Any], points: int = POINTS, interval: float = SCRAPE) -> float:
    """The distance of the points of a graph (s)."""
    return max(interval, round(time_range(board) / points))


def panels(board: Mapping[str, Any], of: str) -> Iterator[Mapping[str, Any]]:
    """Its panels whose data is of this type (`prometheus`, `loki`), those in folded rows too."""
    for panel in board["panels"]:
        yield from (one for one in panel.get("panels", (panel,)) if one.get("datasource", {}).get("type") == of)


def asked(uid: str, board: Mapping[str, Any]) -> Iterator[Asked]:
    """The PromQL of its panels and its annotations."""
    for panel in panels(board, "prometheus"):
        for target in panel.get("targets", ()):
            points = panel.get("maxDataPoints", POINTS)
            interval = seconds(panel["interval"]) if panel.get("interval") else SCRAPE
            ranged = bool(target.get("range"))
            yield Asked(uid, panel["title"], target["refId"], target["expr"], ranged, int(points), interval)
    for annotation in board.get("annotations", {}).get("list", ()):
        if annotation.get("expr"):
            yield Asked(uid, annotation["name"], "annotation", annotation["expr"], True, interval=seconds(annotation["step"]))


def values(board: Mapping[str, Any], chosen: Mapping[str, str], points: int = POINTS, interval: float = SCRAPE) -> dict[str, str]:
    """Name of a variable → what Grafana puts in: what is chosen, else what is preset; $__rate_interval and the like."""
    span, distance = time_range(board), step(board, points, interval)
    found = {
        "__from": f"{1000 * (time.time() - span):.0f}",
        "__range": f"{span:.0f}s",
        "__interval": f"{distance:.0f}s",
        "__rate_interval": f"{max(distance + SCRAPE, 4 * SCRAPE):.0f}s",
    }
    for variable in board["templating"]["list"]:
        preset = variable.get("current", {}).get("value", "")
        if preset == "$__all" or preset == ["$__all"]:
            preset = variable["allValue"]
        found[variable["name"]] = preset
    return found | dict(chosen)


def substituted(expr: str, given: Mapping[str, str]) -> str:
    """The expression with its variables; KeyError when one is unknown."""
    return VARIABLE.sub(lambda found: given[found[1] or found[2]], expr)
