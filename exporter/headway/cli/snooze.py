"""`headway snooze`: alerts that are not sent for a while, by a silence of Alertmanager."""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from headway.alerting.client import Alertmanager, Silence
from headway.alerting.rules import alert_names
from headway.cli.alerting_check import alertmanager_help, find_alertmanager
from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.text import clean, columns
from headway.durations import format_duration, parse_duration
from headway.ids import check_id
from headway.settings import SETTINGS

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Alerts about a process, a name, or of a kind are not sent for a while; they still show on the pages. What is given together must all
be so. The end of the silence, or headway snooze --end, lets them through again."""
EXAMPLES = """\
  headway snooze 0192f0c1 2h                      one process
  headway snooze --name "Nightly import" 8h       every run of that name
  headway snooze --alert HeadwayProcessStuck --name sync 30m
  headway snooze --list
  headway snooze --end 5b1d8f3e
"""
SHORTEST: Final = 4
LONGEST: Final = 366 * 86400.0


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "snooze", run, "keep alerts quiet for a while", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "words", metavar="[ID] DURATION", nargs="*", help="the process (or a beginning of its id), and for how long: 2h"
    )
    parser.add_argument("--name", help="alerts about processes of this name")
    parser.add_argument("--alert", help="alerts of this kind, such as HeadwayProcessStuck")
    parser.add_argument("--comment", help="why, for others who look at it")
    parser.add_argument("--list", action="store_true", help="what is quiet now, and for how long")
    parser.add_argument("--end", metavar="SILENCE", help="end this silence (a beginning of its id is enough)")
    parser.add_argument("--alertmanager", metavar="URL", help=alertmanager_help())
    add_connection_flags(parser)
    parser.set_defaults(words_anywhere=True)


def run(args: argparse.Namespace) -> int:
    alertmanager = find_alertmanager(args.alertmanager)
    asked = bool(args.words or args.name or args.alert)
    if args.list + bool(args.end) + asked != 1:
        raise CommandError("say what to keep quiet and for how long (headway snooze ID 2h), or --list, or --end", Exit.USAGE)
    if args.list:
        return show(alertmanager)
    if args.end:
        return end(alertmanager, args.end)
    return snooze(alertmanager, args)


def snooze(alertmanager: Alertmanager, args: argparse.Namespace) -> int:
    *ids, length = args.words or ("",)
    if len(ids) > 1 or not (ids or args.name or args.alert):
        raise CommandError("what to keep quiet is one id, --name or --alert, then a duration: headway snooze ID 2h", Exit.USAGE)
    try:
        seconds = parse_duration(length)
    except ValueError:
        raise CommandError(
            f"{length!r} does not say for how long: the last word is a duration, such as 30m or 2h", Exit.USAGE
        ) from None
    if not 1 <= seconds <= LONGEST:
        raise CommandError("a snooze lasts from a second to a year", Exit.USAGE)
    process = resolved(args, ids[0], length) if ids and not is_whole(ids[0]) else None
    matchers = {
        **({"id": process["id"] if process else ids[0]} if ids else {}),
        **({"name": args.name} if args.name else {}),
        **({"alertname": args.alert} if args.alert else {}),
    }
    now = time.time()
    made = alertmanager.silence(matchers, now, now + seconds, user(), args.comment or "headway snooze")
    for doubt in doubts(args):
        print(f"headway: {doubt}", file=sys.stderr)
    words = " and ".join(f"{name} {clean(value)}" for name, value in matchers.items())
    print(f"quiet for {format_duration(seconds)}: {words}")
    print(f"headway snooze --end {made[:8]} ends it")
    return Exit.OK


def resolved(args: argparse.Namespace, wanted: str, length: str) -> dict[str, Any]:
    """The process whose id begins so. Raises CommandError, which says what to do where it is a name."""
    connection = connect(args)
    try:
        return connection.resolve(wanted)
    except CommandError as error:
        named: list[dict[str, Any]] = []
        with suppress(CommandError):
            named, _ = connection.processes({"name": wanted, "state": "all"}, 1)
        if not named:
            raise
        words = f"{error}; every run of that name: headway snooze --name {shlex.quote(wanted)} {length}"
        raise CommandError(words, Exit.NOT_FOUND) from None


def doubts(args: argparse.Namespace) -> Iterator[str]:
    """What is probably a mistake in it, as far as anybody can be asked: it is made nevertheless, for what is to come."""
    from difflib import get_close_matches

    if args.alert:
        row = SETTINGS["prometheus_url"]
        known = alert_names(os.environ.get(row.variable) or row.default)
        from headway.announcing.words import ALERT as ANNOUNCEMENT

        if known and args.alert not in {*known, ANNOUNCEMENT}:
            near = get_close_matches(args.alert, known, n=1)
            there = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            yield f"Prometheus has no alert {clean(args.alert)[:64]}: {there}"
    if args.name:
        with suppress(CommandError):
            connection = connect(args)
            found, _ = connection.processes({"name": args.name, "state": "all"}, 1)
            if not found and args.name not in {one["name"] for one in connection.services()}:
                yield f"no process and no service is called {clean(args.name)[:64]} (case counts): headway ps --all lists them"


def show(alertmanager: Alertmanager) -> int:
    now = time.time()
    rows = [
        (one.id[:8], clean(one.matchers), format_duration(max(0.0, one.ends_at - now)), clean(one.created_by), clean(one.comment))
        for one in alertmanager.silences()
    ]
    print(columns(("SILENCE", "OF", "LEFT", "BY", "COMMENT"), rows) if rows else "nothing is snoozed")
    return Exit.OK


def end(alertmanager: Alertmanager, wanted: str) -> int:
    found = [one for one in alertmanager.silences() if one.id.startswith(wanted)] if len(wanted) >= SHORTEST else []
    if len(found) != 1:
        words = (
            f"{len(found)} silences begin with {wanted}; give more of it"
            if found
            else f"there is no silence {wanted}: headway snooze --list shows them"
        )
        raise CommandError(words, Exit.NOT_FOUND)
    (one,) = found
    alertmanager.end_silence(one.id)
    print(f"ended: {words_of(one)} is told of again")
    return Exit.OK


def words_of(one: Silence) -> str:
    return clean(one.matchers)


def is_whole(text: str) -> bool:
    """Whether it is an id as the server makes them; the exporter need not be asked for these."""
    try:
        check_id(text)
    except ValueError:
        return False
    return len(text) == 36 and text.count("-") == 4


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "headway"
