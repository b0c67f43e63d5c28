"""`headway status`: configured services, as a table."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import Connection, add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.ps import terminal, unicode_of
from headway.cli.rows import Json
from headway.cli.services import add_choice, amiss, chosen, configured, plain, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from headway.cli.command import Subparsers

DESCRIPTION = """\
Shows configured services: status, process, port, how long it runs, CPU (100% = one core) and memory of its tree, how often it was
started anew, when it is started next, and in words why it is as it is. Into a pipe it writes plain columns. Exit code 0 when every
service runs that is to run (all those named, if names are given), 1 otherwise; one with a schedule counts while it waits for its
time."""
EXAMPLES = """\
  headway status
  headway status web && echo "it runs"
  headway status --watch                    redrawn every 2 seconds
  headway status --json | jq -r '.[] | select(.status == "error") | .reason'
"""
REDRAW: Final = 2.0


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "status", run, "show configured services", DESCRIPTION, EXAMPLES)
    add_choice(parser, "show")
    parser.add_argument("--watch", action="store_true", help=f"redraw every {REDRAW:g} seconds until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    found = look(connection, args)
    console = None if args.json else terminal()
    if args.watch:
        watch(connection, args, console, found)
    if args.json:
        print(json.dumps(found, indent=2))
    elif console is None:
        print(plain(found))
    else:
        console.print(table(found, console.width, unicode_of(console)))
    return Exit.OK if not any(amiss(one, bool(args.name)) for one in found) else Exit.FAILED


def look(connection: Connection, args: argparse.Namespace) -> list[Json]:
    return chosen(configured(connection), args.name, args.group)


def watch(connection: Connection, args: argparse.Namespace, console: Console | None, found: list[Json]) -> None:
    """Until Ctrl-C. An exporter that goes away is waited for, with the last table in view."""
    if console is None:
        while True:
            print(json.dumps(found) if args.json else plain(found) + "\n", flush=True)
            time.sleep(REDRAW)
            found = look(connection, args)
    from rich.live import Live

    with Live(view(console, found), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            time.sleep(REDRAW)
            problem = None
            try:
                found = look(connection, args)
            except CommandError as error:
                if error.code is not Exit.UNREACHABLE:
                    raise
                problem = str(error)
            live.update(view(console, found, problem), refresh=True)


def view(console: Console, found: list[Json], problem: str | None = None) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    running = sum(1 for one in found if one["status"] == "running")
    wrong = sum(1 for one in found if amiss(one))
    last = f"{running} of {len(found)} running, {wrong} not as wanted · {time.strftime('%H:%M:%S')} · Ctrl-C ends"
    below = Text(last, style="dim") if problem is None else Text(f"{problem} · trying again", style="red")
    return Group(table(found, console.width, unicode_of(console)), Text(), below)
