"""`headway report`: a shell script reports what it does. Nothing that goes wrong here ends the script, unless it wants that."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from headway.cli.command import add_command
from headway.cli.exits import Exit
from headway.cli.marks import Unsent, alone
from headway.cli.report_body import creation_of, masked, metadata_of, update_of
from headway.cli.report_flags import add_create_flags, add_end_flags, add_update_flags

if TYPE_CHECKING:
    from headway.cli.command import Subparsers
    from headway.cli.delivery import Delivery, Trouble

DESCRIPTION = """\
Tells the exporter what a shell script does. `create` prints an id, `update` says how far it is, and `done`, `fail` or `cancel` how
it ended. The script is watched: if it dies without a word, its process is shown as orphaned.

A script never fails or hangs because of this command. When the exporter is down, slow or refuses, there is one warning on stderr
and the exit code is 0. `create` still prints an id; it and the end are kept on disk ($HEADWAY_SPOOL, else /var/lib/headway/spool
for root, else ~/.local/state/headway/spool) until the exporter or another report delivers them; of an update the count is kept for
the next report of the same process, the rest is lost. With --strict the exit code says what happened. A wrong command line is
always exit code 2. With HEADWAY_URL=off nothing is reported.

Without a command it is the other way round: `headway report` prints one page of plain text, for people and language models, that
says what runs, what failed and why, what to do, and what is scheduled."""
EXAMPLES = """\
  #!/bin/sh
  set -eu
  ID=$(headway report create --name "Nightly dump" --type cron --total 3 --unit tables --timeout 1h)
  trap 'headway report fail "$ID" --exit-code $?' EXIT
  for table in users orders events; do
      pg_dump -t "$table" shop >"$table.sql"
      headway report update "$ID" --advance 1 --line "$table dumped"
  done
  trap - EXIT
  headway report done "$ID" --summary "3 tables"
"""
CREATE = """\
Creates a process and prints its id, and nothing else, to stdout.

It is bound to the shell that calls this command: when that ends without a word, the process is orphaned. This is right in
ID=$(headway report create …), also with `|| true` or a pipe inside: the subshell of a command substitution is stepped over, and so
is a program that only runs this command, such as timeout. A subshell that lives on, such as a job in the background, is itself the
one that is watched. --pid names another process; with --no-pid only silence counts: 5 minutes without a report, or --lease."""
CREATE_EXAMPLES = """\
  ID=$(headway report create --name "Nightly dump" --type cron --total 3 --unit tables)
  ID=$(headway report create --name "Load" --expected 20m --stuck-after 5m --metadata host=db1 --metadata retries=2)
  STEP=$(headway report create --name "Load: users" --parent "$ID")
  ID=$(headway report create --name "On another machine" --no-pid --lease 30m)
"""
UPDATE = """\
Says how far a process is; what is not given stays. --advance adds to what the exporter knows; commands of one user on one host wait
for each other, so that steps in parallel are all counted, but from several hosts at once one can be lost.

Of a process that has ended, progress and stage are ignored, and lines and metadata are added; stderr says so, and where something
was ignored --strict ends with code 1.

--stdin makes every line of standard input a log line, until it ends; they are sent at most once a second, the last 500 of each
second. It reads on whatever happens, so that the program before it never blocks. In a pipeline the exit code is that of this
command: bash has `set -o pipefail`. Ctrl-C and SIGTERM end it after a second for the last lines."""
UPDATE_EXAMPLES = """\
  headway report update "$ID" --current 2 --line "orders dumped"
  headway report update "$ID" --advance 1 --stage users
  headway report update "$ID" --waiting-for "approval of the release"
  read -r answer; headway report update "$ID" --goes-on
  rsync -av src/ dst/ 2>&1 | headway report update "$ID" --stdin --tee
"""
DONE_EXAMPLES = """\
  headway report done "$ID" --summary "3 tables, 1.2 GB"
"""
FAIL_EXAMPLES = """\
  headway report fail "$ID" --error "no space left on /backup" --exit-code 1
  trap 'headway report fail "$ID" --exit-code $?' EXIT
"""
CANCEL_EXAMPLES = """\
  trap 'headway report cancel "$ID" --reason "Ctrl-C"; exit 130' INT TERM
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(
        commands, "report", page, "report from a shell script; alone: what happens here, on one page", DESCRIPTION, EXAMPLES
    )
    add_page_flags(parser)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", dest="verb")
    add_create_flags(add_command(verbs, "create", create, "create a process and print its id", CREATE, CREATE_EXAMPLES))
    add_update_flags(add_command(verbs, "update", update, "say how far a process is", UPDATE, UPDATE_EXAMPLES))
    for name, run, summary, examples in (
        ("done", done, "say that it succeeded", DONE_EXAMPLES),
        ("fail", fail, "say that it failed", FAIL_EXAMPLES),
        ("cancel", cancel, "say that it was ended on purpose before it was done", CANCEL_EXAMPLES),
    ):
        add_end_flags(add_command(verbs, name, run, summary, examples=examples), name)


