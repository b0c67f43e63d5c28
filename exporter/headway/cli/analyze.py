"""`headway analyze`: what is slow, why, and what to do."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.rows import Json, short_ids
from headway.cli.text import clean, columns, terminal_width, wrapped
from headway.durations import format_duration

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Says what is slow, why, and what to do. First recommendations, each with its reason in numbers and the command that carries it out;
nothing is done by itself. Then what waits for a person, time sinks, bottlenecks with whom they block, stuck processes, duplicates,
what will probably pass its timeout or use up the memory, and of each name how often it fails, how long it takes, whether that
changes, and its most common errors. Looks at the newest 10,000 processes that ended in the timeframe. While nothing is being stored
standard error says so."""
EXAMPLES = """\
  headway analyze
  headway analyze --project etl --timeframe 30d
  headway analyze --json | jq -r '.recommendations[] | select(.priority == "high") | .command'
"""
FILTERS: Final = {
    "type": "subagent, pipeline, cron, daemon or task",
    "name": "with exactly this name",
    "project": "of this project",
    "timeframe": "how far back: 1h, 24h, 30d (default 7d)",
    "since": "since this time (2026-01-31T08:00:00Z, or unix seconds)",
}
LONGEST: Final = 60
ERRORS: Final = 2
INDENT: Final = "  "
# Columns that are never cut: half an id, or half a number, is another.
WHOLE: Final = (
    "SEVERITY",
    "RATIO",
    "ELAPSED",
    "LEFT",
    "CPU",
    "MEMORY",
    "ID",
    "LAST",
    "TIMES",
    "RUNS",
    "FAILED",
    "MEDIAN",
    "MEAN",
    "P95",
)
UUID_LENGTH: Final = 36


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "analyze", run, "say what is slow, why, and what to do", DESCRIPTION, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    which = parser.add_argument_group("which")
    for name, words in FILTERS.items():
        which.add_argument(f"--{name}", metavar=name.upper(), help=words)
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    if args.since and args.timeframe:
        raise CommandError("--since and --timeframe exclude each other", Exit.USAGE)
    filters = {name: value for name in FILTERS if (value := getattr(args, name)) is not None}
    found = connect(args).analyze(filters)
    if notice := found.get("notice"):
        print(f"headway: {clean(notice)}", file=sys.stderr)
    if args.json:
        print(json.dumps(found, indent=2))
        return Exit.OK
    for line in describe(found, terminal_width()):
        print(line)
    return Exit.OK


def describe(found: Json, width: int | None = None) -> Iterator[str]:
    """The sections that have something in them; what is to be done comes first, because it is read first. `width`: of the terminal,
    into which the tables fit; None leaves everything whole."""
    if width is not None:
        found = with_short_ids(found)
    more = "" if found["history_complete"] else ", the newest of more"
    yield f"{found['active']} active, {found['history_runs']} ended since {found['since_at']}{more}"
    yield from todo(found["recommendations"], width)
    sections: tuple[tuple[str, tuple[str, ...], list[tuple[str, ...]]], ...] = (
        (
            "waiting for a person",
            ("NAME", "FOR", "WHAT", "ID"),
            [(w["name"], format_duration(w["waiting_seconds"]), w["waiting_for"], w["id"]) for w in found.get("waiting", ())],
        ),
        ("time sinks", ("SEVERITY", "NAME", "RATIO", "ELAPSED", "EXPECTED", "LEFT", "ID"), [*map(sink, found["time_sinks"])]),
        ("bottlenecks", ("SEVERITY", "NAME", "CPU", "MEMORY", "BLOCKS", "ID"), [*map(bottleneck, found["bottlenecks"])]),
        (
            "stuck",
            ("SEVERITY", "NAME", "EVIDENCE", "ID"),
            [(s["severity"], s["name"], s["evidence"], s["id"]) for s in found["stuck"]],
        ),
        ("duplicates", ("COMMAND", "INSTANCES"), [*map(duplicate, found["duplicates"])]),
        ("forecasts", ("WHAT", "NAME", "VERDICT", "PROBABLE", "FROM", "ID"), [*foreseen(found["forecasts"])]),
        ("scheduled runs that are missing", ("NAME", "MISSED", "EVERY", "RUNS"), [*missing(found["windows"])]),
        ("names", ("NAME", "RUNS", "FAILED", "RATE", "MEDIAN", "MEAN", "P95", "TREND"), [*map(pattern, found["patterns"])]),
    )
    for heading, head, rows in sections:
        if rows:
            yield ""
            yield heading
            yield from table(head, [tuple(cut(cell) for cell in row) for row in rows], width)
    yield from errors(found["patterns"], width)
    yield from wrapped(costs(found["costs"]), width)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    text = columns(head, rows, None if width is None else width - len(INDENT), WHOLE)
    return (INDENT + line for line in text.splitlines())


