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
from headway.reporter.steady import Steady

DEFAULT_WAIT: Final = 90.0
POLL: Final = 0.25


class Verdict(Enum):
    RUNS = auto()
    WAITING = auto()
    FAILED = auto()


def verdict(one: Json, steady: Steady, ran: bool = False) -> Verdict:
    """Whether it runs, may still come to run, or will not. `ran`: one with a schedule was started now, and its run counts."""
    status = one["status"]
    if one["schedule"] is not None:
        if not one["settled"]:
            return Verdict.WAITING
        return Verdict.RUNS if runs(one) and not (ran and status == "stopped" and one["reason"]) else Verdict.FAILED
    if status == "running":
        return Verdict.RUNS if steady(one) else Verdict.WAITING
    # In error with a process that lives: it does not answer now, and may again.
    hopeful = status == "error" and one["pid"] is not None and not one["gave_up"]
    return Verdict.WAITING if hopeful or not one["settled"] else Verdict.FAILED


def wait_for(connection: Connection, names: Collection[str], steady: Steady, ran: bool = False) -> list[Json]:
    """These, once each runs or will not, or the time of `steady` is over. Says on stderr what it waits for when that changes.
    An exporter that goes away meanwhile is waited for too."""
    deadline = time.monotonic() + steady.wait
    said: dict[str, str] = {}
    while True:
        late: list[Json] = []
        try:
            found: list[Json] = [one for one in connection.services() if one["name"] in names]
            late = [one for one in found if verdict(one, steady, ran) is Verdict.WAITING]
            if not late or time.monotonic() >= deadline:
                return found
            news = {one["name"]: f"waiting for {one['name']}, which {words}" for one in late if (words := outlook(one, steady))}
        except CommandError as error:
            if error.code is not Exit.UNREACHABLE or time.monotonic() >= deadline:
                raise
            news = {"": f"waiting for the exporter: {error}"}
        for name, words in news.items():
            if said.get(name) != words:
                said[name] = words
                print(f"headway: {clean(words)}", file=sys.stderr, flush=True)
        time.sleep(max(0.0, min(POLL, deadline - time.monotonic())))


def tell(
    found: Sequence[Json], steady: Steady | None, ran: bool = False, quiet: bool = False, others: Collection[str] = ()
) -> Exit:
    """What runs on stdout, what does not on stderr, with the reason; of several, at last how many run. `steady`: None if it was
    only looked. `others`: what was asked for too and is known to have failed."""
    wrong, looked = [*others], steady or Steady(DEFAULT_WAIT)
    for one in found:
        judged = verdict(one, looked, ran)
        if judged is Verdict.RUNS or (steady is None and runs(one)):
            if not quiet:
                print(success(one), flush=True)
        else:
            wrong.append(one["name"])
            late = f"not ready within {format_duration(looked.wait)}: " if judged is Verdict.WAITING and steady is not None else ""
            words = outlook(one, looked) if one["status"] == "running" else ""
            print(f"headway: {clean(one['name'])}: {late}{words or standing(one)}", file=sys.stderr)
    every = len(found) + len(others)
    if wrong and every > 1:
        verb = "runs" if every - len(wrong) == 1 else "run"
        print(f"headway: {every - len(wrong)} of {every} {verb}, not {clean(', '.join(wrong))}", file=sys.stderr)
    return Exit.FAILED if wrong else Exit.OK


def success(one: Json) -> str:
    """ "web runs (pid 4711, port 8080)"."""
    name = clean(one["name"])
    if one["status"] != "running":
        when = until((one["schedule"] or {}).get("next_run"))
        return f"{name} runs by its schedule, next {when}" if when else f"{name} runs by its schedule"
    facts = [f"{word} {value}" for word, value in (("pid", one["pid"]), ("port", one["port"])) if value is not None]
    facts += ["with an older configuration"] if one["outdated"] else []
    return f"{name} runs" + (f" ({', '.join(facts)})" if facts else "")


def outlook(one: Json, steady: Steady) -> str:
    """ "is starting: nothing listens on port 8080"; "" for what has only just begun to run."""
    if one["status"] != "running":
        return f"is {standing(one)}"
    failures, before = int(one["failures"]), steady.failures(one)
    if failures:
        often = "a failure" if failures == 1 else f"{failures} failures in a row"
        return f"runs, after {often}, but not for long yet"
    # Somebody started it, which begins the count anew; what was seen of it before makes us wait all the same.
    often = "once" if before == 1 else f"{before} times in a row"
    return f"runs, but not for long yet: before this start it had failed {often}" if before else ""


def standing(one: Json) -> str:
    """ "starting: nothing listens on port 8080"."""
    status = "in error" if one["status"] == "error" else one["status"]
    reason = (one["reason"] or "").removeprefix("waits: ")
    return clean(f"{status}: {reason}" if reason else status)
