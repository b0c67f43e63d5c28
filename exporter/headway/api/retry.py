"""POST /api/processes/{id}/retry: what the exporter started is started once more."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.audit import Audit, quoted
from headway.api.context import Context, caller, context_of, data
from headway.api.processes import empty_body, single
from headway.api.services import bring_up, patience
from headway.api.track import launch
from headway.errors import Conflict
from headway.ids import check_id, new_id
from headway.keys import Role
from headway.model import Process
from headway.schemas.decoding import parse_params
from headway.schemas.queries import NoParams
from headway.services.phase import Phase
from headway.services.unit import Unit
from headway.supervisor.launches import Launch, Secret

# Until a service is up again (s): whoever asked waits meanwhile, as long as for a command.
RETRY_WAIT: Final = 20.0


async def retry_process(request: Request) -> Response:
    """Starts a command that has ended once more, as a new process of the same name with everything that was given the first time;
    `metadata.retry_of` is the id of the old one. Only what the exporter started itself: by track and without a secret in it,
    or as a configured service, which is started again."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    process_id = request.path_params["id"]
    with Audit(context, who, "retry", f"process {quoted(process_id)}") as audit:
        who.require(Role.OPERATOR)
        await empty_body(request)
        process = await context.find(process_id, who)
        if (unit := unit_of(context, who, process)) is not None:
            given_id = await started(context, who, unit)
            audit.result(f"service {quoted(unit.name)}")
            return data(context.summary(await context.find(given_id, who), context.registry.clock(), who), 201)
        if process.id in context.retried:
            raise Conflict(f"process {process.id} is just being started again by somebody else")
        context.retried.add(process.id)
        try:
            again = owned(await launch_of(context, who, process), who).again(process.id)
            given_id = new_id()
            process = await launch(context, given_id, again)
        finally:
            context.retried.discard(process_id)
        audit.result(f"process {given_id}")
    return data(context.summary(process, context.registry.clock(), who), 201)


def unit_of(context: Context, who: Caller, process: Process) -> Unit | None:
    """The configured service whose process this was. A record may claim that: only what is configured is started."""
    unit = context.supervisor.units.get(process.name)
    claimed = process.metadata.get("service") == process.name and process.status.ended
    return unit if unit is not None and claimed and who.sees(unit.service.user) else None


async def started(context: Context, who: Caller, unit: Unit) -> str:
    """The id of its new process. Raises Conflict when it runs already, or does not come up."""
    if unit.phase is Phase.RUNNING:
        raise Conflict(
            f"service {unit.name} runs already, as {unit.remembered.process_id}; headway restart {unit.name} starts it anew"
        )
    before = unit.remembered.last_process_id
    await context.supervisor.settle(await bring_up(context, who, [unit]), patience(RETRY_WAIT))
    given_id = unit.remembered.last_process_id
    if unit.phase is Phase.ERROR or given_id is None or given_id == before:
        raise Conflict(f"service {unit.name} is {unit.phase}: {unit.reason}")
    return given_id


async def launch_of(context: Context, who: Caller, process: Process) -> Launch:
    """How it was started. Raises Conflict with what to do instead."""
    known = await context.read(context.launches.find, process.id)
    if process.status.active:
        raise Conflict(f"process {process.id} is {process.status}; only one that has ended can be retried")
    if isinstance(known, Secret):
        raise Conflict(
            f"process {process.id} was started with what looks like a secret in its command, environment or metadata, and that is "
            "not kept; start it again by POST /api/processes/track, or put the secret into a file that the command reads"
        )
    if known is None:
        if (first := await repeated(context, who, process)) is not None:
            raise Conflict(f"process {process.id} is a repetition of {first} by its --retry; retry {first} instead")
        raise Conflict(
            f"process {process.id} was not started by this exporter's track, and what a record says is never run; start it again "
            "where it was started, or give its command to POST /api/processes/track"
        )
    for entry in context.registry.entries.values():
        if entry.process.status.active and entry.process.metadata.get("retry_of") == process.id:
            raise Conflict(f"process {process.id} is being run again already, as {entry.process.id}")
    return known


def owned(launch: Launch, who: Caller) -> Launch:
    """A key that is bound to a user starts things as theirs, whoever started them first."""
    flag = f"--user={who.user}"
    return launch if who.user is None or flag in launch.flags else replace(launch, flags=[*launch.flags, flag])


async def repeated(context: Context, who: Caller, process: Process) -> str | None:
    """The first execution, started here, of one that `headway run --retry` repeated. A reporter said so: good for advice only."""
    first = process.metadata.get("retry_of")
    try:
        check_id(first if isinstance(first, str) else "")
    except ValueError:
        return None
    if await context.read(context.launches.find, first) is None:
        return None
    found = await context.read(context.store.get, first)
    return first if found is not None and who.sees(found.spec.user) else None
