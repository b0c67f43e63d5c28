"""`headway suggest NAME`: limits for the next run, from the earlier ones."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.rows import Json
from headway.cli.text import clean, columns, terminal_width, wrapped
from headway.durations import format_duration
from headway.figures import size

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Suggests a timeout, an expected duration, and limits of memory and CPU time for a name, from its good runs: what 99% of them kept
within, and a quarter more. With few runs that is little more than the largest that was seen, and is called weak. Ends with the
command that runs it so; COMMAND stands for yours."""
EXAMPLES = """\
  headway suggest "Nightly dump"
  headway suggest backfill --json | jq -r '.[0].timeout.value'
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "suggest", run, "suggest limits for a name from its earlier runs", DESCRIPTION, EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="the name that all its runs share")
    parser.add_argument("--type", metavar="TYPE", help="only of this type: subagent, pipeline, cron, daemon or task")
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    found = connect(args).suggest(args.name, args.type)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n\n".join("\n".join(describe(one, terminal_width())) for one in found))
    return Exit.OK


def exact(seconds: float) -> str:
    """As the command below says it, that both can be seen to be the same."""
    return f"{seconds:g}s" if seconds < 60 or seconds % 1 else format_duration(seconds)


def describe(one: Json, width: int | None = None) -> Iterator[str]:
    yield f"{clean(one['name'])} ({one['type']}), {one['runs']} good run{'' if one['runs'] == 1 else 's'}"
    rows = []
    if one["expected_seconds"] is not None:
        rows.append(("expected duration", format_duration(one["expected_seconds"]), "the median", "", ""))
    for word, key in (("timeout", "timeout"), ("memory limit", "memory"), ("CPU limit", "cpu_seconds")):
        if (limit := one[key]) is not None:
            show = size if key == "memory" else format_duration
            whence = f"p99 {show(limit['p99'])} + {limit['margin']:.0%}"
            rows.append(
                (
                    word,
                    size(limit["value"]) if key == "memory" else exact(limit["value"]),
                    whence,
                    f"{limit['runs']} runs",
                    limit["trust"],
                )
            )
    if rows:
        yield from columns(("LIMIT", "VALUE", "FROM", "RUNS", "TRUST"), rows, width, ("VALUE",)).splitlines()
    if one["reason"]:
        yield from wrapped([f"note: {one['reason']}"], width)
    if one["command"]:
        yield clean(one["command"])  # whole, to be copied
