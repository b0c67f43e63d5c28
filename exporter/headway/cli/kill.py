"""`headway kill`: ends processes with everything below them, one by one or by scope."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from headway.cli.command import add_command
from headway.cli.connection import Connection, add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.report_flags import duration, pid, wrong
from headway.cli.rows import Json
from headway.cli.text import clean, columns

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Ends the OS processes of tracked processes with everything below them, children first: a polite signal, and SIGKILL for those that
live after the grace. It says what was ended once that was seen. By scope it shows first what it would end, and asks. Never ended
are init, the kernel's threads, the exporter and what it runs below. A scope of which nothing is active is said, with
exit code 5; if all is left alone, the exit code is 1. Needs a key of the role operator;
--pid of an OS process that is not tracked needs admin."""
EXAMPLES = """\
  headway kill 0192f0c1-8f7a
  headway kill 0192f0c1-8f7a --signal INT --grace 30s
  headway kill --task 4711 --dry-run
  headway kill --all-except-executors --yes
"""
SCOPES: Final = ("task", "project", "group", "attempt")
KNOWN: Final = 1000  # so many of the newest processes are looked at for what a misspelt scope may have meant


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "kill", run, "end processes and everything below them", DESCRIPTION, EXAMPLES)
    parser.add_argument("id", metavar="ID", nargs="*", help="the id, or a beginning that only it has")
    parser.add_argument("--signal", metavar="NAME", default="TERM", help="TERM (default), INT, HUP, QUIT, ABRT, USR1, USR2, KILL")
    parser.add_argument("--grace", type=grace, default=5.0, metavar="DURATION", help="until SIGKILL (default 5s, at most 60s)")
    scope = parser.add_argument_group("scope, in place of ids").add_mutually_exclusive_group()
    for kind in SCOPES:
        scope.add_argument(f"--{kind}", metavar=kind.upper(), help=f"all of this {kind}")
    scope.add_argument("--all-except-executors", action="store_true", help="everything but the executors and what only they run")
    scope.add_argument("--all", action="store_true", help="everything that is active")
    scope.add_argument("--pid", type=pid, metavar="PID", help="one OS process with all below it, tracked or not")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be ended")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON: killed, failed, skipped, survivors")
    add_connection_flags(parser)


def grace(text: str) -> float:
    found = duration(text)
    if found > 60:
        raise wrong(f"{text[:60]!r} is longer than the 60s that a kill waits: --signal KILL ends at once")
    return found


def run(args: argparse.Namespace) -> int:
    scope = scope_of(args)
    if bool(args.id) == (scope is not None):
        raise CommandError("give either ids or one scope, such as --task; see headway kill --help", Exit.USAGE)
    connection = connect(args)
    if scope is not None:
        return by_scope(connection, scope, args)
    if args.dry_run:
        scopes = [{"type": "process", "process_id": connection.resolve(wanted)["id"]} for wanted in args.id]
        for one in scopes:
            show_plan(connection.kill_scope(one, True, args.signal, args.grace), args.json)
        return Exit.OK
    # All ids first: a mistake in the last must not come after the end of the first.
    found = [connection.resolve(wanted)["id"] for wanted in args.id]
    codes = []
    for one in dict.fromkeys(found):
        outcome = connection.kill(one, args.signal, args.grace)
        tell(outcome, args.json)
        codes.append(verdict(outcome))
    return max(codes)


def scope_of(args: argparse.Namespace) -> dict[str, Any] | None:
    for kind in SCOPES:
        if (value := getattr(args, kind)) is not None:
            return {"type": kind, f"{kind}_id": value}
    if args.pid is not None:
        return {"type": "pid", "pid": args.pid}
    if args.all_except_executors:
        return {"type": "all_except_executors"}
    return {"type": "all"} if args.all else None


