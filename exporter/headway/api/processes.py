"""What is known of processes, and what ends or hides one without a signal: lists, one with all that belongs to it, cancelling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from headway.api import answers
from headway.api.access import Caller
from headway.api.audit import Audit, quoted
from headway.api.context import Context, caller, context_of, data
from headway.api.listing import select, write_cursor
from headway.errors import InvalidInput
from headway.keys import Role
from headway.model import ACTIVE, Condition, Kind, Process, Status
from headway.schemas.control import EmptyIn
from headway.schemas.decoding import decode, parse_params
from headway.schemas.queries import ListParams, NoParams

# Children deeper than this are listed by id only; a tree of work that people make has a few levels.
MAX_NESTING: Final = 32
# How often one process is read anew because its status changed meanwhile; a read takes a millisecond.
LOOKS: Final = 10


async def list_processes(request: Request) -> Response:
    """Processes, newest first; the running ones unless asked otherwise."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), ListParams)
    selection = select(params, who)
    await context.settled(behind=not selection.in_memory)
    if selection.in_memory:
        found = selection.pick(context.registry.entries.values())
    else:
        # The store has every process, and what was on its way to it, so that filters by time are right.
        stored = await context.read(context.store.list, selection.query)
        if selection.conditions or selection.undismissed:
            known = replace(selection, statuses=selection.statuses & ACTIVE)
            stored = [*stored, *known.pick(context.registry.entries.values())]
        entries = context.registry.entries
        unique = {process.id: entries[process.id].process if process.id in entries else process for process in stored}
        found = sorted(unique.values(), key=lambda p: (p.spec.created_at, p.id), reverse=True)
    page = found[: params.limit]
    following = write_cursor(page[-1]) if len(found) > params.limit else None
    now = context.registry.clock()
    return data([context.summary(process, now, who) for process in page], next=following)


async def get_process(request: Request) -> Response:
    """One process with its whole log tail, its history of statuses, its children (nested) and their totals."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    return data(await detail(context, request.path_params["id"], who))


async def dismiss_process(request: Request) -> Response:
    """Takes an ended process out of the active view and its alert; it stays in the history. Who may report may also say that nobody
    needs to look into what was reported; it is in the audit."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    process_id = request.path_params["id"]
    with Audit(context, who, "dismiss", f"process {quoted(process_id)}") as audit:
        who.require(Role.REPORTER)
        await empty_body(request)
        entry = await context.active_entry(process_id, who)
        outcome = context.registry.dismiss(entry.process.id)
        if outcome.stored is not None:
            await outcome.stored
        audit.result("dismissed")
    return data(context.summary(outcome.process, context.registry.clock(), who))


async def cancel_process(request: Request) -> Response:
    """Asks the reporter of a process to end it; its next answer says so. The process decides when."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    process_id = request.path_params["id"]
    with Audit(context, who, "cancel", f"process {quoted(process_id)}") as audit:
        who.require(Role.OPERATOR)
        await empty_body(request)
        entry = await context.active_entry(process_id, who)
        outcome = context.registry.request_cancel(entry.process.id)
        if outcome.stored is not None:
            await outcome.stored
        audit.result("asked")
    return data(context.summary(outcome.process, context.registry.clock(), who), 202, cancel_requested=True)


async def stats(request: Request) -> Response:
    """How many processes there are, by status (history included), by type, and by condition (active ones); and the names
    of which too many runs ended badly, or one that was due did not begin. `notice`: that nothing is being stored, and why; null
    while all is well."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    entries = [e for e in context.registry.entries.values() if who.sees(e.process.spec.user)]
    by_status = dict(context.registry.totals.by_status)
    if who.user is not None:
        by_status = dict.fromkeys(Status, 0)
        for entry in entries:
            by_status[entry.process.status] += 1
    active = [entry for entry in entries if entry.process.status.active]
    conditions = dict.fromkeys(Condition, 0)
    by_type = dict.fromkeys(Kind, 0)
    for entry in active:
        by_type[entry.process.kind] += 1
        for report in entry.conditions:
            conditions[report.condition] += 1
    return data(
        {
            "total": sum(by_status.values()),
            "active": len(active),
            "by_status": by_status,
            "active_by_type": by_type,
            "conditions": conditions,
            "notice": context.writer.trouble,
            # Totals of a name are of all users.
            "names": [] if who.user is not None else [answers.name_report(report) for report in context.registry.totals.reports],
        }
    )


