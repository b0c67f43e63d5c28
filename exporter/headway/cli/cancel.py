"""`headway cancel ID`: asks a running process to end itself."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.scoped import active_in, add_ids_or_scope, each, say_nothing_found, scope_given
from headway.cli.text import clean

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Asks the reporters of running processes to end them: the next answer to each says so. `headway run` then ends its command and
everything below it (SIGTERM, and SIGKILL after its --grace); a script that opted in gets Cancelled at its next update. The exporter
itself signals nothing: what does not listen goes on, and `headway kill` ends it. Needs a key of the role operator."""
ACTIVE: Final = frozenset({"queued", "starting", "running", "paused"})
EXAMPLES = """\
  headway cancel 0192f0c1-8f7a
  headway cancel --group encode
  headway cancel 0192f0c1-8f7a --key-file .headway/exporter/admin.key
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "cancel", run, "ask running processes to end themselves", DESCRIPTION, EXAMPLES)
    add_ids_or_scope(parser)
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    scope = scope_given(args)
    connection = connect(args)

    def act(process_id: str) -> None:
        process = connection.cancel(process_id)
        print(f"asked {process['id']} ({clean(process['name'])}, {process['status']}) to end")
        if not process["cancellable"] and process["status"] in ACTIVE:
            print(f"headway: {process['id']} has not said that it listens to such a request: it may go on", file=sys.stderr)

    if scope:
        if found := active_in(connection, scope):
            return each(found, "asked to end", act)
        return Exit.OK if say_nothing_found(connection, scope, "nothing was asked to end") else Exit.NOT_FOUND
    for wanted in args.id:
        act(connection.resolve(wanted)["id"])
    return Exit.OK