def by_scope(connection: Connection, scope: dict[str, Any], args: argparse.Namespace) -> int:
    if args.dry_run or not args.yes:
        plan = connection.kill_scope(scope, True, args.signal, args.grace)
        if empty(plan):
            return matched_nothing(connection, scope, plan if args.json and args.dry_run else None)
        if plan["killed"] and not args.dry_run and not sys.stdin.isatty():
            raise CommandError(
                "nobody can be asked here: give --yes to end them all the same, or --dry-run to see whom", Exit.USAGE
            )
        show_plan(plan, args.json and args.dry_run)
        if args.dry_run:
            return Exit.OK
        if not plan["killed"]:
            return verdict(plan, scope)
        if not agreed(plan["killed_count"]):
            print("headway: nothing was ended", file=sys.stderr)
            return Exit.FAILED
    outcome = connection.kill_scope(scope, False, args.signal, args.grace)
    if empty(outcome):
        return matched_nothing(connection, scope, outcome if args.json else None)
    tell(outcome, args.json)
    return verdict(outcome, scope)


def empty(outcome: Json) -> bool:
    return not any(outcome[part] for part in ("killed", "failed", "skipped", "survivors"))


def matched_nothing(connection: Connection, scope: Json, shown: Json | None) -> Exit:
    """Says so, and what was probably meant: a scope that is misspelt ends nothing."""
    if shown is not None:
        print(json.dumps(shown, indent=2))
    print(f"headway: nothing was ended: {why_nothing(connection, scope)}", file=sys.stderr)
    return Exit.NOT_FOUND


def why_nothing(connection: Connection, scope: Json, state: str = "active") -> str:
    """Why nothing of a scope is in this state."""
    kind = scope["type"]
    wanted = scope.get(f"{kind}_id")
    if wanted is None:
        return "nothing is active"
    ended, _ = connection.processes({kind: wanted, "state": "all"}, 1)
    if ended:
        if state != "active" and connection.processes({kind: wanted, "state": "active"}, 1)[0]:
            return f"nothing of the {kind} {clean(wanted)} is {state}"
        return f"nothing of the {kind} {clean(wanted)} is active; what belonged to it has ended"
    from difflib import get_close_matches

    recent, _ = connection.processes({"state": "all"}, KNOWN)
    named = {row[kind].lower(): row[kind] for row in reversed(recent) if row[kind]}
    near = get_close_matches(wanted.lower(), named, n=1)
    return f"no process has the {kind} {clean(wanted)}" + (f": did you mean {clean(named[near[0]])}?" if near else "")


def agreed(count: int, verb: str = "end") -> bool:
    print(f"{verb} {'this one' if count == 1 else f'these {count}'}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show_plan(plan: Json, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plan, indent=2))
        return
    if not plan["killed"]:
        print("nothing would be ended")
    else:
        rows = [
            (
                hit["name"] or "-",
                str(hit["pid"]),
                "gone already" if hit["gone"] else str(hit["os_processes"] or "-"),
                hit["id"] or "-",
            )
            for hit in plan["killed"]
        ]
        print(columns(("WOULD END", "PID", "OS PROCESSES", "ID"), rows))
    left(plan)


def tell(outcome: Json, as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome, indent=2))
    else:
        for hit in outcome["killed"]:
            name = f" ({clean(hit['name'])})" if hit["name"] else ""
            how = "was gone already" if hit["gone"] else f"ended by {hit['signal']}" if hit["signal"] else "ended"
            more = f", {hit['os_processes']} OS processes" if hit["os_processes"] > 1 else ""
            word = f", {hit['status']}" if hit["status"] not in (None, "killed") else ""
            print(f"{hit['id'] or 'pid ' + str(hit['pid'])}{name} {how}{more}{word}")
        left(outcome)


def verdict(outcome: Json, scope: Json | None = None) -> Exit:
    """Whether what was to end has ended. Whom --all-except-executors leaves alone, nobody asked to end."""
    spared = outcome["skipped"] and not outcome["killed"] and (scope or {}).get("type") != "all_except_executors"
    return Exit.FAILED if outcome["failed"] or outcome["survivors"] or spared else Exit.OK


def left(outcome: Json) -> None:
    known = {(miss["id"], miss["pid"]) for miss in outcome["failed"]}
    parts = (("failed", "not ended"), ("survivors", "lives on"), ("skipped", "left alone"))
    for part, word in parts:
        for miss in outcome[part]:
            if part == "survivors" and (miss["id"], miss["pid"]) in known:
                continue
            whom = " ".join(text for text in (miss["id"], f"pid {miss['pid']}" if miss["pid"] is not None else "") if text)
            print(f"headway: {whom}: {word}: {clean(miss['reason'])}", file=sys.stderr)
