"""/processes/ID: one process: progress, output, resources, tree, history, metadata; `?cancel` opens the confirmation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.context import caller, context_of
from headway.api.control import asking
from headway.api.pages import REFRESH_ACTIVE, may_control, respond
from headway.api.processes import descendants
from headway.api.stream import tail
from headway.api.web.active import whole
from headway.api.web.history import iso, moment
from headway.api.web.row import MARKS, shown, trend
from headway.cleaning import clean
from headway.control.pictures import picture
from headway.durations import format_duration
from headway.figures import size
from headway.keys import Role
from headway.model import Process, Status
from headway.schemas.control import KillIn
from headway.store.base import LogLine
from headway.supervisor.launches import Launch
from headway.view import View

LINES: Final = 500
# A line is shown up to here; the whole of it is in the download.
LONGEST: Final = 8192
QUEUED: Final = "it is queued"


async def process(request: Request) -> Response:
    """The page; as JSON all of it but the output, which has a stream of its own."""
    context, who = context_of(request), caller(request)
    found = await context.find(request.path_params["id"], who)
    now = context.registry.clock()
    entry = context.registry.entries.get(found.id) or context.registry.archived(found)
    view = context.registry.view(entry, now, who.user)
    below = await descendants(context, found, who)
    transitions = await context.read(context.store.transitions, found.id)
    lines = await tail(context, found.id, LINES)
    retriable = found.status.ended and isinstance(await context.read(context.launches.find, found.id), Launch)
    model = {
        "now": now,
        "row": shown(whole(context, entry, now, who), now),
        "cancel": ("possible" if found.status.active else "over") if "cancel" in request.query_params else None,
        "actions": actions(who, found, retriable),
        "retriable": retriable,
        "facts": facts(view),
        "metadata": json.dumps(found.metadata, indent=2, ensure_ascii=False) if found.metadata else "",
        "usual": usual(view),
        "memory_trend": trend(entry.memory) if found.status.active else [],
        "tree": branches(await picture(context.control, found, below, asking(who, KillIn()))),
        "steps": [
            {
                "key": f"{step.at} {step.after}",
                "at": iso(step.at),
                "at_text": moment(step.at),
                "to": step.after.replace("_", " "),
                "status": step.after.value,
                "mark": MARKS[step.after],
                "cause": step.cause,
                "took": format_duration(max(0.0, later - step.at)) if later is not None else "",
            }
            for step, later in zip(transitions, [*(step.at for step in transitions[1:]), None], strict=False)
        ],
    }
    if not json_wanted(request):
        model |= {"lines": [output_line(line) for line in lines], "last": lines[-1].number if lines else 0}
    return respond(request, "process.html", found.name, "/processes/…", model, refresh=REFRESH_ACTIVE if found.status.active else 0)


def json_wanted(request: Request) -> bool:
    return request.headers.get("accept") == "application/json"


def actions(who: Caller, found: Process, retriable: bool) -> list[dict[str, str]]:
    """The buttons that this caller has for a process in this status."""
    if not may_control(who):
        return []
    every = {
        "cancel": ("Cancel", found.status.active and found.cancel_requested_at is None),
        "kill": ("Kill", found.status.active and found.status is not Status.QUEUED),
        "pause": ("Pause", found.status in (Status.RUNNING, Status.STARTING)),
        "resume": ("Resume", found.status is Status.PAUSED),
        "retry": ("Run again", retriable),
        "dismiss": ("Dismiss", found.status.ended and found.dismissed_at is None and who.role.allows(Role.REPORTER)),
    }
    return [{"key": word, "action": word, "label": label} for word, (label, possible) in every.items() if possible]


def usual(view: View) -> dict[str, Any] | None:
    """How long it took beside how long it was to take. `percent` of a bar whose end is the longer of the two, `mark` the usual."""
    elapsed, expected = view.process.elapsed(view.now), view.expected_duration
    if elapsed is None or not expected:
        return None
    longest = max(elapsed, expected)
    runs = view.expected_runs
    source = "declared" if runs is None else f"median of the last {runs} good run{'' if runs == 1 else 's'}"
    return {
        "ratio": f"{elapsed / expected:.2g}×" if elapsed < 10 * expected else f"{elapsed / expected:.0f}×",
        "text": f"{format_duration(elapsed)} of the {'expected' if runs is None else 'usual'} {format_duration(expected)}",
        "source": source,
        "percent": round(100 * elapsed / longest, 1),
        "mark": round(100 * expected / longest, 1),
    }


def output_line(line: LogLine) -> dict[str, Any]:
    """Without colours: the page's script shows them."""
    return {"number": line.number, "text": clean(line.text[:LONGEST])}


