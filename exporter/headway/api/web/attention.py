"""/attention: what a person should look at now, and what the analysis recommends, with the command for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.analysis import DEFAULT_TIMEFRAME, Scope, analysis_of
from headway.api.context import Context, caller, context_of
from headway.api.pages import REFRESH_ACTIVE, ROWS, respond
from headway.api.web.active import visible, whole
from headway.api.web.row import Row, ago, dismiss_label, nested, shown
from headway.durations import format_duration
from headway.errors import HeadwayError
from headway.registry.lifecycle import needs_attention

EMPTY: Final = (
    "Nothing needs attention: nothing waits for a person, no stuck process, time sink or bottleneck, and no failure that was not "
    "dismissed."
)
# The analysis reads up to ten thousand ended processes, so everybody who looks within this time (s) is shown the same one; and it
# never takes more than this share of the time.
ANALYSIS_AGE: Final = 4.0
ANALYSIS_SHARE: Final = 0.1


@dataclass(slots=True)
class Kept:
    """An analysis that is or was made, and until when (monotonic s) it is good for others."""

    task: asyncio.Task[dict[str, Any]]
    until: float


_analyses: WeakKeyDictionary[Any, dict[str | None, Kept]] = WeakKeyDictionary()


async def attention(request: Request) -> Response:
    """The page, or its contents as JSON."""
    context, who = context_of(request), caller(request)
    now = context.registry.clock()
    concerned = [
        entry
        for entry in visible(context, who)
        if (needs_attention(entry.process) if entry.process.status.ended else entry.conditions)
    ]
    order = nested(whole(context, entry, now, who) for entry in concerned)
    rows = [shown(found, now) for found in grouped((found for found, _ in order), now)[:ROWS]]
    names = () if who.user is not None else context.registry.totals.reports
    analysis = await recent(context, who)
    model = {
        "now": now,
        "rows": rows,
        "dismissable": sum(len(found["dismiss"]) for found in rows),
        "names": [
            {
                "key": f"{one.kind} {one.name} {one.condition}",
                "name": one.name,
                "kind": one.kind,
                "condition": one.condition.replace("_", " "),
                "reason": one.reason,
            }
            for one in names[:ROWS]
        ],
        "empty": "" if order or names else EMPTY,
        **analysis,
    }
    return respond(request, "attention.html", "Needs attention", "/attention", model, REFRESH_ACTIVE)


def grouped(rows: Iterable[Row], now: float) -> list[Row]:
    """Of those that ended badly one row for each name and type, the first (which is the newest), with how often and since when.
    `dismiss`: the ids of the ended ones that a row stands for."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        ended = row["ended"] is not None
        key = (row["about"], row["name"]) if ended else ("", row["id"])
        if (first := found.get(key)) is None:
            found[key] = row | {"dismiss": [row["id"]] if ended else [], "earliest": row["ended"]}
        else:
            first["dismiss"].append(row["id"])
            first["earliest"] = min(first["earliest"], row["ended"])
    for row in found.values():
        row["dismiss_label"] = dismiss_label(row, len(row["dismiss"]))
        if len(row["dismiss"]) > 1:
            times = {
                "name": f"{len(row['dismiss'])} times",
                "level": "bad",
                "reason": f"the first {ago({'ended': row['earliest']}, now)}",
            }
            row["flags"] = [times, *row["flags"]]
    return list(found.values())


async def recent(context: Context, who: Caller) -> dict[str, Any]:
    """The analysis as this caller may see it, not older than some seconds."""
    every = _analyses.setdefault(context.registry, {})
    kept = every.get(who.user)
    if kept is None or (kept.task.done() and (time.monotonic() > kept.until or kept.task.exception() is not None)):
        started = time.monotonic()
        kept = every[who.user] = Kept(asyncio.create_task(analysis(context, who)), started)
        found = await asyncio.shield(kept.task)
        ended = time.monotonic()
        kept.until = ended + max(ANALYSIS_AGE, (ended - started) / ANALYSIS_SHARE)
        return found
    return await asyncio.shield(kept.task)


async def analysis(context: Context, who: Caller) -> dict[str, Any]:
    now = context.registry.clock()
    try:
        found = await analysis_of(context, who, Scope(since=now - DEFAULT_TIMEFRAME, now=now))
    except HeadwayError as error:  # the history cannot be read; what runs is shown nevertheless
        return {"recommendations": [], "forecasts": [], "analysed": "", "trouble": error.detail}
    return {
        "recommendations": [
            {
                "key": f"{one.id or ''} {one.about} {one.action}",
                "priority": one.priority.value,
                "action": one.action,
                "about": one.about,
                "link": None if one.id is None else f"/processes/{one.id}",
                "reason": one.reason,
                "command": one.command,
            }
            for one in found.recommendations[:ROWS]
        ],
        "analysed": f"From {found.active} active and {found.history_runs} ended processes of the last "
        + format_duration(DEFAULT_TIMEFRAME)
        + ("." if found.history_complete else ", the newest of more."),
        "trouble": "",
    }
