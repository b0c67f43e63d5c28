"""Liveness, readiness and the page that Prometheus reads."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headway.api import problems
from headway.api.context import Context, caller, context_of
from headway.api.processes import single
from headway.keys import Role
from headway.schemas import NoParams, parse_params
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
    refresh(context)
    headers = request.headers
    body, content_type, encoding = context.collector.page(headers.get("accept"), headers.get("accept-encoding"))
    answer = Response(body, headers={"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"})
    if encoding is not None:
        answer.headers["Content-Encoding"] = encoding
    return answer


def refresh(context: Context) -> None:
    """Tells the collector what changed since the last page: every active process (its time left moves), and new ends."""
    registry, collector = context.registry, context.collector
    now = registry.clock()
    for process_id in registry.removed_since(context.shown_version):
        collector.remove(process_id)
    changed = {entry.process.id: entry for entry in registry.newer_than(context.shown_version)}
    for entry in registry.entries.values():
        if entry.process.status.active or entry.process.id in changed:
            collector.put(registry.view(entry, now))
    context.shown_version = registry.version
    for stats in registry.names_changed():
        collector.put_name(stats)
    collector.set_status_counts(registry.status_counts)
    collector.set_project_costs(registry.project_costs)
