"""`headway retry ID`: starts once more what the exporter started."""

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
Starts commands once more that have ended and that the exporter was asked to start (POST /api/processes/track), each as a new
process with everything that was given the first time: name, environment, folder, limits. Not what was started elsewhere, as by
headway run in a terminal, and not what was given a secret: that is not kept. Needs a key of the role operator."""
EXAMPLES = "  headway retry 0192f0c1-8f7a\n"


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "retry", run, "start once more what the exporter started", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", nargs="+", help="the id, or a beginning that only it has")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    for wanted in args.id:
        old = connection.resolve(wanted)["id"]
        process = connection.retry(old)
        print(f"started {process['id']} ({clean(process['name'])}), again for {old}")
    return Exit.OK
