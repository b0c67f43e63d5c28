"""`headway ps`: what is running, as a table."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from headway.cli.command import add_command
from headway.cli.connection import Connection, add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.report_flags import whole
from headway.cli.rows import ENDED, Row, folded, rows
from headway.cli.table import plain, table
from headway.cli.text import clean, columns, terminal_width

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from headway.cli.command import Subparsers

DESCRIPTION = """\
Lists processes, newest first, children under their parents: progress, rate, time left, time since the start, CPU (100% = one
core) and memory of the process tree, and in words what is not normal. Into a pipe it writes plain columns with whole ids, and
names of at most 80 characters (--json has them whole). On standard error it says, in a line, that names keep failing, schedules
missed a run (--names lists these), or nothing is being stored. Without a state it shows what is active, and then what failed,
timed out, was orphaned or was killed by nobody knows whom, until that is dismissed (that alone: --state undismissed); --state
failed lists the dismissed ones too. On a terminal those of one name that ended with the same error (but for numbers, ids, paths
and the like) are one line then, which says how often; a state or --name lists each."""
EXAMPLES = """\
  headway ps                                what is active now, and what ended badly and was not dismissed
  headway ps --watch                        the same, redrawn every 2 seconds
  headway ps --state waiting                what waits for a person: a permission, an answer, an approval
  headway ps --state undismissed,stuck      what needs attention
  headway ps --names                        what keeps failing, and which schedules missed a run
  headway ps --all --project etl --limit 100
  headway ps --json | jq -r '.[] | select(.eta_seconds > 600) | .id'
