"""The flags of `headway report`, and what they may hold. A wrong value is a mistake in the script: it is said at once."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from typing import Any, Final

from headway.durations import parse_duration
from headway.ids import check_id
from headway.labels import blank

KINDS: Final = ("subagent", "pipeline", "cron", "daemon", "task")
MAX_COUNT: Final = 2**53


def add_create_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, type=process_name, help="the label that earlier and later executions share")
    parser.add_argument("--type", default="task", choices=KINDS, help="what sort of work it is (default task)")
    parser.add_argument("--id", type=process_id, help="an id of your own; the same one again is the same process")
    parser.add_argument("--status", choices=("queued", "running"), help="queued: it waits for its turn (default running)")
    add_progress_flags(parser)
    parser.add_argument("--parent", metavar="ID", type=process_id, help="what it is part of (default: what runs this)")
    parser.add_argument("--description", metavar="TEXT", type=text(4096), help="what it is for")
    add_belonging_flags(parser)
    parser.add_argument("--command", metavar="TEXT", type=text(16384), help="its command line (default: that of the shell)")
    parser.add_argument("--cwd", metavar="DIR", type=text(4096), help="where it runs (default: here)")
    parser.add_argument("--executor", action="store_true", help="it only runs others")
    parser.add_argument("--cancellable", action="store_true", help="it heeds a request to cancel")
    add_limit_flags(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pid", type=pid, metavar="N", help="the OS process that is the work (default: the shell that calls)")
    which.add_argument("--no-pid", action="store_true", help="none: only silence for the time of the lease says that it is gone")
    parser.add_argument("--lease", metavar="DURATION", type=duration, help="without a pid: silence that orphans it (default 5m)")
    add_metadata_flag(parser)
    add_exporter_flags(parser)


def add_update_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", type=process_id, help="what `headway report create` printed")
    add_progress_flags(parser, advance=True)
    parser.add_argument("--status", choices=("running", "paused"), help="running: a queued or paused one goes on")
    person = parser.add_mutually_exclusive_group()
    waits = "it waits for a person, who is to do that: approval of the release"
    person.add_argument("--waiting-for", metavar="TEXT", type=waiting_for, help=waits)
    person.add_argument("--goes-on", action="store_true", help="it waits for nobody any more")
    parser.add_argument("--line", metavar="TEXT", type=text(65536), action="append", help="a log line; repeatable")
    parser.add_argument("--stdin", action="store_true", help="every line of standard input is a log line, until it ends")
    parser.add_argument("--tee", action="store_true", help="with --stdin: pass it on to standard output")
    parser.add_argument("--summary", metavar="TEXT", type=text(4096), help="what was achieved so far, in a line")
    add_limit_flags(parser)
    add_metadata_flag(parser)
    add_exporter_flags(parser)


def add_end_flags(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("id", metavar="ID", type=process_id, help="what `headway report create` printed")
    if verb == "fail":
        parser.add_argument("--error", metavar="TEXT", type=text(4096), help="what went wrong, in a line")
        parser.add_argument("--exit-code", metavar="N", type=exit_code, help="that of the command that failed")
    if verb == "cancel":
        parser.add_argument("--reason", metavar="TEXT", type=text(4096), help="why it was ended")
    parser.add_argument("--summary", metavar="TEXT", type=text(4096), help="what was achieved, in a line")
    parser.add_argument("--line", metavar="TEXT", type=text(65536), action="append", help="a last log line; repeatable")
    add_metadata_flag(parser)
    add_exporter_flags(parser)


def add_belonging_flags(parser: argparse.ArgumentParser) -> None:
    for name, words in (
        ("user", "whose it is (default: who runs it)"),
        ("project", "the project it belongs to"),
        ("task", "the id of the task it belongs to"),
        ("attempt", "the id of the attempt at that task"),
        ("agent", "the id of the agent that does it"),
        ("group", "a word that things belonging together share"),
    ):
        parser.add_argument(f"--{name}", metavar="WORD", type=text(256), help=words)


def add_progress_flags(parser: argparse.ArgumentParser, advance: bool = False) -> None:
    if advance:
        step = parser.add_mutually_exclusive_group()
        step.add_argument("--current", metavar="N", type=number, help="how many are done")
        step.add_argument("--advance", metavar="N", type=number, help="how many more are done")
    else:
        parser.add_argument("--current", metavar="N", type=number, help="how many were done before: a job that is resumed")
    parser.add_argument("--total", metavar="N", type=number, help="how many there are")
    parser.add_argument("--unit", metavar="WORD", type=text(64), help="what is counted: files, rows, …")
    parser.add_argument("--stage", metavar="WORD", type=text(256), help="which step it is at")
    parser.add_argument("--rate", metavar="N", type=number, help="items per minute, if the script knows better than the exporter")
    parser.add_argument("--eta", metavar="DURATION", type=duration, help="time left, if the script knows better")


def add_limit_flags(parser: argparse.ArgumentParser) -> None:
    expected = "how long it should take: 90s, 5m, 1h30m"
    parser.add_argument("--expected", "--expect", dest="expected_duration", metavar="DURATION", type=duration, help=expected)
    parser.add_argument("--timeout", metavar="DURATION", type=duration, help="from then on it is overdue")
    parser.add_argument("--stuck-after", metavar="DURATION", type=duration, help="silence that counts as stuck")
    waits = "how long it may wait for a person before it is said; 0 is at once"
    parser.add_argument("--waiting-after", metavar="DURATION", type=duration, help=waits)
    parser.add_argument("--time-sink-ratio", metavar="N", type=number, help="times the expected duration that count as too long")
    sink_after = "no time sink before, where earlier runs say what is usual"
    parser.add_argument("--time-sink-after", metavar="DURATION", type=duration, help=sink_after)
    parser.add_argument("--cpu-ratio", metavar="N", type=number, help="CPU of a bottleneck, 1 = a core")
    parser.add_argument("--memory-ratio", metavar="N", type=number, help="memory of a bottleneck, 0 to 1")


def add_metadata_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metadata", metavar="KEY=VALUE", type=pair, action="append", help="anything else; JSON if it reads as such; repeatable"
    )


def add_exporter_flags(parser: argparse.ArgumentParser) -> None:
    """As in headway.cli.connection, which a shell loop must not wait to be imported, and what only reports need."""
    group = parser.add_argument_group("exporter")
    group.add_argument("--url", metavar="URL", help="where it is; default: $HEADWAY_URL, else http://127.0.0.1:14323")
    group.add_argument(
        "--key-file", metavar="FILE", help="the key; default: $HEADWAY_KEY, $HEADWAY_KEY_FILE, else the local admin.key"
    )
    group.add_argument("--wait", metavar="SECONDS", type=wait, default=3.0, help="the longest wait for an answer (default 3)")
    group.add_argument("--strict", action="store_true", help="a report that does not arrive is an error")


# ── what a value may be ─────────────────────────────────────────────────────────────────────────────────────────────


def wrong(words: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(words)


def text(longest: int) -> Callable[[str], str]:
    """A text of at most so many characters; more is cut, so that a long message from elsewhere is no error."""

    def read(value: str) -> str:
        if not value.isascii():
            # Arguments are bytes; those that are no UTF-8 arrive as lone surrogates.
            value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return value if len(value) <= longest else value[: longest - 1] + "…"

    return read


def waiting_for(value: str) -> str:
    if blank(value):
        raise wrong("it is blank: say what a person is to do; --goes-on says that it waits no more")
    return text(160)(" ".join(value.split()))


def process_name(value: str) -> str:
    if blank(value):
        raise wrong("it is blank: give the words that people know the job by")
    return text(512)(value)


def number(value: str) -> int | float:
    try:
        found: int | float = int(value)
    except ValueError:
        try:
            found = float(value)
        except ValueError:
            raise wrong(f"{value[:60]!r} is not a number") from None
    if not math.isfinite(found) or not 0 <= found <= MAX_COUNT:
        raise wrong(f"{value[:60]} is not within 0 to 2^53")
    return found


def duration(value: str) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise wrong(str(error)) from None


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number, both ends included."""

    def read(value: str) -> int:
        try:
            found = int(value)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise wrong(f"{value[:60]!r} is not a whole number from {least} to {most}")
        return found

    return read


def wait(value: str) -> float:
    found = duration(value)
    if not 0 < found <= 3600:
        raise wrong("it must be more than 0 and at most an hour")
    return found


def pid(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) <= 2**22:
        raise wrong(f"{value[:60]!r} is not the id of an OS process")
    return int(value)


def exit_code(value: str) -> int:
    try:
        found = int(value)
    except ValueError:
        found = 2**32
    if not -255 <= found <= 0xFFFFFFFF:
        raise wrong(f"{value[:60]!r} is not an exit code")
    return found


def process_id(value: str) -> str:
    try:
        return check_id(value)
    except ValueError as error:
        raise wrong(str(error) if value else "it is empty: did `headway report create` fail?") from None


def pair(value: str) -> tuple[str, Any]:
    key, sign, found = value.partition("=")
    if not sign or not key:
        raise wrong("it must be KEY=VALUE")
    return text(256)(key), anything(found)


def anything(value: str) -> Any:
    """JSON, else the text itself."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        found = json.loads(value, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text(65536)(value)
    return value if isinstance(found, float) and not math.isfinite(found) else found
