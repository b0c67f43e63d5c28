"""Which processes a command line means: those named by id, or all of a scope that are active."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headway.cli.connection import Connection
from headway.cli.exits import CommandError, Exit
from headway.cli.kill import KNOWN, SCOPES, why_nothing
from headway.cli.text import clean


def add_ids_or_scope(parser: argparse.ArgumentParser, by_name: bool = False) -> None:
    named = "; or a name, of which the newest is meant" if by_name else ""
    parser.add_argument("id", metavar="ID", nargs="*", help=f"the id, or a beginning that only it has{named}")
    scope = parser.add_argument_group("scope, in place of ids").add_mutually_exclusive_group()
    for kind in SCOPES:
        scope.add_argument(f"--{kind}", metavar=kind.upper(), help=f"all of this {kind}")


def scope_given(args: argparse.Namespace) -> dict[str, str]:
    """The filter that the scope is, empty where ids are given. Raises CommandError for both, and for neither."""
    scope = {kind: getattr(args, kind) for kind in SCOPES if getattr(args, kind) is not None}
    if bool(args.id) == bool(scope):
        raise CommandError(f"give either ids or one scope, such as --group; see headway {args.command} --help", Exit.USAGE)
    return scope


def active_in(connection: Connection, scope: Mapping[str, str], state: str = "active") -> list[dict[str, Any]]:
    """Oldest first. Raises CommandError where there are more than a command can look at."""
    found, more = connection.processes({**scope, "state": state}, KNOWN)
    if more:
        ((kind, word),) = scope.items()
        raise CommandError(f"more than {KNOWN:,} processes of the {kind} {word} are {state}: give a smaller scope")
    return found[::-1]


def say_nothing_found(connection: Connection, scope: Mapping[str, str], what: str, state: str = "active") -> bool:
    """Says why nothing in this scope is in this state; whether anything ever was in the scope."""
    ((kind, word),) = scope.items()
    there, _ = connection.processes({**scope, "state": "all"}, 1)
    print(f"headway: {what}: {why_nothing(connection, {'type': kind, f'{kind}_id': word}, state)}", file=sys.stderr)
    return bool(there)


def each(found: Iterable[Mapping[str, Any]], what: str, act: Callable[[str], None]) -> Exit:
    """`act` by id; what cannot be done to one is said and does not keep it from the others, but for what none of them would get."""
    code = Exit.OK
    for row in found:
        try:
            act(row["id"])
        except CommandError as error:
            if error.code in (Exit.REFUSED, Exit.UNREACHABLE):
                raise
            code = Exit.FAILED
            print(f"headway: {row['id']} ({clean(row['name'])}): not {what}: {error}", file=sys.stderr)
    return code
