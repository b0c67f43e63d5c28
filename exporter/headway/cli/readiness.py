"""Waiting until services run, or will not: what `up`, `restart` and `ensure` have in common."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from enum import Enum, auto
from typing import Final

from headway.cli.connection import Connection
from headway.cli.exits import CommandError, Exit
from headway.cli.rows import Json
from headway.cli.services import runs, until
from headway.cli.text import clean
from headway.durations import format_duration

DEFAULT_WAIT: Final = 90.0
POLL: Final = 0.25
# One with neither a port nor a health check is ready once it lives; one that ends at once should not be taken for running (s).
STEADY: Final = 1.0


class Verdict(Enum):
    RUNS = auto()
    WAITING = auto()
    FAILED = auto()


def verdict(one: Json, ran: bool = False) -> Verdict:
    """Whether it runs, may still come to run, or will not. `ran`: one with a schedule was started now, and its run counts."""
    status = one["status"]
    if one["schedule"] is not None:
        if not one["settled"]:
            return Verdict.WAITING
        return Verdict.RUNS if runs(one) and not (ran and status == "stopped" and one["reason"]) else Verdict.FAILED
    if status == "running":
        checked = one["port"] is not None or one["health"] is not None
        return Verdict.RUNS if checked or (one["uptime_seconds"] or 0.0) >= STEADY else Verdict.WAITING
    # In error with a process that lives: it does not answer now, and may again.
    hopeful = status == "error" and one["pid"] is not None and not one["gave_up"]
    return Verdict.WAITING if hopeful or not one["settled"] else Verdict.FAILED


def wait_for(connection: Connection, names: Collection[str], wait: float, ran: bool = False) -> list[Json]:
    """These, once each runs or will not, or `wait` seconds are over. Says on stderr what it waits for when that changes. An
    exporter that goes away meanwhile is waited for too."""
    deadline = time.monotonic() + wait
    said: dict[str, str] = {}
    while True:
        late: list[Json] = []
        try:
            found: list[Json] = [one for one in connection.services() if one["name"] in names]
            late = [one for one in found if verdict(one, ran) is Verdict.WAITING]
            if not late or time.monotonic() >= deadline:
                return found
            silent = [one for one in late if one["status"] != "running"]
            news = {one["name"]: f"waiting for {one['name']}, which is {standing(one)}" for one in silent}
        except CommandError as error:
            if error.code is not Exit.UNREACHABLE or time.monotonic() >= deadline:
                raise
            news = {"": f"waiting for the exporter: {error}"}
        for name, words in news.items():
            if said.get(name) != words:
                said[name] = words
                print(f"headway: {clean(words)}", file=sys.stderr, flush=True)
        time.sleep(max(0.0, min(POLL, deadline - time.monotonic())))


def tell(found: Sequence[Json], wait: float | None, ran: bool = False, quiet: bool = False) -> Exit:
    """What runs on stdout, what does not on stderr, with the reason. `wait`: how long was waited, None if it was only looked."""
    code = Exit.OK
    for one in found:
        judged = verdict(one, ran)
        if judged is Verdict.RUNS or (wait is None and runs(one)):
            if not quiet:
                print(success(one), flush=True)
        else:
            code = Exit.FAILED
            late = f"not ready within {format_duration(wait)}: " if judged is Verdict.WAITING and wait is not None else ""
            print(f"headway: {clean(one['name'])}: {late}{standing(one)}", file=sys.stderr)
    return code


def success(one: Json) -> str:
    """ "web runs (pid 4711, port 8080)"."""
    name = clean(one["name"])
    if one["status"] != "running":
        when = until((one["schedule"] or {}).get("next_run"))
        return f"{name} runs by its schedule, next {when}" if when else f"{name} runs by its schedule"
    facts = [f"{word} {value}" for word, value in (("pid", one["pid"]), ("port", one["port"])) if value is not None]
    facts += ["with an older configuration"] if one["outdated"] else []
    return f"{name} runs" + (f" ({', '.join(facts)})" if facts else "")


def standing(one: Json) -> str:
    """ "starting: nothing listens on port 8080"."""
    status = "in error" if one["status"] == "error" else one["status"]
    reason = (one["reason"] or "").removeprefix("waits: ")
    return clean(f"{status}: {reason}" if reason else status)
