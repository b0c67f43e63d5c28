"""The calls on configured services: status, start, stop, restart, all at once, logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headway.api.access import Caller
from headway.api.audit import Audit, quoted
from headway.api.context import Context, caller, context_of, data
from headway.api.control import optional
from headway.api.processes import single
from headway.api.service_logs import follow, last_lines
from headway.api.service_picture import picture
from headway.errors import Conflict, Forbidden, InvalidInput
from headway.keys import Role
from headway.schemas.control import ServiceIn, ServicesIn
from headway.schemas.decoding import decode, parse_params, seconds
from headway.schemas.queries import LogParams, NoParams, ServiceParams
from headway.services.launching import log_file
from headway.services.phase import Phase
from headway.services.supervisor import no_service
from headway.services.unit import Unit

# Whoever asked waits for the result meanwhile.
LONGEST_WAIT: Final = 600.0


async def status(request: Request) -> Response:
    """The configured services: status with the reason, process, port, health, restarts, schedule."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), ServiceParams)
    units = visible(context, who)
    if params.name is not None:
        units = [seen(context, who, params.name)]
    return data([picture(context.supervisor, unit) for unit in units if params.group in (None, unit.service.group)])


async def start(request: Request) -> Response:
    """Starts a service, and before it what it depends on; one with a schedule runs at once. Answers when it is ready, or says why
    it is not."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "start", "a service") as audit:
        who.require(Role.OPERATOR)
        form = decode(await request.body(), ServiceIn)
        audit.what = f"service {quoted(form.name)}"
        unit = seen(context, who, form.name)
        wait = patience(form.wait)
        every = await bring_up(context, who, [unit])
        await context.supervisor.settle(every, wait)
        tell(audit, unit, wait)
    return data(picture(context.supervisor, unit))


async def stop(request: Request) -> Response:
    """Ends a service with everything below it, and leaves it stopped, also when the exporter is started again. Answers when its end
    was seen."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "stop", "a service") as audit:
        who.require(Role.OPERATOR)
        form = decode(await request.body(), ServiceIn)
        audit.what = f"service {quoted(form.name)}"
        unit = seen(context, who, form.name)
        await unit.stop(who.name)
        if unit.phase is Phase.ERROR:
            raise Conflict(f"service {unit.name}: {unit.reason}")
        audit.result(unit.phase)
    return data(picture(context.supervisor, unit))


async def restart(request: Request) -> Response:
    """Ends a service and starts it anew; answers when it is ready, or says why it is not."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "restart", "a service") as audit:
        who.require(Role.OPERATOR)
        form = decode(await request.body(), ServiceIn)
        audit.what = f"service {quoted(form.name)}"
        unit = seen(context, who, form.name)
        wait = patience(form.wait)
        await unit.restart(who.name)
        await context.supervisor.settle([unit], wait)
        tell(audit, unit, wait)
    return data(picture(context.supervisor, unit))


async def start_all(request: Request) -> Response:
    """Starts services in the order of their dependencies: all of them, those of a group, or those named. What has a schedule waits
    for its time. Answers with all of them once nothing more will come of it."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "start", "services") as audit:
        who.require(Role.OPERATOR)
        form = await optional(request, ServicesIn)
        chosen = those(context, who, form)
        audit.what = quoted(", ".join(unit.name for unit in chosen))
        every = await bring_up(context, who, chosen, now=form.names is not None)
        await context.supervisor.settle(every, patience(form.wait))
        failed = [unit.name for unit in every if unit.phase is Phase.ERROR]
        audit.result(f"{len(failed)} in error" if failed else "started", not failed)
    return data([picture(context.supervisor, unit) for unit in every if who.sees(unit.service.user)])


async def stop_all(request: Request) -> Response:
    """Ends services, each before those that it depends on: all of them, those of a group, or those named."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "stop", "services") as audit:
        who.require(Role.OPERATOR)
        form = await optional(request, ServicesIn)
        chosen = those(context, who, form)
        audit.what = quoted(", ".join(unit.name for unit in chosen))
        await context.supervisor.take_down(chosen, who.name, form.for_now)
        failed = [unit.name for unit in chosen if unit.phase is Phase.ERROR]
        audit.result(f"{len(failed)} could not be ended" if failed else "stopped", not failed)
    return data([picture(context.supervisor, unit) for unit in chosen])


async def logs(request: Request) -> Response:
    """The last `lines` lines that a service wrote, over all its starts, from its log files; with `follow=true` as plain text that
    goes on with each new one."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), LogParams)
    unit = seen(context, who, request.path_params["name"])
    path = log_file(unit.service, context.settings.data_dir)
    if params.follow:
        lines = follow(path, params.lines, unit.service.log.keep, lambda: context.registry.feed.hub.closed)
        return StreamingResponse(lines, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})
    found = await context.read(last_lines, path, params.lines, unit.service.log.keep)
    if "text/plain" in request.headers.get("accept", ""):
        return Response("".join(f"{line}\n" for line in found), media_type="text/plain; charset=utf-8")
    return data(found)


# ── shared ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def visible(context: Context, who: Caller) -> list[Unit]:
    return [unit for unit in context.supervisor.units.values() if who.sees(unit.service.user)]


def seen(context: Context, who: Caller, name: str) -> Unit:
    """Raises NotFound, also for one that the caller may not see."""
    units = {unit.name: unit for unit in visible(context, who)}
    if name not in units:
        raise no_service(name, units)
    return units[name]


def those(context: Context, who: Caller, form: ServicesIn) -> list[Unit]:
    """What a request means, in the order of starting. Raises NotFound, InvalidInput for a group that has none."""
    units = visible(context, who)
    if form.names is not None:
        wanted = {seen(context, who, name).name for name in form.names}
        units = [unit for unit in units if unit.name in wanted]
    if form.group is not None:
        units = [unit for unit in units if unit.service.group == form.group]
        if not units:
            groups = sorted({unit.service.group for unit in visible(context, who) if unit.service.group})
            there = f"there are {', '.join(groups)}" if groups else "no service has one"
            raise InvalidInput(f"group: there is no group {form.group[:60]}: {there}", field="group")
    return units


async def bring_up(context: Context, who: Caller, units: Sequence[Unit], now: bool = True) -> list[Unit]:
    """Raises Forbidden when that would start what the caller may not see."""
    for unit in context.supervisor.with_needed(units):
        if not who.sees(unit.service.user):
            raise Forbidden(
                f"{', '.join(one.name for one in units)} cannot be started with this key: what it depends on is not yours"
            )
    return await context.supervisor.bring_up(units, now)


def patience(wait: float | str) -> float:
    return min(LONGEST_WAIT, seconds(wait, "wait"))


def tell(audit: Audit, unit: Unit, wait: float) -> None:
    """Raises Conflict when it did not come up."""
    if unit.phase is Phase.ERROR:
        raise Conflict(f"service {unit.name} is in error: {unit.reason}")
    audit.result(unit.phase if unit.settled or not wait else f"still {unit.phase} after {wait:g} s")
