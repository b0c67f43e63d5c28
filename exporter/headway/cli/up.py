"""`headway up`: starts configured services."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.readiness import DEFAULT_WAIT, tell, wait_for
from headway.cli.report_flags import duration
from headway.cli.services import add_choice, chosen, configured
from headway.reporter.steady import Steady

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Starts configured services, and before each what it depends on; waits until they are ready, through new starts after a failure, and
says on stderr what it waits for. What runs already stays as it is. A service with a schedule waits for its time; one that is named
runs at once. Exit code 0 when all of them run, 1 otherwise. Needs a key of the role operator."""
EXAMPLES = """\
  headway up                                all of them
  headway up web worker --wait 5m
  headway up --group shop --json
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "up", run, "start configured services", DESCRIPTION, EXAMPLES)
    add_choice(parser, "start")
    add_wait_flag(parser)
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives, once it is known what came of it")
    add_connection_flags(parser)


def add_wait_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=duration, default=DEFAULT_WAIT, metavar="DURATION", help="at most so long (default 90s); 0: not at all"
    )


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    asked = chosen(configured(connection), args.name, args.group)
    names, steady = [one["name"] for one in asked], Steady(args.wait, asked)
    begun = connection.start_services(names if args.name else None, args.group)
    # What they depend on is started with them, and fails for them.
    every = {one["name"] for one in begun} | {*names}
    ran = bool(args.name)
    found = wait_for(connection, every, steady, ran)
    if args.json:
        print(json.dumps(found, indent=2))
    return Exit.OK if not args.wait else tell(found, steady, ran, quiet=args.json)
