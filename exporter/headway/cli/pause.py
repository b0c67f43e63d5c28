"""`headway pause ID` and `headway resume ID`: stops processes where they are, and lets them go on."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.text import clean

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

PAUSE = """\
Stops the OS processes of running processes, and of everything below them, where they are (SIGSTOP). They keep their memory and
their open files, and use no CPU, until they are resumed or killed. Needs a key of the role operator."""
RESUME = """\
Lets paused processes go on, with everything below them (SIGCONT). Needs a key of the role operator."""


def add_parser(commands: Subparsers) -> None:
    for name, summary, about in (
        ("pause", "stop processes where they are, until resume", PAUSE),
        ("resume", "let paused processes go on", RESUME),
    ):
        parser = add_command(commands, name, run, summary, about, f"  headway {name} 0192f0c1-8f7a\n")
        parser.add_argument("id", metavar="ID", nargs="+", help="the id, or a beginning that only it has")
        add_connection_flags(parser)
        parser.set_defaults(verb=name)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    for wanted in args.id:
        process_id = connection.resolve(wanted)["id"]
        process = connection.pause(process_id) if args.verb == "pause" else connection.resume(process_id)
        print(f"{args.verb}d {process['id']} ({clean(process['name'])}, {process['status']})")
    return Exit.OK