def branches(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tree from top to bottom, one row for each tracked process and each OS process, with its depth."""
    found: list[dict[str, Any]] = []
    known: set[str] = set()  # an OS process that several tracked ones share stands below the first
    stack: list[tuple[str, Mapping[str, Any], int]] = [("process", body, 0)]
    while stack:
        kind, one, depth = stack.pop()
        below: list[tuple[str, Mapping[str, Any], int]]
        if kind == "process":
            found.append(
                {
                    "key": one["id"],
                    "depth": min(depth, 12),
                    "mark": MARKS[Status(one["status"])],
                    "status": one["status"],
                    "link": f"/processes/{one['id']}",
                    "name": one["name"],
                    "what": f"{one['type']}, {one['status'].replace('_', ' ')}",
                    "reason": ""
                    if one["os_process"] is not None or one["reason"] in (None, "shown above", QUEUED)
                    else one["reason"],
                    **dict.fromkeys(("pid", "state", "cpu", "memory", "threads"), ""),
                }
            )
            roots = [one["os_process"]] if one["os_process"] is not None else []
            below = [("os", root, depth + 1) for root in roots] + [("stray", left, depth + 1) for left in one["strays"]]
            below += [("process", child, depth + 1) for child in one["children"]]
        else:
            cpu, memory = one["cpu_ratio"], one["memory_bytes"]
            key = f"pid {one['pid']} {one['create_time']}"
            if key in known:
                continue
            known.add(key)
            found.append(
                {
                    "key": key,
                    "depth": min(depth, 12),
                    "mark": "·",
                    "status": "os",
                    "link": None,
                    "name": clean(one["command"] or f"pid {one['pid']}"),
                    "what": "left the tree" if kind == "stray" else "",
                    "reason": "",
                    "pid": str(one["pid"]),
                    "state": one["state"] or "",
                    "cpu": "" if cpu is None else f"{cpu * 100:.0f}%",
                    "memory": "" if memory is None else size(memory),
                    "threads": "" if one["threads"] is None else str(one["threads"]),
                }
            )
            below = [("os", child, depth + 1) for child in one["children"]]
        stack += reversed(below)
    return found


def facts(view: View) -> list[dict[str, Any]]:
    """What is known of it, as (label, text); times with their moment."""
    process, sample = view.process, view.sample
    spec, activity, os_process = process.spec, process.activity, process.spec.os_process
    usage = view.usage
    texts: Sequence[tuple[str, object]] = (
        ("id", process.id),
        ("type", spec.kind.value),
        ("description", spec.description),
        ("stage", activity.stage),
        ("summary", activity.summary),
        ("error", process.error),
        ("exit code", process.exit_code),
        ("signal", process.signal),
        ("user", spec.user),
        ("project", spec.project),
        ("task", spec.task),
        ("attempt", spec.attempt),
        ("agent", spec.agent),
        ("group", spec.group),
        ("host", spec.host),
        ("pid", None if os_process is None else os_process.pid),
        ("OS state", None if sample is None else sample.state),
        ("command", spec.command),
        ("folder", spec.cwd),
        ("waits for", None if process.waiting is None else process.waiting.what),
        ("counts as stuck", None if view.serves is None else f"never: it only waits for callers on port {view.serves}"),
    )
    durations: Sequence[tuple[str, float | None]] = (
        ("usual duration", view.expected_duration),
        ("timeout", spec.timeout),
        ("counts as stuck after", view.limits.stuck_after),
        ("may wait for a person for", view.limits.waiting_after),
        ("CPU time", None if usage is None else usage.cpu_seconds),
    )
    times: Sequence[tuple[str, float | None]] = (
        ("created", spec.created_at),
        ("started", process.started_at),
        ("last update", activity.updated_at),
        ("last output", activity.last_output_at),
        ("last progress", activity.last_progress_at),
        ("waits since", None if process.waiting is None else process.waiting.since),
        ("ended", process.finished_at),
    )
    found = [fact(label, clean(value)) for label, value in texts if value is not None]
    if spec.parent_id is not None:
        found.append(fact("parent", spec.parent_id, link=f"/processes/{spec.parent_id}"))
    found += [fact(label, format_duration(value)) for label, value in durations if value is not None]
    if usage is not None and usage.peak_memory_bytes is not None:
        found.append(fact("most memory", size(usage.peak_memory_bytes)))
    if view.cost is not None:
        found.append(fact("cost", f"${view.cost:.2f}"))
    return found + [fact(label, moment(at), at=iso(at)) for label, at in times if at is not None]


def fact(label: str, text: str, *, at: str | None = None, link: str | None = None) -> dict[str, Any]:
    return {"key": label, "label": label, "text": text, "at": at, "link": link}
