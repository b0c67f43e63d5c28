"""GET /api/processes/trends: how things went over time, from Prometheus, else from the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from headway.analysis.trends import LONGEST, SHORTEST, Grid, Series, Trends, from_history, grid
from headway.api.access import Caller
from headway.api.analysis import Scope, history_of, shown
from headway.api.answers import timestamp
from headway.api.context import Context, caller, context_of, data
from headway.api.processes import single
from headway.errors import InvalidInput
from headway.keys import Role
from headway.promql import Prometheus, Unavailable, series
from headway.schemas.decoding import parse_params, seconds
from headway.schemas.queries import TrendParams

DEFAULT: Final = "24h"


async def trends(request: Request) -> Response:
    """Failure rate, durations, counts, CPU and memory, time sinks and cost in steps of a `timeframe` (24h; 1h, 30d, …), of all or
    of one `name`, `type` or `project`. From Prometheus; from the store when that is away, knows nothing of this exporter, was not
    to be asked (`source=store`), or would show what the caller may not see. `source` says which, `note` why."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), TrendParams)
    who.require(Role.VIEWER)
    timeframe = seconds(params.timeframe, "timeframe")
    if not SHORTEST <= timeframe <= LONGEST:
        raise InvalidInput("timeframe: from 10m to 366d", field="timeframe")
    now = context.registry.clock()
    where = grid(timeframe, now)
    scope = Scope(since=where.since, now=now, kind=params.type, name=params.name, project=params.project)
    found = await asked(context, who, where, scope, params.source == "store")
    body = shown(found)
    return data(body | {"since": timestamp(where.since), "until": timestamp(now), "ends": [timestamp(at) for at in where.ends]})


async def asked(context: Context, who: Caller, where: Grid, scope: Scope, only_store: bool) -> Trends:
    """From where it may and can be had."""
    note: str | None
    if only_store:
        note = None
    elif who.user is not None:
        note = f"Prometheus shows everyone's processes, this key those of {who.user}"
    elif scope.project is not None:
        note = "Prometheus keeps no totals by project"
    else:
        try:
            found = await asyncio.to_thread(from_prometheus, context, where, scope)
            gaps = sum(value is None for value in found["ended"])
            note = f"{gaps} of {len(where.ends)} steps are not in Prometheus" if gaps else None
            return Trends(source="prometheus", note=note, step_seconds=where.step, ends=where.ends, series=found)
        except Unavailable as error:
            note = str(error)
    history, complete = await history_of(context, who, scope)
    kept = await asyncio.to_thread(from_history, history, where, context.settings.prices)
    answer = Trends(source="store", note=note, step_seconds=where.step, ends=where.ends, series=kept)
    if complete:
        return answer
    words = f"only the {len(history)} newest processes are counted"
    return replace(answer, note=words if note is None else f"{note}; {words}")


def from_prometheus(context: Context, where: Grid, scope: Scope) -> Series:
    """Raises Unavailable. Blocking."""
    prometheus = Prometheus(context.settings.prometheus_url)
    kind = None if scope.kind is None else scope.kind.value
    return series(prometheus, context.own.external_url, where, scope.name, kind)
