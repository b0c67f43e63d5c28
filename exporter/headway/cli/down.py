"""`headway down`: ends configured services."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.kill import agreed
from headway.cli.readiness import standing
from headway.cli.services import add_choice, chosen, configured
from headway.cli.text import clean, columns

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Ends configured services with everything below them, each before those it depends on; they stay stopped, also when the exporter is
started again, until headway up. What was not named is shown first, and asked about. It says what was ended once that was seen.
Needs a key of the role operator."""
EXAMPLES = """\
  headway down web
  headway down --group shop --yes
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "down", run, "end configured services", DESCRIPTION, EXAMPLES)
    add_choice(parser, "end")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    connection = connect(args)
    every = configured(connection)
    picked = chosen(every, args.name, args.group)
    idle = {one["name"] for one in picked if one["status"] == "stopped" and not one["wanted"]}
    if not args.name:
        picked = [one for one in picked if one["name"] not in idle]
        if not picked:
            print("nothing to end")
            return Exit.OK
        if not args.yes:
            if not sys.stdin.isatty():
                raise CommandError("nobody can be asked here: give --yes, or the names of the services to end", Exit.USAGE)
            print(columns(("WOULD END", "STATUS", "PID"), [(one["name"], one["status"], str(one["pid"] or "-")) for one in picked]))
            if not agreed(len(picked)):
                print("headway: nothing was ended", file=sys.stderr)
                return Exit.FAILED
    code, names = Exit.OK, {one["name"] for one in picked}
    for one in connection.stop_services([*names]):
        if one["status"] == "stopped":
            print(f"{clean(one['name'])} was not running" if one["name"] in idle else f"stopped {clean(one['name'])}")
        if one["status"] != "stopped" or one["reason"]:
            print(f"headway: {clean(one['name'])}: {standing(one)}", file=sys.stderr)
            code = Exit.FAILED
    for other in every:
        if other["status"] == "running" and other["name"] not in names and (lost := names & {*other["depends_on"]}):
            print(f"headway: {clean(other['name'])} runs on without {clean(', '.join(sorted(lost)))}", file=sys.stderr)
    return code