def with_short_ids(found: Json) -> Json:
    """As ps shows them on a terminal: the beginnings of UUIDs, which every command takes."""
    ids = {one["id"] for one in of_ids(found)}
    short = short_ids([id for id in ids if len(id) == UUID_LENGTH])
    return cast(Json, shorter(found, short))


def of_ids(value: Any) -> Iterator[Json]:
    """All parts of an answer that have an id."""
    if isinstance(value, Mapping):
        if isinstance(value.get("id"), str):
            yield value
        if isinstance(value.get("last_id"), str):
            yield {"id": value["last_id"]}
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from of_ids(part)


def shorter(value: Any, short: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: short.get(part, part) if key in ("id", "last_id") and isinstance(part, str) else shorter(part, short)
            for key, part in value.items()
        }
    return [shorter(part, short) for part in value] if isinstance(value, list) else value


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def todo(recommendations: list[Json], width: int | None) -> Iterator[str]:
    if not recommendations:
        yield "nothing to recommend"
    for one in recommendations:
        yield ""
        yield from wrapped([f"{one['priority'].upper()} {clean(one['about'])}: {clean(one['action'])}"], width)
        yield from wrapped([f"  because {clean(one['reason'])}"], width)
        yield f"  {clean(one['command'])}"  # whole, to be copied


def sink(one: Json) -> tuple[str, ...]:
    word = f"{one['severity']}{' (foreseen)' if one['foreseen'] else ''}"
    whence = "" if one["expected_runs"] is None else f" ({one['expected_runs']} runs)"
    expected, elapsed = format_duration(one["expected_seconds"]) + whence, format_duration(one["elapsed_seconds"])
    return word, one["name"], f"{one['ratio']:.1f}x", elapsed, expected, span(one["eta_seconds"]), one["id"]


def bottleneck(one: Json) -> tuple[str, ...]:
    blocked = ", ".join(other["name"] for other in one["blocks"]) or "-"
    return one["severity"], one["name"], percent(one["cpu_ratio"]), percent(one["memory_ratio"]), blocked, one["id"]


def duplicate(one: Json) -> tuple[str, ...]:
    return one["command"], " ".join(f"{i['id']}{' (first)' if i['original'] else ''}" for i in one["instances"])


def foreseen(forecasts: list[Json]) -> Iterator[tuple[str, ...]]:
    for one in forecasts:
        if one["verdict"] != "no":
            yield one["what"].replace("_", " "), one["name"], one["verdict"], percent(one["probability"]), one["basis"], one["id"]


def missing(windows: list[Json]) -> Iterator[tuple[str, ...]]:
    for one in windows:
        if one["missed"]:
            yield one["name"], one["missed"], format_duration(one["every_seconds"]), str(one["runs"])


def pattern(one: Json) -> tuple[str, ...]:
    low, high = one["failure_rate_range"] or (0.0, 1.0)
    rate = "-" if one["failure_rate"] is None else f"{one['failure_rate']:.0%} ({low:.0%} to {high:.0%})"
    trend = one["duration_trend"]
    words = (
        "-"
        if trend is None
        else trend["direction"]
        if trend["direction"] == "steady"
        else f"{trend['change']:+.0%} over {trend['runs']}"
    )
    times = (span(one[f"duration_{which}"]) for which in ("median", "mean", "p95"))
    return one["name"], str(one["runs"]), str(one["failed"]), rate, *times, words


def errors(patterns: list[Json], width: int | None) -> Iterator[str]:
    rows = [(str(e["count"]), p["name"], e["message"], e["last_id"]) for p in patterns for e in p["errors"][:ERRORS]]
    if rows:
        rows.sort(key=lambda row: -int(row[0]))
        yield ""
        yield "errors"
        cells = [(count, cut(name), message[: 2 * LONGEST], last) for count, name, message, last in rows[:10]]
        yield from table(("TIMES", "NAME", "ERROR", "LAST"), cells, width)


def costs(found: Json) -> Iterator[str]:
    if not found["processes"]:
        return
    yield ""
    yield f"costs ${found['dollars']:.2f} of {found['processes']} processes"
    for what in ("agent", "project", "day"):
        shares = ", ".join(f"{clean(share['of'])} ${share['dollars']:.2f}" for share in found[f"by_{what}"][-5:])
        yield f"  by {what}: {shares}"


def span(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(seconds)


def percent(ratio: Any) -> str:
    return "-" if ratio is None else f"{ratio:.0%}"
