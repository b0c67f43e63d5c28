"""`headway dismiss ID`: takes an ended process out of the active view."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.text import clean

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Takes ended processes out of the active view, its alerts and its metrics; they stay in the history. Failed ones stay until this
is done."""
EXAMPLES = """\
  headway dismiss 0192f0c1-8f7a
  headway ps --state failed --json | jq -r '.[].id' | xargs -r headway dismiss
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "dismiss", run, "take ended processes out of the active view", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", nargs="+", help="the id, or a beginning that only it has")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    for wanted in args.id:
        process = connection.dismiss(connection.resolve(wanted)["id"])
        print(f"dismissed {process['id']} ({clean(process['name'])}, {process['status']})")
    return Exit.OK
