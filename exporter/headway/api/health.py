"""Liveness, readiness and the page that Prometheus reads."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headway.api import problems
from headway.api.context import caller, context_of
from headway.api.processes import single
from headway.keys import Role
from headway.schemas.decoding import parse_params
from headway.schemas.queries import NoParams
from headway.version import VERSION


async def health(request: Request) -> Response:
    """Whether the exporter lives: it answers."""
    return JSONResponse({"status": "ok", "version": VERSION})


async def ready(request: Request) -> Response:
    """Whether it can do its work: what was reported can be stored, keys and web configuration be read. 503 says what is wrong."""
    context = context_of(request)
    trouble = await asyncio.to_thread(context.store.check) or context.keys.problem or context.identity.problem
    if trouble is not None:
        return problems.response(problems.problem(503, "Not ready", trouble), {"Retry-After": "5"})
    return JSONResponse({"status": "ready", "version": VERSION})


async def metrics(request: Request) -> Response:
    """All metrics, as text or OpenMetrics, gzip where accepted."""
    context = context_of(request)
    parse_params(single(request), NoParams)
    caller(request).require(Role.VIEWER)
    headers = request.headers
    body, content_type, encoding = await context.scrape.page(headers.get("accept"), headers.get("accept-encoding"))
    answer = Response(body, headers={"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"})
    if encoding is not None:
        answer.headers["Content-Encoding"] = encoding
    return answer
