"""`headway cancel ID`: asks a running process to end itself."""

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
Asks the reporters of running processes to end them: the next answer to each says so. `headway run` then ends its command and
everything below it (SIGTERM, and SIGKILL after its --grace); a script that opted in gets Cancelled at its next update. The exporter
itself signals nothing: what does not listen goes on, and `headway kill` ends it. Needs a key of the role operator."""
EXAMPLES = """\
  headway cancel 0192f0c1-8f7a
  headway cancel 0192f0c1-8f7a --key-file .headway/exporter/admin.key
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "cancel", run, "ask running processes to end themselves", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", nargs="+", help="the id, or a beginning that only it has")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    for wanted in args.id:
        process = connection.cancel(connection.resolve(wanted)["id"])
        print(f"asked {process['id']} ({clean(process['name'])}, {process['status']}) to end")
    return Exit.OK