"""
STATES: Final = (
    "a status (queued, running, failed, …), a condition (waiting, stuck, …), active, undismissed, ended, completed or all"
)
REDRAW: Final = 2.0
ACTIVE: Final = "active"
UNDISMISSED: Final = "undismissed"
FAILING: Final = "failing"
FOLDED: Final = 1000
ALIKE: Final = "a line with a number of times stands for all that ended alike; headway ps --state undismissed lists each"
FILTERS: Final = ("type", "user", "project", "task", "attempt", "agent", "group", "parent", "name", "since")
EMPTY_ACTIVE: Final = (
    "nothing is running. Start something that reports (headway report create --help), or see what ran: headway ps --all"
)
EMPTY_NAMES: Final = "no name keeps failing, and no schedule missed a run"
EMPTY: Final = "no process matches. See all of them: headway ps --all"


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "ps", run, "list processes", DESCRIPTION, EXAMPLES)
    parser.add_argument("--watch", action="store_true", help=f"redraw every {REDRAW:g} seconds until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    parser.add_argument(
        "--names", action="store_true", help="instead of processes: names that keep failing, schedules that missed a run, and why"
    )
    which = parser.add_argument_group("which")
    which.add_argument("--state", metavar="STATE", help=f"{STATES}; several with commas. Default: active")
    which.add_argument("--all", action="store_true", help="ended ones too, as far back as the history goes")
    for name in FILTERS:
        which.add_argument(f"--{name}", metavar=name.upper(), help=HELP[name])
    which.add_argument("--executors-only", action="store_true", help="only what runs others")
    which.add_argument("--limit", type=whole(1, 1_000_000), default=50, metavar="N", help="at most N (default 50)")
    add_connection_flags(parser)


HELP: Final = {
    "type": "subagent, pipeline, cron, daemon or task",
    "user": "of this user",
    "project": "of this project",
    "task": "of this task",
    "attempt": "of this attempt",
    "agent": "of this agent",
    "group": "of this group",
    "parent": "children of this id",
    "name": "with exactly this name",
    "since": "updated since this time (2026-01-31T08:00:00Z, or unix seconds), or so long ago (2h)",
}


def run(args: argparse.Namespace) -> int:
    if args.all and args.state:
        raise CommandError("--all and --state exclude each other; --state failed covers the history too", Exit.USAGE)
    filters = filters_of(args)
    if args.names and (args.watch or filters != {"state": ACTIVE}):
        raise CommandError("--names goes with --json alone: it lists names, and no processes", Exit.USAGE)
    connection = connect(args)
    if args.names:
        return names(connection.names(), args.json)
    if args.watch:
        return watch(connection, filters, args.limit, args.json)
    console = None if args.json else terminal()
    fold = console is not None and folds(filters)
    found, more = look(connection, filters, args.limit, fold)
    if args.json:
        print(json.dumps(found, indent=2))
    elif console is None:
        said(connection, filters, found)
        if found:
            print(plain(rows(found)))
    else:
        said(connection, filters, found)
        lines = lines_of(found, fold)
        more = more or len(lines) > args.limit
        if lines:
            console.print(table(lines[: args.limit], console.width, unicode_of(console)))
        if len(lines) < len(found):
            print(f"headway: {ALIKE}", file=sys.stderr)
    if more:
        print(f"headway: there are more than {args.limit}; --limit shows them", file=sys.stderr)
    return Exit.OK


def folds(filters: dict[str, str]) -> bool:
    """Whether repeats of what ended may be one line: nobody asked for them by state or by name."""
    return filters["state"] == ACTIVE and "name" not in filters


def lines_of(found: list[dict[str, Any]], fold: bool) -> list[Row]:
    return folded(found) if fold else rows(found)


def said(connection: Connection, filters: dict[str, str], found: list[dict[str, Any]]) -> None:
    """What is told beside the table: names that keep failing, and that there is none."""
    wrong, notice = connection.said_beside()
    if notice:
        print(f"headway: {clean(notice)}", file=sys.stderr)
    if wrong and filters == {"state": ACTIVE}:
        print(f"headway: {in_short(wrong)}", file=sys.stderr)
    if not found:
        print(f"headway: {EMPTY_ACTIVE if filters == {'state': ACTIVE} else EMPTY}", file=sys.stderr)


def in_short(found: Sequence[dict[str, Any]]) -> str:
    """One of them with its reason, of several how many there are."""
    if len(found) == 1:
        (one,) = found
        return f"{clean(one['name'])} ({one['type']}): {what(one)}: {clean(one['reason'])}"
    failing = sum(1 for one in found if one["condition"] == FAILING)
    missed = len(found) - failing
    parts = [f"{failing} name{'s keep' if failing > 1 else ' keeps'} failing"] if failing else []
    parts += [f"{missed} schedule{'s' if missed > 1 else ''} missed a run"] if missed else []
    return f"{', '.join(parts)}: headway ps --names says which, and why"


def names(found: Sequence[dict[str, Any]], as_json: bool) -> int:
    if as_json:
        print(json.dumps(found, indent=2))
    elif found:
        head = ("NAME", "TYPE", "WHAT", "WHY")
        print(columns(head, [(one["name"], one["type"], what(one), one["reason"]) for one in found], terminal_width()))
    else:
        print(f"headway: {EMPTY_NAMES}", file=sys.stderr)
    return Exit.OK


def what(one: dict[str, Any]) -> str:
    word: str = one["condition"]
    return word.replace("_", " ")


def look(connection: Connection, filters: dict[str, str], limit: int, fold: bool = False) -> tuple[list[dict[str, Any]], bool]:
    """The processes, and whether there are more. What ended badly stays in the active view until somebody dismisses it; it comes
    after what is active, so that many failures hide nothing that runs. `fold`: many will be one line, so more are asked for."""
    found, more = connection.processes(filters, limit)
    if filters.get("state") == ACTIVE:
        most = max(limit, FOLDED) if fold else limit
        ended, left_out = connection.processes({**filters, "state": UNDISMISSED}, most - len(found))
        # What ended between the two answers is in both.
        found, more = list({process["id"]: process for process in (*found, *ended)}.values()), more or left_out
    return found, more


def filters_of(args: argparse.Namespace) -> dict[str, str]:
    filters = {name: value for name in FILTERS if (value := getattr(args, name)) is not None}
    if "since" in filters:
        filters["since"] = moment_of(filters["since"])
    if args.executors_only:
        filters["executors_only"] = "true"
    return {"state": "all" if args.all else args.state or ACTIVE, **filters}


def moment_of(since: str) -> str:
    """What is a duration with a unit means so long ago; the rest is for the exporter to read."""
    from headway.durations import parse_duration

    if not since[:1].isdigit():
        raise CommandError("--since: expected so long ago (2h), a time (2026-01-31T08:00:00Z) or unix seconds", Exit.USAGE)
    try:
        return since if since[-1:].isdigit() else f"{time.time() - parse_duration(since):.3f}"
    except ValueError:
        return since


def terminal() -> Console | None:
    """Where a table with colours and bars can be shown; None for a pipe, or without rich."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        return None
    return Console(highlight=False)


