"""`headway output ID`: the captured output of a process."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.report_flags import whole
from headway.cli.text import clean

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Prints what a process has printed or reported. On a terminal its control sequences are left out; into a pipe the lines go as
they are."""
EXAMPLES = """\
  headway output 0192f0c1-8f7a --tail 20
  headway output 0192f0c1-8f7a --follow | grep -i warning
"""
MOST_LINES: Final = 100_000


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "output", run, "print the output of a process", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", help="the id, or a beginning that only it has; or a name, of which the newest is meant")
    add_output_flags(parser, 500)
    add_connection_flags(parser)


def add_output_flags(parser: argparse.ArgumentParser, tail: int) -> None:
    add_lines_flag(parser, "tail", tail)
    parser.add_argument("--follow", "-f", action="store_true", help="go on with each new line until the process has ended")


def add_lines_flag(parser: argparse.ArgumentParser, name: str, default: int) -> None:
    """How many of the last lines, which is called `name` there; whoever knows it by its other name from elsewhere is understood."""
    names = sorted(("--tail", "--lines"), key=lambda flag: flag != f"--{name}")
    how_many = whole(0, MOST_LINES)
    parser.add_argument(*names, "-n", type=how_many, default=default, metavar="N", help=f"the last N lines (default {default})")


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    process_id = connection.resolve(args.id, by_name=True)["id"]
    write(connection.follow(process_id, args.tail) if args.follow else connection.output(process_id, args.tail))
    return Exit.OK


def write(lines: Iterable[str]) -> None:
    safe = sys.stdout.isatty()
    for line in lines:
        print(clean(line) if safe else line, flush=True)
