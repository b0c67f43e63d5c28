"""/services: configured services with their status and the reason, process, port, schedule; buttons, or what to type instead. Below
them the runs that others start, and that are expected."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headway.api.context import Context, caller, context_of
from headway.api.pages import REFRESH_ACTIVE, may_control, respond
from headway.api.processes import single
from headway.api.service_logs import last_lines
from headway.api.service_picture import picture
from headway.api.service_row import service_row
from headway.api.services import seen, visible
from headway.cleaning import clean
from headway.durations import format_duration
from headway.model import Kind
from headway.services.launching import log_file

LINES: Final = 500
# A line is shown up to here; the page's script says how much is left out.
LONGEST: Final = 8192


async def services(request: Request) -> Response:
    """The page, or its rows as JSON. `?logs=NAME` shows the log of one below."""
    context, who = context_of(request), caller(request)
    now, control = context.registry.clock(), may_control(who)
    rows = [shown(service_row(picture(context.supervisor, unit), now), control) for unit in visible(context, who)]
    statuses = [row["status"] for row in rows]
    name, lines = single(request).get("logs"), []
    if name is not None:
        unit = seen(context, who, name)
        path = log_file(unit.service, context.settings.data_dir)
        lines = [clean(line[:LONGEST]) for line in await context.read(last_lines, path, LINES, unit.service.log.keep)]
    model = {
        "now": now,
        "rows": rows,
        "expected": expected_rows(context, now) if who.sees(None) else [],
        "counts": [(status.capitalize(), statuses.count(status)) for status in ("running", "starting", "error", "stopped")],
        "bound": who.user is not None,
        "log": name,
        "lines": lines,
    }
    return respond(request, "services.html", "Services", "/services", model, REFRESH_ACTIVE)


def expected_rows(context: Context, now: float) -> list[dict[str, Any]]:
    """Names whose runs others start: when one is due, when one began, and what was missed."""
    found = []
    for run in context.expecting.figures():
        stats = context.registry.totals.names.get((run.name, Kind(run.kind)))
        ended = "" if stats is None or stats.last_status is None else stats.last_status.value.replace("_", " ")
        missed = run.late_at is not None
        found.append(
            {
                "name": run.name,
                "status": "missed" if missed else "expected",
                "mark": "✗" if missed else "○",
                "link": "/history?" + urlencode({"name": run.name, "exact": "true"}, errors="replace"),
                "due": str(context.expecting.expected[run.name]),
                "last": before(run.last_run_at, now),
                "ended": ended,
                "missed": run.missed or "",
                "next": "" if run.next_run_at is None else due(run.next_run_at, now),
                "said": f"a run was due and did not begin; noticed {before(run.late_at, now)}" if missed else "",
            }
        )
    return sorted(found, key=lambda row: (row["status"] != "missed", row["name"]))


def before(at: float | None, now: float) -> str:
    return "" if at is None else f"{format_duration(round(max(0.0, now - at)))} ago"


def due(at: float, now: float) -> str:
    """Its time may be over, while its grace is not."""
    return f"in {format_duration(round(at - now))}" if at > now else f"since {format_duration(round(now - at))}"


def shown(row: dict[str, Any], control: bool) -> dict[str, Any]:
    """With links, and the buttons for who may control it."""
    return row | {
        "link": None if row["process_id"] is None else f"/processes/{row['process_id']}",
        "logs": f"/services?logs={row['name']}#output",
        "actions": actions(row) if control else [],
        **{name: [{"text": text} for text in row[name]] for name in ("reasons", "schedule", "commands")},
    }


def actions(row: dict[str, Any]) -> list[dict[str, str]]:
    idle = row["status"] in ("stopped", "error") and row["pid"] is None
    words = ["start"] if idle else ["restart", "stop"]
    return [{"action": word, "label": word.capitalize()} for word in words]
