"""`headway dismiss ID`: takes an ended process out of the active view."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import Connection, add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.kill import agreed
from headway.cli.text import clean, columns

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Takes ended processes out of the active view, its alerts and its metrics; they stay in the history. What failed, timed out, was
orphaned or was killed by nobody knows whom stays until this is done. --all-ended takes all of those, --name those with exactly
this name; they are shown first, and it asks."""
EXAMPLES = """\
  headway dismiss 0192f0c1-8f7a
  headway dismiss --all-ended
  headway dismiss --name "Fetch rates" --yes
  headway ps --state undismissed --project etl --limit 10000 --json | jq -r '.[].id' | xargs -r headway dismiss
"""
MOST: Final = 1_000_000


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "dismiss", run, "take ended processes out of the active view", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", nargs="*", help="the id, or a beginning that only it has")
    parser.add_argument("--all-ended", action="store_true", help="in place of ids: all that ended badly and was not dismissed")
    parser.add_argument("--name", metavar="NAME", help="in place of ids: those of them with exactly this name")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    if bool(args.id) + args.all_ended + (args.name is not None) != 1:
        raise CommandError("give either ids, --all-ended or --name; see headway dismiss --help", Exit.USAGE)
    if args.name == "":
        raise CommandError('--name: expected the name of processes, such as "Fetch rates"', Exit.USAGE)
    connection = connect(args)
    if not args.id:
        return ended(connection, args.name, args.yes)
    for wanted in args.id:
        dismiss(connection, connection.resolve(wanted)["id"])
    return Exit.OK


def ended(connection: Connection, name: str | None, yes: bool) -> int:
    """All that ended badly and was not dismissed; with a `name`, of this name."""
    found, _ = connection.processes({"state": "undismissed"} | ({} if name is None else {"name": name}), MOST)
    if not found:
        of_it = "" if name is None else f" of the name {clean(name)}: headway ps --state undismissed shows what there is"
        print(f"nothing to dismiss{of_it}")
        return Exit.OK
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError(
                "nobody can be asked here: give --yes to dismiss them all the same; headway ps --state undismissed shows them",
                Exit.USAGE,
            )
        rows = [(process["status"], clean(process["name"]), process["id"]) for process in found]
        print(columns(("WOULD GO", "NAME", "ID"), rows))
        if not agreed(len(found), "dismiss"):
            print("headway: nothing was dismissed", file=sys.stderr)
            return Exit.FAILED
    for process in found:
        dismiss(connection, process["id"])
    return Exit.OK


def dismiss(connection: Connection, process_id: str) -> None:
    process = connection.dismiss(process_id)
    print(f"dismissed {process['id']} ({clean(process['name'])}, {process['status']})")
