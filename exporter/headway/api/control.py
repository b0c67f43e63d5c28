"""The calls that act on OS processes: kill, pause, resume, cleanup; and the tree that they act on."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.audit import Audit, quoted
from headway.api.context import Context, caller, context_of, data
from headway.api.processes import descendants, empty_body, single
from headway.control.cleanup import clean_up
from headway.control.pictures import picture
from headway.control.report import Asked, Report
from headway.control.scope import chosen, tracked
from headway.ending.signals import parse_signal
from headway.errors import Conflict, Forbidden, InvalidInput
from headway.keys import Role
from headway.model import OSProcess, Process, Status
from headway.schemas.control import CleanupIn, KillIn, KillScopeIn, PidScope, ProcessScope, Scope
from headway.schemas.decoding import decode, parse_params, seconds
from headway.schemas.queries import NoParams

S = TypeVar("S", bound=msgspec.Struct)
# Whoever asked waits for the result meanwhile.
LONGEST_GRACE: Final = 60.0


async def kill_process(request: Request) -> Response:
    """Ends a process with everything below it: the signal, and SIGKILL after the grace. Answers when the outcome was seen."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    process_id = request.path_params["id"]
    with Audit(context, who, "kill", f"process {quoted(process_id)}") as audit:
        who.require(Role.OPERATOR)
        form = await optional(request, KillIn)
        asked = asking(who, form)
        process = await context.find(process_id, who)
        if (reason := context.control.unreachable(process)) is not None and process.status.active:
            raise Conflict(f"process {process.id} cannot be ended from here: {reason}")
        if process.status.ended and not await context.control.living([process]):
            raise Conflict(f"process {process.id} has already ended: {process.status}")
        if process.status is Status.ORPHANED:
            process = (await context.active_entry(process_id, who)).process
        report = await context.control.kill([process], asked)
        barred = [miss.reason for miss in report.skipped if not report.killed and not report.failed]
        if barred:
            raise Conflict(f"process {process.id} must not be ended: {barred[0]}")
        audit.result(words(report, asked), report.complete)
    process = await context.find(process_id, who)
    return data({"process": context.summary(process, context.registry.clock(), who), **msgspec.to_builtins(report)})


async def kill_scope(request: Request) -> Response:
    """Ends all processes of a scope, children before parents; says what was ended, what could not be, and why. With `dry_run`
    nothing is touched. The scope pid reaches OS processes that are not tracked, for the role admin."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "kill_scope", "a scope") as audit:
        who.require(Role.OPERATOR)
        form = decode(await request.body(), KillScopeIn)
        audit.what = quoted(named(form.scope))
        asked = asking(who, form)
        report = await context.control.kill(await subjects(context, who, form.scope), asked)
        if form.dry_run:
            audit.dry()
        else:
            audit.result(words(report, asked), report.complete)
    return data(report)


async def pause_process(request: Request) -> Response:
    """Stops the OS processes of a process where they are (SIGSTOP), until it is resumed or killed."""
    return await turn(request, "pause")


async def resume_process(request: Request) -> Response:
    """Lets a paused process go on (SIGCONT)."""
    return await turn(request, "resume")


async def turn(request: Request, action: str) -> Response:
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    process_id = request.path_params["id"]
    with Audit(context, who, action, f"process {quoted(process_id)}") as audit:
        who.require(Role.OPERATOR)
        await empty_body(request)
        process = await context.find(process_id, who)
        do = context.control.pause if action == "pause" else context.control.resume
        process, failed = await do(process, asking(who, KillIn()))
        audit.result(f"{process.status}" + (f", {len(failed)} OS processes could not be reached" if failed else ""), not failed)
    return data(context.summary(process, context.registry.clock(), who), failed=failed)


async def cleanup(request: Request) -> Response:
    """Takes out of the active view what was orphaned, whose OS process is a zombie, and what ended well a while ago."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "cleanup", "the active view") as audit:
        who.require(Role.OPERATOR)
        form = await optional(request, CleanupIn)
        older_than = seconds(form.older_than, "older_than")
        done = await clean_up(context.registry, by=who.name, older_than=older_than, sees=who.sees, dry_run=form.dry_run)
        if form.dry_run:
            audit.dry()
        else:
            audit.result(f"{len(done.orphans)} orphans, {len(done.zombies)} zombies, {len(done.ended)} ended")
    return data(done)


async def tree(request: Request) -> Response:
    """The OS processes of a process as a tree, with command, state, CPU and memory of each; `strays`, who left that tree; and the
    processes below it."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    process = await context.find(request.path_params["id"], who)
    below = await descendants(context, process, who)
    return data(await picture(context.control, process, below, asking(who, KillIn())))


# ── shared ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def asking(who: Caller, form: KillIn | KillScopeIn) -> Asked:
    """Raises InvalidInput."""
    grace = seconds(form.grace, "grace")
    if grace > LONGEST_GRACE:
        raise InvalidInput(f"grace: at most {LONGEST_GRACE:.0f} seconds; the answer comes when the outcome is known", field="grace")
    return Asked(
        by=who.name,
        user=who.user,
        signal=parse_signal(form.signal),
        grace=grace,
        spare_executors=isinstance(form, KillScopeIn) and named(form.scope) == "all_except_executors",
        dry_run=isinstance(form, KillScopeIn) and form.dry_run,
    )


async def subjects(context: Context, who: Caller, scope: Scope) -> list[Process | OSProcess]:
    """What a scope means for this caller. Raises NotFound for an unknown process, Forbidden for an untracked OS process."""
    processes = [entry.process for entry in context.registry.entries.values() if who.sees(entry.process.spec.user)]
    match scope:
        case ProcessScope():
            process = await context.find(scope.process_id, who)
            if process.status is Status.ORPHANED and await context.control.living([process]):
                process = (await context.active_entry(process.id, who)).process
            return [process]
        case PidScope():
            root = OSProcess(scope.pid, scope.create_time)
            if scope.create_time is None:
                found = await asyncio.to_thread(context.registry.host.identify, scope.pid)
                root = root if found is None else found
            known = tracked(root, processes, context.control.watch)
            if known is not None:
                return [known]
            who.require(Role.ADMIN)
            if who.user is not None:
                raise Forbidden(
                    f"this key reaches only processes of {who.user}; no process of theirs has this pid", field="scope.pid"
                )
            return [root]
        case _:
            return [*await chosen(scope, processes, context.control)]


def named(scope: Scope) -> str:
    """The scope in a few words: type and what it names."""
    facts = msgspec.to_builtins(scope)
    kind = facts.pop("type")
    value = next((str(value) for value in facts.values() if value is not None), None)
    return kind if value is None else f"{kind} {value}"


def words(report: Report, asked: Asked) -> str:
    last = {hit.signal for hit in report.killed if hit.signal is not None} - {asked.signal.name}
    processes = sum(hit.os_processes for hit in report.killed)
    found = f"{asked.signal.name}{''.join(f', then {name}' for name in sorted(last))}: {report.killed_count} ended"
    found += f" ({processes} OS processes)" if processes != report.killed_count else ""
    for count, word in ((len(report.failed), "failed"), (len(report.skipped), "skipped"), (len(report.survivors), "survive")):
        found += f", {count} {word}" if count else ""
    return found


async def optional(request: Request, shape: type[S]) -> S:
    """The body; absent means the defaults."""
    body = await request.body()
    return decode(body, shape) if body.strip() else shape()
