"""`headway discovered`: what the rules of discovery find, and why not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.text import columns

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Lists the OS processes that nobody reported and that a rule of the configuration (its section discover) means, with the process that
tracks each or the reason why none does; then the rules that nobody matches, and pid files that were left behind."""
EXAMPLES = """\
  headway discovered
  headway discovered --json | jq -r '.matches[] | select(.process_id == null) | .reason'
"""
NO_RULES = "there are no rules: the section discover of the configuration says what to look for (docs/discovery.md)"
NOT_YET = "the exporter has not looked yet"
LONGEST = 60


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "discovered", run, "list OS processes that rules have found", DESCRIPTION, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    found = connect(args).discovered()
    if args.json:
        print(json.dumps(found, indent=2))
    elif not found["rules"] and not found["matches"]:
        print(NO_RULES)
    elif found["looked_at"] is None:
        print(NOT_YET)
    else:
        print("\n\n".join(tables(found)))
    return Exit.OK


def tables(found: dict[str, Any]) -> Iterator[str]:
    """The table of matches, that of rules without one, that of stale pid files; those that have rows."""
    if found["matches"]:
        rows = [
            (
                one["rule"],
                one["name"],
                str(one["pid"]),
                one["process_id"] or "-",
                one["reason"] or "; ".join(one["why"]),
                short(one),
            )
            for one in found["matches"]
        ]
        yield columns(("RULE", "NAME", "PID", "PROCESS", "WHY", "COMMAND"), rows)
    if nobody := [(one["rule"], one["reason"] or "nobody matches") for one in found["rules"] if not one["matches"]]:
        yield columns(("RULE", "NOBODY, BECAUSE"), nobody)
    if found["stale"]:
        stale = [
            (one["rule"], one["pid_file"], "-" if one["pid"] is None else str(one["pid"]), one["reason"]) for one in found["stale"]
        ]
        yield columns(("RULE", "STALE PID FILE", "PID", "BECAUSE"), stale)


def short(match: dict[str, Any]) -> str:
    command: str = match["command"]
    return command if len(command) <= LONGEST else command[: LONGEST - 1] + "…"
