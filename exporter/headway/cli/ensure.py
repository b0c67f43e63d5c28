"""`headway ensure NAME`: services run before something that needs them begins."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.readiness import tell, wait_for
from headway.cli.services import chosen, configured, runs, with_needed
from headway.cli.up import add_wait_flag
from headway.reporter.steady import Steady

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
For the line before a workflow: starts those of the services, and of what they depend on, that do not run, and waits until all are
ready, through new starts after a failure, until one was given up or the wait is over. Exit code 0 when all run; otherwise 1, with
the reason of each on stderr and, of several, at last how many run. What it waits for is on stderr too, when that changes. Ctrl-C
ends the waiting at once and leaves the services as they are. A service with a schedule counts while it waits for its time; it is
not started. Nothing but looking is done when all run already; starting needs a key of the role operator."""
EXAMPLES = """\
  headway ensure db queue && ./nightly.sh
  headway ensure db --check || echo "no database"
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "ensure", run, "have services running, before a workflow", DESCRIPTION, EXAMPLES)
    parser.add_argument("name", metavar="NAME", nargs="+", help="the services")
    parser.add_argument("--check", action="store_true", help="only look, start nothing, wait for nothing")
    add_wait_flag(parser)
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    every = configured(connection)
    found = with_needed((one["name"] for one in chosen(every, args.name)), every)
    if args.check:
        return tell(found, None)
    # Its time is when a schedule says so, not when somebody else's work begins.
    missing = [one["name"] for one in found if one["schedule"] is None and not runs(one)]
    if missing:
        connection.start_services(missing, None)
    steady = Steady(args.wait, found)
    return tell(wait_for(connection, {one["name"] for one in found}, steady), steady)
