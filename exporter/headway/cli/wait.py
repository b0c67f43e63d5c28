"""`headway wait`: returns when processes have ended."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.report_flags import duration
from headway.cli.rows import Json
from headway.cli.scoped import active_in, add_ids_or_scope, say_nothing_found, scope_given
from headway.cli.text import clean

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Returns when all of them have ended, and prints each with how it ended: those named, or those of a scope, whichever become active
there while it waits. Exit code 0 when all are done; 1 when one ended in another way; 124 when --timeout came first. A scope of
which nothing is active has nothing to wait for (0), one that nobody has ever heard of is a mistake (5). An exporter that goes
away meanwhile is waited for too."""
EXAMPLES = """\
  headway wait 0192f0c1-8f7a && ./publish
  headway wait --group encode --timeout 2h
"""
PAUSE: Final = 0.5
NAMED: Final = 5
TIMED_OUT: Final = 124  # as timeout(1) and `headway run`
ENDED: Final = frozenset({"done", "failed", "cancelled", "killed", "timed_out", "orphaned"})


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "wait", run, "wait until processes have ended", DESCRIPTION, EXAMPLES)
    add_ids_or_scope(parser, by_name=True)
    parser.add_argument("--timeout", type=duration, metavar="DURATION", help="at most so long (default: for ever)")
    parser.add_argument("--quiet", "-q", action="store_true", help="do not print whom it waits for, nor how they ended")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    scope = scope_given(args)
    connection = connect(args)
    until = None if args.timeout is None else time.monotonic() + args.timeout
    waiting: dict[str, Json] = {row["id"]: row for row in (connection.resolve(one, by_name=True) for one in args.id)}
    if scope:
        waiting = {row["id"]: row for row in active_in(connection, scope)}
        if not waiting:
            return Exit.OK if say_nothing_found(connection, scope, "nothing to wait for") else Exit.NOT_FOUND
    if not args.quiet and (running := [row for row in waiting.values() if row["status"] not in ENDED]):
        print(f"headway: waiting for {names(running)}", file=sys.stderr, flush=True)
    good, away = True, False
    while True:
        try:
            if scope:
                waiting.update((row["id"], row) for row in active_in(connection, scope))
            for process_id in list(waiting):
                row = connection.resolve(process_id)
                if row["status"] in ENDED:
                    del waiting[process_id]
                    good = good and row["status"] == "done"
                    if not args.quiet:
                        print(ending(row), flush=True)
            if scope and not waiting:
                # Whom the last look finds is waited for, though it may have ended at the next one.
                waiting.update((row["id"], row) for row in active_in(connection, scope))
            if not waiting:
                return Exit.OK if good else Exit.FAILED
            away = False
        except CommandError as error:
            if error.code is not Exit.UNREACHABLE:
                raise
            if not away:
                print(f"headway: {error}; waiting for it", file=sys.stderr, flush=True)
            away = True
        if until is not None and time.monotonic() >= until:
            print(f"headway: not ended after {args.timeout:g}s: {names(waiting.values())}", file=sys.stderr)
            return TIMED_OUT
        time.sleep(PAUSE if until is None else max(0.0, min(PAUSE, until - time.monotonic())))


def ending(row: Json) -> str:
    words = row["summary"] if row["status"] == "done" else row["error"]
    return f"{row['id']} ({clean(row['name'])}) {row['status'].replace('_', ' ')}" + (f": {clean(words)}" if words else "")


def names(rows: Collection[Json]) -> str:
    """The first of them, and how many more."""
    said = [clean(row["name"]) for row in rows]
    return ", ".join(said[:NAMED]) + (f" and {len(said) - NAMED:,} more" if len(said) > NAMED else "")
