"""`headway show ID`: all that is known of one process."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.output import add_output_flags, write
from headway.cli.rows import MARKS, Json, Row, row
from headway.cli.text import clean, columns, terminal_width, wrapped
from headway.durations import format_duration
from headway.figures import number, size

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Shows one process: progress and time left, what is wrong with it and why, what it belongs to, its limits, its history of
statuses, its children and the end of its output."""
EXAMPLES = """\
  headway show 0192f0c1-8f7a
  headway show "Nightly import"             the newest run of that name
  headway show 0192f0c1-8f7a --follow       and then its output as it comes
  headway show 0192f0c1-8f7a --json | jq .metadata
"""
DURATIONS: Final = ("expected_duration", "timeout")
TIMES: Final = (
    ("created", "created_at"),
    ("started", "started_at"),
    ("updated", "updated_at"),
    ("last progress", "last_progress_at"),
    ("last output", "last_output_at"),
    ("finished", "finished_at"),
    ("dismissed", "dismissed_at"),
)
BELONGS: Final = (
    "user",
    "project",
    "task",
    "attempt",
    "agent",
    "group",
    "parent_id",
    "host",
    "pid",
    "cwd",
    "command",
    "description",
)
ANSI: Final = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1", "": ""}


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "show", run, "show one process", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", help="the id, or a beginning that only it has; or a name, of which the newest is meant")
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    add_output_flags(parser, 10)
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    process = connection.resolve(args.id, by_name=True)
    if args.json:
        print(json.dumps(process, indent=2))
        return Exit.OK
    for line in describe(process, Style(sys.stdout.isatty() and "NO_COLOR" not in os.environ, terminal_width())):
        print(line)
    if args.follow:
        print("\noutput")
        write(connection.follow(process["id"], args.tail))
    elif tail := process["log_tail"][-args.tail :] if args.tail else []:
        more = f" (the last {len(tail)} of {len(process['log_tail'])} lines)" if len(tail) < len(process["log_tail"]) else ""
        print(f"\noutput{more}")
        write(f"  {line}" for line in tail)
    return Exit.OK


class Style:
    """Colours, or none; how wide the terminal is, if it is one."""

    def __init__(self, colours: bool, width: int | None = None) -> None:
        self.colours = colours
        self.width = width

    def __call__(self, text: str, colour: str) -> str:
        return f"\x1b[{ANSI[colour]}m{text}\x1b[0m" if self.colours and ANSI.get(colour) and text else text


def describe(process: Json, style: Style) -> Iterator[str]:
    """The lines that `show` prints, without the output."""
    found = row(process)
    mark = MARKS[found.status][0 if (sys.stdout.encoding or "").lower().startswith("utf") else 1]
    state = style(found.flags or found.status, found.colour)
    yield f"{style(mark, found.colour)} {style(found.name, 'bold')} · {process['type']} · {state}"
    yield f"  {process['id']}"
    yield from wrapped((f"  {line}" for line in facts(process, found)), style.width)
    for heading, lines in (
        ("conditions", conditions(process)),
        ("belongs to", pairs((name.replace("_id", ""), process[name]) for name in BELONGS)),
        ("limits", pairs(limits(process))),
        (
            "metadata",
            pairs((key, value if isinstance(value, str) else json.dumps(value)) for key, value in process["metadata"].items()),
        ),
        ("history", history(process)),
        ("children", children(process)),
    ):
        if lines:
            yield ""
            yield style(heading, "dim")
            yield from wrapped((f"  {line}" for line in lines), style.width)


def facts(process: Json, found: Row) -> list[str]:
    """Progress, pace and resources, then what it said at last."""
    low, high = (format_duration(seconds) for seconds in process["eta_range"] or (0, 0))
    between = f" ({low} to {high})" if low != high else ""
    ended_as = [f"exit code {process['exit_code']}"] if process["exit_code"] is not None else []
    ended_as += [f"signal {process['signal']}"] if process["signal"] is not None else []
    return pairs(
        (
            ("progress", " · ".join(part for part in (found.count, found.percent) if part)),
            ("stage", process["stage"]),
            ("waits for", waits(process)),
            ("rate", found.rate),
            ("time left", found.left + between if found.left else None),
            ("elapsed", found.elapsed),
            ("OS state", process.get("os_state")),
            ("CPU", found.cpu),
            ("memory", found.memory + shared(process)),
            ("summary", process["summary"]),
            ("error", process["error"]),
            ("ended with", ", ".join(ended_as)),
            *((label, moment(process[name])) for label, name in TIMES),
        )
    )


def waits(process: Json) -> str | None:
    """What a person is to do, and since when it waits for that."""
    what = process.get("waiting_for")
    return f"a person: {what} (since {moment(process['waiting_since'])})" if what else None


def shared(process: Json) -> str:
    """What of its memory is its own share, where that is measured (an exporter with memory_pss)."""
    proportional = process.get("proportional_memory_bytes")
    return "" if proportional is None else f" ({size(proportional)} with what is shared divided)"


def conditions(process: Json) -> list[str]:
    lines = []
    for found in process["conditions"]:
        words = f"{found['name'].replace('_', ' ')} ({found['severity']}, since {moment(found['since'])})"
        lines.append(f"{words}: {clean(found['reason'])}")
    return lines + [f"blocked by {clean(blocker)}" for blocker in process["blocked_by"]]


def limits(process: Json) -> Iterator[tuple[str, str | None]]:
    for name in DURATIONS:
        yield name.replace("_", " "), None if process[name] is None else format_duration(process[name])
    for name, value in process["thresholds"].items():
        server = process.get("serves_port") if name == "stuck_after" else None
        off = "off" if server is None else f"off: it only waits for callers on port {server}"
        shown = off if value is None else format_duration(value) if name.endswith("_after") else number(value)
        yield name.replace("_", " "), shown


def history(process: Json) -> list[str]:
    moves = process.get("transitions", [])
    rows = [(moment(move["at"]) or "", move["to"], clean(move["cause"] or "")) for move in moves]
    return columns(rows[0], rows[1:]).splitlines() if rows else []


def children(process: Json, depth: int = 0) -> list[str]:
    lines: list[str] = []
    for child in process["children"]:
        if isinstance(child, Mapping):
            found = row(child)
            parts = (
                found.name,
                found.status,
                found.count,
                found.percent,
                found.flags if found.flags != found.status else "",
                found.id,
            )
            lines.append("  " * depth + " · ".join(part for part in parts if part))
            lines += children(child, depth + 1)
        else:
            lines.append("  " * depth + clean(child))
    if depth == 0 and lines and (totals := process.get("totals")):
        lines.append(f"together {totals['processes']} processes, {totals['ended']} ended{spent(totals)}")
    return lines


def spent(totals: Json) -> str:
    used = "".join(f", {number(count)} {clean(direction)} tokens" for direction, count in totals["tokens"].items())
    return used + ("" if totals["cost_dollars"] is None else f", {totals['cost_dollars']:.2f} dollars")


def moment(text: str | None) -> str | None:
    """A time of the API without its milliseconds."""
    return None if text is None else text.split(".")[0].replace("T", " ") + " UTC"


def pairs(items: Iterable[tuple[str, Any]]) -> list[str]:
    """Lines of "name  value", without the empty ones."""
    known = [(name, clean(value)) for name, value in items if value not in (None, "")]
    width = max((len(clean(name)) for name, _ in known), default=0)
    return [f"{clean(name).ljust(width)}  {value}" for name, value in known]