def add_page_flags(parser: argparse.ArgumentParser) -> None:
    """Of the page alone; the commands have flags of their own, which these must not overwrite."""
    group = parser.add_argument_group("the page")
    group.add_argument("--timeframe", metavar="DURATION", default="24h", help="how far back (default 24h)")
    group.add_argument("--json", dest="page_json", action="store_true", help="its parts as JSON")
    group.add_argument("--url", dest="page_url", metavar="URL", help="as for the commands")
    group.add_argument("--key-file", dest="page_key_file", metavar="FILE", help="as for the commands")


def page(args: argparse.Namespace) -> int:
    from headway.cli.connection import connect

    args.url, args.key_file = args.page_url, args.page_key_file
    connection = connect(args)
    if args.page_json:
        import json

        print(json.dumps(connection.report_parts(args.timeframe), indent=2))
    else:
        print(connection.report(args.timeframe), end="")
    return Exit.OK


# ── create ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def create(args: argparse.Namespace) -> int:
    from headway.cli.delivery import Delivery
    from headway.ids import new_id

    process_id: str = args.id or new_id()
    try:
        delivery = Delivery(args)
        return Exit.OK if delivery.off else created(args, delivery, process_id)
    finally:
        print(process_id, flush=True)


def created(args: argparse.Namespace, delivery: Delivery, process_id: str) -> int:
    from headway.cli.delivery import Trouble, warn

    body = creation_of(args)
    code: int = Exit.OK
    while True:
        try:
            found = delivery.create({"id": process_id, **body})
        except Trouble as trouble:
            if trouble.later:
                kept = delivery.keep({"id": process_id, "create": masked(body), "alive": True, "age": 0.0})
                return outcome(args, trouble, f"{args.name!r} is not created yet: {kept}")
            field = str(trouble.field or "").split(".")[0]
            if field not in body or field in ("name", "type"):
                return outcome(args, trouble, f"{args.name!r} is not created, and what is reported with its id will be refused")
            del body[field]
            code = outcome(args, trouble, f"created without {field}")
            continue
        for words in delivery.warnings:
            warn(words)
        if found.get("finished_at") is not None:
            warn(f"{process_id} is an earlier process, which is {found['status']}: without --id a new one is created")
            return int(Exit.FAILED) if args.strict else code
        return code


# ── update ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def update(args: argparse.Namespace) -> int:
    from headway.cli.delivery import Delivery, Trouble

    delivery = Delivery(args)
    body = update_of(args)
    if args.tee and not args.stdin:
        args.parser.error("--tee goes with --stdin")
    if not body and args.advance is None and not args.stdin:
        args.parser.error("nothing to report: give --current, --advance, --line or another flag")
    code: int = Exit.OK
    if (body or args.advance is not None) and not delivery.off:
        try:
            code = after_the_end(args, delivery, *updated(args, delivery, body))
        except Trouble as trouble:
            code = outcome(args, trouble, "only its count is kept" if trouble.counted else "what this update said is lost")
    return (pumped(args, delivery) or code) if args.stdin else code