async def detail(context: Context, process_id: str, who: Caller) -> dict[str, Any]:
    """All of it as of one moment: of one that is shown as ended every line that was told with its end, or before, is there. Raises
    NotFound."""
    for _ in range(LOOKS):
        await context.settled()
        process = await context.find(process_id, who)
        entry = context.registry.entries.get(process_id)
        below = await descendants(context, process, who)
        transitions = await context.read(context.store.transitions, process_id)
        lines = await context.read(context.store.lines, process_id, context.settings.log_tail_lines) if entry is None else ()
        if context.registry.entries.get(process_id) is entry and (entry is None or not moved_on(process, entry.process)):
            break
    # Nothing is waited for from here on.
    now = context.registry.clock()
    process = process if entry is None else entry.process
    body = context.summary(process, now, who)
    body |= {
        "log_tail": [line.text for line in (lines if entry is None else entry.log.tail())],
        "children": nest(context, process, below, now, who),
        "totals": answers.totals(flat(process, below)),
        "transitions": [{"at": answers.timestamp(t.at), "from": t.before, "to": t.after, "cause": t.cause} for t in transitions],
    }
    return body


def moved_on(before: Process, after: Process) -> bool:
    """Whether what is in its history differs: that is not in what was read before, and may still be undone."""
    asked = before.cancel_requested_at != after.cancel_requested_at or before.dismissed_at != after.dismissed_at
    return asked or before.state is not after.state


async def descendants(context: Context, process: Process, who: Caller) -> dict[str, list[Process]]:
    """Everything below a process that this caller may see, by parent id: from memory, and from the history where it has faded."""
    below: dict[str, list[Process]] = {}
    level, seen = [process.id], {process.id}
    while level:
        stored = await context.read(context.store.children, level)
        entries = context.registry.entries
        found = {child.id: child for child in stored}
        for parent_id in level:
            parent = entries.get(parent_id)
            for child_id in parent.children if parent is not None else ():
                if child_id in entries:
                    found[child_id] = entries[child_id].process
        level = []
        for child in found.values():
            if child.id in seen or child.spec.parent_id is None or not who.sees(child.spec.user):
                continue
            seen.add(child.id)
            level.append(child.id)
            child = entries[child.id].process if child.id in entries else child
            below.setdefault(child.spec.parent_id or "", []).append(child)
    return below


def nest(
    context: Context, process: Process, below: Mapping[str, list[Process]], now: float, who: Caller, depth: int = 0
) -> list[dict[str, Any]]:
    """The children of a process in list form, each with its own children and the totals of all below it."""
    nested = []
    for child in sorted(below.get(process.id, ()), key=lambda p: (p.spec.created_at, p.id)):
        body = context.summary(child, now, who) | {"totals": answers.totals(flat(child, below))}
        if depth < MAX_NESTING:
            body["children"] = nest(context, child, below, now, who, depth + 1)
        nested.append(body)
    return nested


def flat(process: Process, below: Mapping[str, list[Process]]) -> list[Process]:
    """The process and everything below it."""
    found = [process]
    for parent in found:
        found += below.get(parent.id, ())
    return found


async def empty_body(request: Request) -> None:
    """An absent body is valid, and so is {}."""
    body = await request.body()
    if body.strip():
        decode(body, EmptyIn)


def single(request: Request) -> dict[str, str]:
    """The query parameters; one that is given twice is refused rather than half ignored."""
    params: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in params:
            raise InvalidInput(f"query parameter {name[:64]} is given twice", field=name[:64])
        params[name] = value
    return params