def unicode_of(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


# ── --watch ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def watch(connection: Connection, filters: dict[str, str], limit: int, as_json: bool) -> int:
    """Until Ctrl-C. An exporter that goes away is waited for, with the last table in view."""
    console = None if as_json else terminal()
    notice: str | None = None
    if console is None:
        while True:
            found, _ = look(connection, filters, limit)
            if (now := connection.said_beside()[1]) != notice and now:
                print(f"headway: {clean(now)}", file=sys.stderr, flush=True)
            notice = now
            print(json.dumps(found) if as_json else plain(rows(found)) + "\n", flush=True)
            time.sleep(REDRAW)
    from rich.live import Live

    fold = folds(filters)
    found, more = look(connection, filters, limit, fold)
    _, notice = connection.said_beside()
    with Live(view(console, found, more, fold, notice), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            time.sleep(REDRAW)
            problem = None
            try:
                found, more = look(connection, filters, limit, fold)
                _, notice = connection.said_beside()
            except CommandError as error:
                if error.code is not Exit.UNREACHABLE:
                    raise
                problem = str(error)
            live.update(view(console, found, more, fold, notice, problem), refresh=True)


def view(
    console: Console, found: list[dict[str, Any]], more: bool, fold: bool, notice: str | None, problem: str | None = None
) -> RenderableType:
    """`notice`: what the exporter has to say of itself; `problem`: why it cannot be asked now."""
    from rich.console import Group
    from rich.text import Text

    active = [process for process in found if process["finished_at"] is None]
    flagged = sum(1 for process in found if process["conditions"] or process["finished_at"] is not None)
    every = lines_of(found, fold)
    said = [Text(clean(notice), style="red"), Text()] if notice else []
    above = 1 + len(said[0].wrap(console, console.width)) if said else 0
    shown = fitting(every, console.height - 4 - above)
    hidden = f", {len(every) - len(shown)} of all not shown" if len(shown) < len(every) else ""
    last = (
        f"{len(active)} active, {flagged} need attention{hidden}{', there are more: --limit' if more else ''} · "
        f"{time.strftime('%H:%M:%S')} · Ctrl-C ends"
    )
    body = table(shown, console.width, unicode_of(console)) if found else Text("nothing is running")
    below = Text(last, style="dim") if problem is None else Text(f"{problem} · trying again", style="red")
    return Group(*said, body, Text(), below)


def fitting(every: Sequence[Row], most: int) -> Sequence[Row]:
    """As many rows as the screen holds, in the order they had: what is active, with flags first of all, then what is over. A third
    of the screen is for that where the active ones would fill it."""
    most = max(1, most)
    if len(every) <= most:
        return every
    over = [index for index, row in enumerate(every) if row.status in ENDED]
    flagged = [index for index, row in enumerate(every) if row.status not in ENDED and row.flags]
    others = [index for index, row in enumerate(every) if row.status not in ENDED and not row.flags]
    left = max(most - len(flagged) - len(others), min(len(over), most // 3))
    return [every[index] for index in sorted((flagged + others)[: most - left] + over[:left])]
