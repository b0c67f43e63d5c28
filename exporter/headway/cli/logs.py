"""`headway logs NAME`: what a configured service wrote."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.output import add_lines_flag, write
from headway.cli.text import clean

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Prints what a configured service wrote, over all its starts, from its log files. On a terminal its control sequences are left out;
into a pipe the lines go as they are."""
EXAMPLES = """\
  headway logs web --lines 20
  headway logs web --follow | grep -i error
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "logs", run, "print what a configured service wrote", DESCRIPTION, EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="the service")
    add_lines_flag(parser, "lines", 100)
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on with each new line, also when it is started anew, until Ctrl-C"
    )
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    if args.follow:
        write(connection.follow_logs(args.name, args.lines))
        return Exit.OK
    found = connection.logs(args.name, args.lines)
    write(found)
    if not found and args.lines:
        print(f"headway: {clean(args.name)} has written nothing yet", file=sys.stderr)
    return Exit.OK
