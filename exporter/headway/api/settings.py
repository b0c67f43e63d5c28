"""GET /api/settings: what this exporter was started with."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headway.api.context import caller, context_of, data
from headway.api.processes import single
from headway.errors import Forbidden
from headway.keys import Role
from headway.schemas.decoding import parse_params
from headway.schemas.queries import NoParams


async def show_settings(request: Request) -> Response:
    """The configuration in force: of each setting, and of each entry of a section, the value and where it came from (default, file
    with line, environment, flag). Secrets in it are masked."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    who.require(Role.OPERATOR)
    if who.user is not None:
        raise Forbidden("the configuration is of everybody: a key that is bound to a user may not see it")
    return data({row.name: {"value": row.value, "source": row.source} for row in context.effective})
