"""Configured services as the commands on them see them: which are meant, as rows, as a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from headway.cli.connection import Connection
from headway.cli.exits import CommandError, Exit
from headway.cli.rows import Json
from headway.cli.text import clean, columns
from headway.durations import format_duration
from headway.figures import size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

HOW: Final = "they are named in the exporter's configuration file (docs/services.md says how)"
HEAD: Final = ("NAME", "STATUS", "PID", "PORT", "UPTIME", "CPU", "MEM", "RESTARTS", "NEXT")
RIGHT: Final = ("PID", "UPTIME", "CPU", "MEM", "RESTARTS")
# What a narrow terminal does without, step by step.
STEPS: Final = ((), ("RESTARTS",), ("RESTARTS", "CPU", "MEM"), ("RESTARTS", "CPU", "MEM", "UPTIME", "NEXT"))
GAP: Final = 2
# A mark for terminals that can show it, one for those that cannot, and the colour of both.
MARKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "stopped": ("○", "o", "dim"),
    "starting": ("◔", "~", "cyan"),
    "running": ("●", "*", "green"),
    "stopping": ("◌", ".", "yellow"),
    "error": ("✗", "x", "red"),
}


# ── which are meant ─────────────────────────────────────────────────────────────────────────────────────────────────


def add_choice(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("name", metavar="NAME", nargs="*", help=f"the services to {what} (default: all)")
    parser.add_argument("--group", metavar="GROUP", help="all of this group")


def configured(connection: Connection) -> list[Json]:
    """All services, in the order of starting. Raises CommandError when there are none."""
    found: list[Json] = [*connection.services()]
    if not found:
        raise CommandError(f"no service is configured there, or none that this key may see: {HOW}", Exit.NOT_FOUND)
    return found


def chosen(every: Sequence[Json], names: Sequence[str], group: str | None = None) -> list[Json]:
    """Those named, those of a group, or all; in the order of starting. Raises CommandError for what there is not."""
    if names and group is not None:
        raise CommandError("give either names or --group", Exit.USAGE)
    known = [one["name"] for one in every]
    if unknown := [f"there is no service {clean(name)[:64]}: {meant(name, known)}" for name in names if name not in known]:
        raise CommandError("\n  ".join(unknown), Exit.NOT_FOUND)
    found = [one for one in every if (not names or one["name"] in names) and group in (None, one["group"])]
    if not found:
        groups = sorted({one["group"] for one in every if one["group"]})
        there = meant(group or "", groups) if groups else "no service has one"
        raise CommandError(f"there is no group {clean(group)[:64]}: {there}", Exit.NOT_FOUND)
    return found


def meant(given: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # slow to import, and needed by mistakes alone

    near = get_close_matches(given, known, n=1)
    return clean(f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")


def with_needed(names: Iterable[str], every: Sequence[Json]) -> list[Json]:
    """These and all that they depend on, as far as it can be seen; in the order of starting."""
    needs = {one["name"]: one["depends_on"] for one in every}
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in needs and name not in found:
            found.add(name)
            todo += needs[name]
    return [one for one in every if one["name"] in found]


def armed(one: Json) -> bool:
    """Whether it runs by a schedule and waits for its time, or is at it."""
    return one["schedule"] is not None and one["wanted"] and one["status"] != "error"


def runs(one: Json) -> bool:
    return one["status"] == "running" or armed(one)


def amiss(one: Json, named: bool = False) -> bool:
    """Whether it does not run and is to: because somebody wants it to, or names it. One in error is not what anybody wants."""
    return not runs(one) and (named or one["wanted"] or one["status"] == "error")


# ── as text ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def cells(one: Json) -> tuple[str, ...]:
    """One service by the columns of HEAD; "" for what is not known or does not apply."""
    port = "" if one["port"] is None else f"{one['port']} {'open' if one['port_open'] else 'closed'}"
    return (
        clean(one["name"]),
        one["status"],
        str(one["pid"] or ""),
        port,
        "" if one["uptime_seconds"] is None else format_duration(one["uptime_seconds"]),
        "" if one["cpu_ratio"] is None else f"{one['cpu_ratio'] * 100:.0f}%",
        "" if one["memory_bytes"] is None else size(one["memory_bytes"]),
        str(one["restarts"]),
        until(one["next_start"] or (one["schedule"] or {}).get("next_run")),
    )


def until(moment: str | None) -> str:
    """ "in 4m 12s"."""
    if moment is None:
        return ""
    left = (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()
    return f"in {format_duration(max(0.0, round(left)))}"


def remark(one: Json) -> str:
    """What there is to say of it in words."""
    parts = [one["reason"] or ""]
    if one["outdated"]:
        parts.append(f"runs with an older configuration: headway restart {one['name']}")
    schedule = one["schedule"]
    if schedule is not None and schedule["last_status"] is not None:
        parts.append(f"last run {schedule['last_status']}")
    if schedule is not None and schedule["missed"]:
        parts.append("1 run was missed" if schedule["missed"] == 1 else f"{schedule['missed']} runs were missed")
    return clean("; ".join(part for part in parts if part))


def plain(found: Sequence[Json]) -> str:
    """Columns for scripts, the reason last."""
    return columns((*HEAD, "REASON"), [[cell or "-" for cell in (*cells(one), remark(one))] for one in found])


def table(found: Sequence[Json], width: int, unicode: bool) -> RenderableType:
    """A table that fits into `width` columns, and below it what there is to say in full."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = [dict(zip(HEAD, cells(one), strict=True)) for one in found]
    for dropped in STEPS:
        shown = [column for column in HEAD if column not in dropped]
        widths = [max(len(column), *(len(row[column]) for row in rows)) for column in shown]
        if sum(widths) + GAP * len(shown) <= width:  # one gap is the mark's
            break
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    drawn.add_column("", no_wrap=True, width=1)
    for column in shown:
        drawn.add_column(column, justify="right" if column in RIGHT else "left", no_wrap=True, overflow="ellipsis")
    remarks: list[Text] = []
    for one, row in zip(found, rows, strict=True):
        fancy, ascii_mark, colour = MARKS.get(one["status"], ("?", "?", ""))
        drawn.add_row(Text(fancy if unicode else ascii_mark, style=colour), *(_coloured(row, name, colour) for name in shown))
        if said := remark(one):
            remarks.append(Text.assemble((row["NAME"], "bold"), f": {said}", overflow="fold"))
    return Group(drawn, *([Text(), *remarks] if remarks else []))


def _coloured(row: Mapping[str, str], column: str, colour: str) -> Text:
    from rich.text import Text

    if column == "STATUS":
        return Text(row[column], style=colour)
    return Text(row[column], style="red" if column == "PORT" and row["PID"] and row[column].endswith("closed") else "")
