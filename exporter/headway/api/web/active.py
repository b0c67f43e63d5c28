"""/ and /processes: what runs, what ended lately, what failed and was not dismissed; children under their parents."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.context import Context, caller, context_of
from headway.api.pages import REFRESH_ACTIVE, ROWS, as_json, respond
from headway.api.web.row import Row, counts, folded, nested, row, shown, times, trend
from headway.registry.entry import Entry

EMPTY: Final = (
    "Nothing is running. A script reports itself with «from headway import Reporter», a shell script with «headway report create», "
    "anything else with POST /api/processes (see /docs)."
)


async def active(request: Request) -> Response:
    """The page; as JSON the same rows, none folded into another, for a browser that cannot follow the stream."""
    context, who = context_of(request), caller(request)
    entries, now = visible(context, who), context.registry.clock()
    order = nested(whole(context, entry, now, who) for entry in entries)
    if not as_json(request):
        order = [(found | times(found, number), depth) for found, depth, number in folded(order)]
    model = {
        "now": now,
        "rows": [shown(found, now, depth) for found, depth in order[:ROWS]],
        "counts": counts(entries),
        "more": max(0, len(order) - ROWS),
        "empty": EMPTY,
        "notice": context.writer.trouble,
    }
    return respond(request, "active.html", "Active processes", "/processes", model, REFRESH_ACTIVE)


def whole(context: Context, entry: Entry, now: float, who: Caller) -> Row:
    """A row with what a browser needs once: the line of the last minutes."""
    found = row(context.registry.view(entry, now, who.user))
    return found | {"trend": trend(entry.cpu) if found["cpu"] else []}


def visible(context: Context, who: Caller) -> list[Entry]:
    return [entry for entry in context.registry.entries.values() if who.sees(entry.process.spec.user)]