def updated(args: argparse.Namespace, delivery: Delivery, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was said, and the process then. Raises Trouble. A count that does not arrive is remembered, for the next report of this
    process."""
    from headway.cli.delivery import Trouble

    unsent = Unsent(args.id)
    if args.advance is None and args.current is None:
        return body, delivery.update(args.id, body)
    with alone("advance", args.id, args.wait):
        waiting = unsent.read()
        try:
            if args.advance is not None:
                current = waiting.get("current")
                if current is None:
                    known = delivery.update(args.id, {"alive": True})["progress"]["current"] or 0
                    current = known + waiting.get("advance", 0)
                body = {**body, "progress": {**body.get("progress", {}), "current": current + args.advance}}
            found = delivery.update(args.id, body)
        except Trouble as trouble:
            if trouble.later:
                trouble.counted = unsent.write(added(waiting, body.get("progress", {}).get("current"), args.advance or 0))
            raise
        if waiting:
            unsent.clear()
    return body, found


def after_the_end(args: argparse.Namespace, delivery: Delivery, said: dict[str, Any], found: dict[str, Any]) -> int:
    """Of a process that has ended, what it did is settled; the rest of an update is added to it."""
    from headway.cli.delivery import warn

    if found.get("finished_at") is None:
        return Exit.OK
    void = [field for field in said if field in delivery.ignored]
    added = ["lines" if field == "log" else field for field in said if field not in void]
    parts = [f"{word} {', '.join(fields)}" for word, fields in (("ignored:", void), ("added:", added)) if fields]
    warn(f"{args.id} has ended before, it is {found['status']}; {'; '.join(parts)}")
    return int(Exit.FAILED) if void and args.strict else Exit.OK


def added(waiting: dict[str, float], current: float | None, step: float) -> dict[str, float]:
    if current is not None:
        return {"current": current}
    name = "current" if "current" in waiting else "advance"
    return {name: waiting.get(name, 0) + step}


def pumped(args: argparse.Namespace, delivery: Delivery) -> int:
    from headway.cli.delivery import warn
    from headway.cli.pump import Pump

    codes: list[int] = []
    ended = False

    def send(lines: list[str]) -> None:
        nonlocal ended
        if not delivery.off:
            found = delivery.update(args.id, {"log": lines})
            if found.get("finished_at") is not None and not ended:
                ended = True
                after_the_end(args, delivery, {"log": lines}, found)

    def told(trouble: Trouble) -> None:
        after = "standard input is read on, and the last lines are sent when it is back" if trouble.later else "its lines are lost"
        codes.append(outcome(args, trouble, after))

    def keep(lines: list[str]) -> None:
        warn(f"{len(lines)} lines for {args.id} could not be sent: {delivery.keep({'id': args.id, 'log': lines, 'age': 0.0})}")

    pump = Pump(send, told, keep, args.wait)
    code = pump.run(args.tee)
    return code or (codes[-1] if codes and pump.trouble is not None else Exit.OK)


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def done(args: argparse.Namespace) -> int:
    return ended(args, {"status": "done"})


def fail(args: argparse.Namespace) -> int:
    error = args.error
    if error is None and args.exit_code is not None:
        error = f"ended with exit code {args.exit_code}"
    return ended(args, {"status": "failed", "error": error, "exit_code": args.exit_code})


def cancel(args: argparse.Namespace) -> int:
    return ended(args, {"status": "cancelled", "error": args.reason})


def ended(args: argparse.Namespace, state: dict[str, Any]) -> int:
    from headway.cli.delivery import Delivery, Trouble

    body = {**state, "summary": args.summary, "log": args.line, "metadata": metadata_of(args) or None}
    body = {field: value for field, value in body.items() if value is not None}
    delivery = Delivery(args)
    if delivery.off:
        return Exit.OK
    unsent = Unsent(args.id)
    waiting = unsent.read()
    try:
        if "advance" in waiting:
            known = delivery.update(args.id, {"alive": True})["progress"]["current"] or 0
            waiting = {"current": known + waiting["advance"]}
        if waiting:
            body["progress"] = waiting
        delivery.update(args.id, body)
    except Trouble as trouble:
        if trouble.later:
            body |= {"progress": waiting} if "current" in waiting else {}
            kept = delivery.keep({"id": args.id, **body, "age": 0.0}, waiting.get("advance"))
            return outcome(args, trouble, f"the end of {args.id}: {kept}")
        return outcome(args, trouble, f"the end of {args.id} is not reported")
    finally:
        if waiting:
            unsent.clear()
    if "summary" in delivery.ignored:
        from headway.cli.delivery import warn

        warn(f"{args.id} has ended before: its first summary stays. Lines and metadata are added")
    return Exit.OK


# ── what became of it ───────────────────────────────────────────────────────────────────────────────────────────────


def outcome(args: argparse.Namespace, trouble: Trouble, otherwise: str) -> int:
    """Warns; the exit code is 0 unless --strict wants the reason."""
    from headway.cli.delivery import warn

    warn(f"{str(trouble).rstrip('.')}; {otherwise}")
    return int(trouble.code) if args.strict else Exit.OK


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────────

WITH_TEXT: Final = (
    *("--line", "--summary", "--error", "--reason", "--name", "--description", "--command", "--stage", "--metadata"),
    "--waiting-for",
)


def glued(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--line TEXT` as `--line=TEXT` where the text begins with a dash: what a script passes on from elsewhere
    is not a flag."""
    found: list[str] = []
    for word in arguments:
        if found and found[-1] in WITH_TEXT and word.startswith("-") and "--" not in found:
            found[-1] = f"{found[-1]}={word}"
        else:
            found.append(word)
    return found
