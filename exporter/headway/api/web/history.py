"""/history: what has ended, the latest end first, filtered by date, type, status, project and name; a page at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.context import Context, caller, context_of
from headway.api.listing import read_cursor, write_cursor
from headway.api.pages import REFRESH_HISTORY, respond
from headway.api.processes import single
from headway.api.web.row import Row, row, shown
from headway.durations import format_duration
from headway.errors import InvalidInput
from headway.figures import size
from headway.model import ENDED, Kind, Process, Status
from headway.schemas.decoding import parse_params
from headway.schemas.fields import Label
from headway.store.base import Query

PAGE: Final = 50
EMPTY: Final = "Nothing has ended yet."
NOTHING_FOUND: Final = "Nothing that has ended matches these filters."


class HistoryParams(Struct, forbid_unknown_fields=True):
    """Filters of the page of what has ended: `name` is a part of it, or with `exact` the whole; `since` and `until` are days."""

    name: Annotated[str, Meta(max_length=256)] | None = None
    exact: Literal["true"] | None = None
    type: Kind | None = None
    status: Literal["done", "failed", "cancelled", "killed", "timed_out", "orphaned"] | None = None
    project: Label | None = None
    since: Annotated[str, Meta(max_length=10)] | None = None
    until: Annotated[str, Meta(max_length=10)] | None = None
    cursor: Annotated[str, Meta(max_length=256)] | None = None


async def history(request: Request) -> Response:
    """Filters that are empty in the form do not count. Days are those of the exporter's time zone."""
    context, who = context_of(request), caller(request)
    given = {name: value for name, value in single(request).items() if value}
    params = parse_params(given, HistoryParams)
    query = Query(
        statuses=ENDED if params.status is None else {Status(params.status)},
        kind=params.type,
        user=who.user,
        project=params.project,
        name=params.name if params.exact else None,
        name_part=None if params.exact else params.name,
        since=None if params.since is None else day(params.since, "since"),
        until=None if params.until is None else day(params.until, "until") + timedelta(days=1).total_seconds(),
        after=None if params.cursor is None else read_cursor(params.cursor),
        by_end=True,
        limit=PAGE + 1,
    )
    await context.settled(behind=True)
    found = list(await context.read(context.store.list, query))
    now = context.registry.clock()
    filters = {name: value for name, value in given.items() if name != "cursor"}
    older = None
    if len(found) > PAGE:
        older = "/history?" + urlencode({**filters, "cursor": write_cursor(found[PAGE - 1], by_end=True)})
    model = {
        "now": now,
        "rows": [past(context, process, now, who) for process in found[:PAGE]],
        "older": older,
        "newest": None if params.cursor is None else "/history?" + urlencode(filters) if filters else "/history",
        "filters": filters,
        "types": [kind.value for kind in Kind],
        "statuses": [(status.value, status.replace("_", " ")) for status in sorted(ENDED, key=lambda status: status.code)],
        "empty": NOTHING_FOUND if filters else EMPTY,
    }
    return respond(request, "history.html", "History", "/history", model, REFRESH_HISTORY)


def past(context: Context, process: Process, now: float, who: Caller) -> Row:
    """A row of the history: with its end as a moment, and the most memory it had."""
    entry = context.registry.entries.get(process.id) or context.registry.archived(process)
    view = context.registry.view(entry, now, who.user)
    peak = None if view.usage is None else view.usage.peak_memory_bytes
    seconds = None if view.usage is None else view.usage.cpu_seconds
    found = shown(row(view), now)
    return found | {
        "took": found["elapsed"],
        "ended_text": moment(process.finished_at),
        "ended_at": iso(process.finished_at),
        "peak": "" if peak is None else size(peak),
        "cpu_time": "" if seconds is None else format_duration(seconds),
    }


def day(text: str, field: str) -> float:
    """The beginning of a day such as 2026-01-31, as unix seconds. Raises InvalidInput."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(f"{field}: expected a day such as 2026-01-31", field=field) from None


def moment(at: float | None) -> str:
    """In the exporter's time zone; the page's script shows it in the reader's."""
    return "" if at is None else datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")
