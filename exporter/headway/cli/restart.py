"""`headway restart NAME`: ends configured services and starts them anew."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.readiness import tell, wait_for
from headway.cli.services import chosen, configured
from headway.cli.text import clean
from headway.cli.up import add_wait_flag
from headway.reporter.steady import Steady

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Ends configured services with everything below them and starts them anew, with the configuration that the exporter has now; waits
until they are ready. Exit code 0 when all of them run, 1 otherwise. Needs a key of the role operator."""
EXAMPLES = "  headway restart web worker\n"


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "restart", run, "end configured services and start them anew", DESCRIPTION, EXAMPLES)
    parser.add_argument("name", metavar="NAME", nargs="+", help="the services")
    add_wait_flag(parser)
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    begun, left = [], []
    for one in chosen(configured(connection), args.name):
        try:
            connection.restart_service(one["name"])
            begun.append(one["name"])
        except CommandError as error:
            if error.code is not Exit.FAILED:
                raise
            # One that cannot be ended is no reason to leave the others as they are.
            print(f"headway: {clean(error)}", file=sys.stderr)
            left.append(one["name"])
    if not begun or not args.wait:
        return Exit.FAILED if left else Exit.OK
    steady = Steady(args.wait)
    return tell(wait_for(connection, begun, steady, ran=True), steady, ran=True, others=left)
