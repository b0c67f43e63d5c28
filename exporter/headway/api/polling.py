"""GET /api/integrations: how the lists of others that are asked do."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headway.api.answers import timestamp
from headway.api.context import caller, context_of, data
from headway.api.processes import single
from headway.errors import Forbidden
from headway.keys import Role
from headway.masking import mask_command
from headway.polling.poller import Poller
from headway.schemas.decoding import parse_params
from headway.schemas.queries import NoParams


async def list_integrations(request: Request) -> Response:
    """The integrations of the configuration: when each was asked last, what it listed, how many of its processes are active, and
    what is wrong."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    who.require(Role.VIEWER)
    if who.user is not None:
        raise Forbidden("integrations bring processes of everybody: a key that is bound to a user may not see how they do")
    return data([answer(one) for one in context.pollers])


def answer(one: Poller) -> dict[str, Any]:
    standing = one.standing
    return {
        "name": one.integration.name,
        "command": mask_command(str(one.integration)),
        "every_seconds": one.integration.every,
        "up": standing.up,
        "looked_at": timestamp(standing.looked_at),
        "succeeded_at": timestamp(standing.succeeded_at),
        "seconds": standing.seconds,
        "listed": standing.listed,
        "active": one.tracked(),
        "problem": None if standing.problem is None else mask_command(standing.problem),
    }
