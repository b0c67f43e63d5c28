"""`headway pause ID` and `headway resume ID`: stops processes where they are, and lets them go on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import Connection, add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.scoped import active_in, add_ids_or_scope, each, say_nothing_found, scope_given
from headway.cli.text import clean

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

PAUSE = """\
Stops the OS processes of running processes, and of everything below them, where they are (SIGSTOP). They keep their memory and
their open files, and use no CPU, until they are resumed or killed. By scope, all that run;
what cannot be paused, as it has no OS process here, is said, with exit code 1. Needs a key of the role operator."""
RESUME = """\
Lets paused processes go on, with everything below them (SIGCONT). Needs a key of the role operator."""
STATE: Final = {"pause": "running", "resume": "paused"}
OUTCOME: Final = {"pause": "paused", "resume": "running"}


def add_parser(commands: Subparsers) -> None:
    for name, summary, about in (
        ("pause", "stop processes where they are, until resume", PAUSE),
        ("resume", "let paused processes go on", RESUME),
    ):
        parser = add_command(
            commands, name, run, summary, about, f"  headway {name} 0192f0c1-8f7a\n  headway {name} --group encode\n"
        )
        add_ids_or_scope(parser)
        add_connection_flags(parser)
        parser.set_defaults(verb=name)


def run(args: argparse.Namespace) -> int:
    scope = scope_given(args)
    connection = connect(args)
    if scope:
        return by_scope(connection, scope, args.verb)
    for wanted in args.id:
        process_id = connection.resolve(wanted)["id"]
        process = connection.pause(process_id) if args.verb == "pause" else connection.resume(process_id)
        print(f"{args.verb}d {process['id']} ({clean(process['name'])}, {process['status']})")
    return Exit.OK


def by_scope(connection: Connection, scope: Mapping[str, str], verb: str) -> Exit:
    """Each that is in the state for it; what was reported below another is paused, and goes on, with that one."""
    found = active_in(connection, scope, STATE[verb])
    if not found:
        known = say_nothing_found(connection, scope, f"nothing was {verb}d", STATE[verb])
        return Exit.OK if known else Exit.NOT_FOUND

    def act(process_id: str) -> None:
        now = connection.resolve(process_id)
        if now["status"] == STATE[verb]:
            now = connection.pause(process_id) if verb == "pause" else connection.resume(process_id)
        elif now["status"] != OUTCOME[verb]:  # it has ended meanwhile
            return
        print(f"{verb}d {now['id']} ({clean(now['name'])}, {now['status']})")

    return each(found, f"{verb}d", act)
