"""`headway trends`: how things went over time, drawn in the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.rows import Json
from headway.cli.text import GAP, clean, columns, terminal_width, wrapped
from headway.durations import format_duration
from headway.figures import number, size

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Draws how things went over time: processes that ended and failed, failure rate, durations (median and 95%), CPU (cores in use),
memory, time sinks and cost. From Prometheus, where durations are as exact as the buckets of a histogram, else from the exporter's
store; the first line says which, and why. Each line has a scale of its own, from 0 to its largest value; a gap is a step of which
nothing is known."""
EXAMPLES = """\
  headway trends
  headway trends --timeframe 30d --project etl
  headway trends --json | jq '.series.failure_rate'
"""
BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII: Final = "_.-=+*#@"
BUCKETS: Final = (
    "durations are as exact as the buckets of Prometheus' histogram, and may be longer than any run was; "
    "--source store reckons them from the runs"
)
FILTERS: Final = {
    "type": "subagent, pipeline, cron, daemon or task",
    "name": "with exactly this name",
    "project": "of this project",
    "source": "store: do not ask Prometheus",
}
Show = Callable[[float], str]


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "trends", run, "draw how things went over time", DESCRIPTION, EXAMPLES)
    parser.add_argument("--timeframe", metavar="DURATION", default="24h", help="how far back: 1h, 24h (default), 30d")
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII alone (so anyway where the output is not UTF-8)")
    which = parser.add_argument_group("which")
    for name, words in FILTERS.items():
        which.add_argument(f"--{name}", metavar=name.upper(), help=words)
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    filters = {name: value for name in FILTERS if (value := getattr(args, name)) is not None}
    found = connect(args).trends(args.timeframe, filters)
    if args.json:
        print(json.dumps(found, indent=2))
        return Exit.OK
    unicode = not args.ascii and (sys.stdout.encoding or "").lower().startswith("utf")
    for line in draw(found, BLOCKS if unicode else ASCII, terminal_width()):
        print(line)
    return Exit.OK


def draw(found: Json, marks: str, width: int | None = None) -> Iterator[str]:
    """The lines, which fit into `width`, if there is one."""
    note = f" ({clean(found['note'])})" if found["note"] else ""
    steps = f"{len(found['ends'])} steps of {format_duration(found['step_seconds'])}"
    yield from wrapped([f"from {found['since']} to {found['until']}, {steps}, source: {found['source']}{note}"], width)
    if found["source"] == "prometheus" and any(value is not None for value in found["series"]["duration_p50"]):
        yield from wrapped([BUCKETS], width)
    rows: list[tuple[str, Sequence[float | None], bool, str, str, str]] = []
    for label, name, show, whole in LINES:
        values: Sequence[float | None] = found["series"][name]
        known = [value for value in values if value is not None]
        if known:
            total = show(sum(known)) if whole else "-"
            rows.append((label, values, whole, show(known[-1]), show(max(known)), total))
    if not rows:
        yield "nothing is known of this time"
        return
    length = len(found["ends"])
    if width is not None:
        cells = [(label, "LAST", "MOST", "TOTAL") for label, *_ in rows] + [(label, *shown) for label, _, _, *shown in rows]
        beside = sum(max(len(cell[number]) for cell in cells) for number in range(4)) + GAP * 4
        length = max(10, width - beside)
    each = -(-len(found["ends"]) // length)  # rounded up
    if each > 1:
        yield f"each mark is {each} steps: their sum, or for what has none the largest"
    drawn = [(label, sparkline(merged(values, each, whole), marks), *shown) for label, values, whole, *shown in rows]
    yield from columns(("", "", "LAST", "MOST", "TOTAL"), drawn).splitlines()


def merged(values: Sequence[float | None], each: int, whole: bool) -> list[float | None]:
    """So many values made one, counted from the newest: the sum of what can be summed (`whole`), else the largest."""
    found: list[float | None] = []
    for end in range(len(values), 0, -each):
        known = [value for value in values[max(0, end - each) : end] if value is not None]
        found.append(None if not known else sum(known) if whole else max(known))
    return found[::-1]


def sparkline(values: Sequence[float | None], marks: str) -> str:
    """One mark for each value, the lowest for 0 and the highest for the largest; a space where there is none."""
    most = max((value for value in values if value is not None), default=0.0)
    return "".join(" " if value is None else mark(value, most, marks) for value in values)


def mark(value: float, most: float, marks: str) -> str:
    if value <= 0 or most <= 0:
        return marks[0]
    return marks[min(len(marks) - 1, max(1, round(value / most * (len(marks) - 1))))]


def count(value: float) -> str:
    return number(round(value, 2))


def percent(value: float) -> str:
    return f"{value:.0%}"


def dollars(value: float) -> str:
    return f"${value:.2f}"


# Label, series, how a value is shown, whether a sum over all steps means something.
LINES: Final[tuple[tuple[str, str, Show, bool], ...]] = (
    ("ended", "ended", count, True),
    ("failed", "failed", count, True),
    ("failure rate", "failure_rate", percent, False),
    ("duration p50", "duration_p50", format_duration, False),
    ("duration p95", "duration_p95", format_duration, False),
    ("CPU cores", "cpu_cores", count, False),
    ("memory", "memory_bytes", size, False),
    ("time sinks", "time_sinks", count, True),
    ("cost", "cost_dollars", dollars, True),
)
