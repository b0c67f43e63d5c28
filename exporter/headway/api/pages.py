"""The exporter's own pages: server-rendered, without scripts; their addresses are those that alerts and dashboards link to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from headway.api.access import Caller
from headway.api.context import Context, caller, context_of
from headway.api.listing import select, write_cursor
from headway.api.processes import detail, single
from headway.api.service_picture import picture
from headway.api.service_row import service_row
from headway.api.services import visible as seen_services
from headway.durations import format_duration
from headway.errors import HeadwayError
from headway.figures import count, rate, size
from headway.model import Condition, Process, Status
from headway.registry.entry import Entry
from headway.registry.lifecycle import needs_attention
from headway.schemas import ListParams
from headway.supervisor.launches import Launch

FOLDER: Final = Path(__file__).parent
REFRESH_ACTIVE: Final = 5
REFRESH_HISTORY: Final = 30
ROWS: Final = 1000
MARKS: Final[Mapping[Status, str]] = {
    Status.QUEUED: "○",
    Status.STARTING: "◌",
    Status.RUNNING: "●",
    Status.PAUSED: "‖",
    Status.STOPPING: "◍",
    Status.DONE: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "⊘",
    Status.KILLED: "⊘",
    Status.TIMED_OUT: "⏱",
    Status.ORPHANED: "?",
}
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
NO_PROCESSES: Final = (
    "Nothing is running. A script reports itself with «from headway import Reporter», a shell script with «headway report create», "
    "anything else with POST /api/processes (see /docs)."
)

_templates = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=select_autoescape(), trim_blocks=True)


async def active(request: Request) -> Response:
    """What runs, what ended lately, what failed and was not dismissed; children under their parents."""
    context, who = context_of(request), caller(request)
    entries = visible(context, who)
    statuses = [entry.process.status for entry in entries]
    conditions = [report.condition for entry in entries if entry.process.status.active for report in entry.conditions]
    counts = [
        ("Running", statuses.count(Status.RUNNING)),
        ("Queued", statuses.count(Status.QUEUED)),
        ("Done lately", statuses.count(Status.DONE)),
        ("Failed", sum(needs_attention(entry.process) for entry in entries if entry.process.status.ended)),
        ("Stuck", conditions.count(Condition.STUCK)),
        ("Time sinks", conditions.count(Condition.TIME_SINK)),
        ("Bottlenecks", conditions.count(Condition.BOTTLENECK)),
    ]
    rows = [
        row(context.summary(entry.process, context.registry.clock()), depth)
        for entry, depth in nested(sorted(entries, key=importance))[:ROWS]
    ]
    return page(
        context, "list.html", "Active processes", "/processes", REFRESH_ACTIVE, rows=rows, counts=counts, empty=NO_PROCESSES
    )


async def attention(request: Request) -> Response:
    """What a person should look at: conditions that hold, and ends that nobody has dismissed."""
    context, who = context_of(request), caller(request)
    now = context.registry.clock()
    rows = [
        row(context.summary(entry.process, now), 0)
        for entry in sorted(visible(context, who), key=importance)
        if (needs_attention(entry.process) if entry.process.status.ended else entry.conditions)
    ]
    empty = "Nothing needs attention: no stuck process, time sink or bottleneck, and no failure that was not dismissed."
    names = () if who.user is not None else context.registry.name_reports
    if names:
        empty = ""
    return page(
        context, "list.html", "Needs attention", "/attention", REFRESH_ACTIVE, rows=rows[:ROWS], names=names[:ROWS], empty=empty
    )


async def history(request: Request) -> Response:
    """Ended processes, newest first, a page at a time."""
    context, who = context_of(request), caller(request)
    cursor = single(request).get("cursor")
    selection = select(ListParams(state="ended", limit=50, cursor=cursor), who)
    await context.writer.flush()
    found = await context.read(context.store.list, selection.query)
    now = context.registry.clock()
    return page(
        context,
        "list.html",
        "History",
        "/history",
        REFRESH_HISTORY,
        rows=[row(context.summary(process, now), 0) for process in found[:50]],
        following=write_cursor(found[49]) if len(found) > 50 else None,
        empty="Nothing has ended yet.",
    )


async def services(request: Request) -> Response:
    """Configured services: status with the reason, process, port, schedule, and what to type to change it."""
    context, who = context_of(request), caller(request)
    now = context.registry.clock()
    rows = [service_row(picture(context.supervisor, unit), now) for unit in seen_services(context, who)]
    statuses = [row["status"] for row in rows]
    counts = [(status.capitalize(), statuses.count(status)) for status in ("running", "starting", "error", "stopped")]
    bound = who.user is not None
    return page(context, "services.html", "Services", "/services", REFRESH_ACTIVE, rows=rows, counts=counts, bound=bound)


async def process(request: Request) -> Response:
    """One process: facts, metadata, nested processes, output, history; `?cancel` says how to end it."""
    context, who = context_of(request), caller(request)
    found = await context.find(request.path_params["id"], who)
    body = await detail(context, found)
    cancel = None
    if "cancel" in request.query_params:
        cancel = "possible" if found.status.active else "over"
    return page(
        context,
        "process.html",
        found.name,
        "/processes/…",
        0 if cancel else REFRESH_ACTIVE if found.status.active else 0,
        row=row(body, 0),
        facts=facts(body),
        metadata=json.dumps(body["metadata"], indent=2, ensure_ascii=False) if body["metadata"] else "",
        children=[tree(child) for child in body["children"]],
        log="\n".join(body["log_tail"]),
        transitions=body["transitions"],
        cancel=cancel,
        retriable=found.status.ended and isinstance(await context.read(context.launches.find, found.id), Launch),
    )


def page(context: Context, template: str, title: str, here: str, refresh: int, **values: Any) -> Response:
    values |= {"title": title, "here": here, "refresh": refresh, "settings": context.settings}
    html = _templates.get_template(template).render(values)
    return HTMLResponse(html, headers=security_headers())


def problem_page(error: HeadwayError, context: Context) -> Response:
    """A refusal as a page, for a browser."""
    html = _templates.get_template("list.html").render(
        title=error.title, here="", refresh=0, settings=context.settings, rows=[], empty=error.detail
    )
    return HTMLResponse(html, error.status, headers=security_headers())


def security_headers() -> dict[str, str]:
    return {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def visible(context: Context, who: Caller) -> list[Entry]:
    return [entry for entry in context.registry.entries.values() if who.sees(entry.process.spec.user)]


def importance(entry: Entry) -> tuple[int, float]:
    """Failures and conditions first, then what runs, then what waits, then what is over; the newest first in each."""
    found: Process = entry.process
    if found.status.ended:
        rank = 0 if needs_attention(found) else 4
    elif entry.conditions:
        rank = 1
    else:
        rank = 3 if found.status is Status.QUEUED else 2
    return (rank, -found.spec.created_at)


def nested(entries: Sequence[Entry]) -> list[tuple[Entry, int]]:
    """The entries in their order, each child moved under its parent; with the depth, three at most."""
    present = {entry.process.id for entry in entries}
    below: dict[str, list[Entry]] = {}
    stack: list[tuple[Entry, int]] = []
    for entry in entries:
        parent_id = entry.process.spec.parent_id
        if parent_id in present:
            below.setdefault(parent_id, []).append(entry)
        else:
            stack.append((entry, 0))
    stack.reverse()
    found = []
    while stack:
        entry, depth = stack.pop()
        found.append((entry, min(depth, 3)))
        stack += [(child, depth + 1) for child in reversed(below.pop(entry.process.id, []))]
    return found


def row(body: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """A process as people read it."""
    progress = body["progress"]
    ratio = progress["ratio"]
    return {
        "id": body["id"],
        "name": body["name"],
        "type": body["type"],
        "project": body["project"],
        "status": body["status"],
        "status_text": str(body["status"]).replace("_", " "),
        "mark": MARKS[body["status"]],
        "depth": depth,
        "percent": None if ratio is None else int(ratio * 100),
        "count": count(progress),
        "rate": rate(body["rate"]),
        "eta": "" if body["eta_seconds"] is None else f"~{format_duration(body['eta_seconds'])}",
        "elapsed": "" if body["elapsed_seconds"] is None else format_duration(body["elapsed_seconds"]),
        "cpu": "" if body["cpu_ratio"] is None else f"{body['cpu_ratio'] * 100:.0f}%",
        "memory": "" if body["memory_bytes"] is None else size(body["memory_bytes"]),
        "flags": [
            {"name": c["name"].replace("_", " "), "severity": c["severity"], "reason": c["reason"]} for c in body["conditions"]
        ],
        "note": body["error"] or body["summary"] or body["stage"] or (body["log_tail"][-1] if body["log_tail"] else ""),
    }


def tree(body: Mapping[str, Any]) -> dict[str, Any]:
    return row(body, 0) | {"children": [tree(child) for child in body["children"] if isinstance(child, Mapping)]}


FACTS: Final = (
    ("id", "id"),
    ("type", "type"),
    ("user", "user"),
    ("project", "project"),
    ("task", "task"),
    ("attempt", "attempt"),
    ("agent", "agent"),
    ("group", "group"),
    ("host", "host"),
    ("pid", "pid"),
    ("os_state", "OS state"),
    ("command", "command"),
    ("description", "description"),
    ("cwd", "cwd"),
    ("started_at", "started"),
    ("updated_at", "last update"),
    ("last_output_at", "last output"),
    ("last_progress_at", "last progress"),
    ("finished_at", "ended"),
    ("exit_code", "exit code"),
    ("signal", "signal"),
    ("error", "error"),
    ("summary", "summary"),
    ("stage", "stage"),
    ("parent_id", "parent"),
)
DURATIONS: Final = (
    ("elapsed_seconds", "elapsed"),
    ("eta_seconds", "time left"),
    ("expected_duration", "usual duration"),
    ("timeout", "timeout"),
)


def facts(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(label, str(body[name])) for name, label in FACTS if body[name] is not None]
    return found + [(label, format_duration(body[name])) for name, label in DURATIONS if body[name] is not None]
