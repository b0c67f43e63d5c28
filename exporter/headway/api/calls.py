"""Every call of the API once: who answers it, and what the OpenAPI document says about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from headway.alerting.message import MessageIn
from headway.api import (
    analysis,
    control,
    discovered,
    health,
    polling,
    processes,
    relay,
    reports,
    retry,
    services,
    settings,
    stream,
    track,
    trends,
)
from headway.schemas.control import CleanupIn, EmptyIn, KillIn, KillScopeIn, ServiceIn, ServicesIn, TrackIn
from headway.schemas.queries import (
    AnalyzeParams,
    ListParams,
    LogParams,
    OutputParams,
    ReportParams,
    ServiceParams,
    SuggestParams,
    TrendParams,
)
from headway.schemas.reports import BatchIn, CreateIn, UpdateIn

Handler = Callable[[Request], Awaitable[Response]]
COMMON = {401: "A key is needed, or the one given is unknown", 403: "The caller may not do this", 422: "A value is refused"}
BODY = {
    400: "The body is not JSON",
    413: "Over a limit",
    415: "The body is not declared as JSON",
    503: "Not ready",
    507: "Not stored",
}
ONE = {404: "There is no such process"}
WRITE = {**COMMON, **BODY, 409: "Contradicts what is already so"}


class Call(NamedTuple):
    """`status` of the answer when all is well; `about`: the arguments of `openapi.operation`."""

    method: str
    path: str
    handler: Handler
    status: int
    tag: str
    about: dict[str, Any]


def calls() -> Iterator[Call]:
    """In the order in which their paths are tried."""
    yield from process_calls()
    yield from health_calls()


def on_processes(method: str, path: str, handler: Handler, status: int = 200, **about: Any) -> Call:
    return Call(method, path, handler, status, "processes", about)


def process_calls() -> Iterator[Call]:
    base, one = "/api/processes", "/api/processes/{id}"
    ok = {200: "Done"}
    yield on_processes("GET", base, processes.list_processes, params=ListParams, answers={**ok, **COMMON})
    yield on_processes(
        "POST", base, reports.create_process, 201, body=CreateIn, answers={200: "It existed", 201: "Created", **WRITE}
    )
    yield on_processes("POST", f"{base}/batch", reports.batch, body=BatchIn, answers={**ok, **COMMON, **BODY})
    yield on_processes("GET", f"{base}/stats", processes.stats, answers={**ok, **COMMON})
    yield on_processes("GET", "/api/discovered", discovered.list_discovered, answers={**ok, **COMMON})
    yield on_processes("GET", "/api/integrations", polling.list_integrations, answers={**ok, **COMMON})
    yield on_processes("GET", "/api/settings", settings.show_settings, answers={**ok, **COMMON})
    sent = {200: "Taken", **COMMON, **BODY, 404: "No such receiver goes through here"}
    yield on_processes("POST", "/api/alerting/relay/{receiver}", relay.relay, body=MessageIn, answers=sent, on_receiver=True)
    yield on_processes("GET", f"{base}/stream", stream.stream, answers={**ok, **COMMON}, media_types=["text/event-stream"])
    yield from service_calls()
    yield from analysis_calls()
    yield on_processes("GET", one, processes.get_process, answers={**ok, **COMMON, **ONE}, on_process=True)
    yield on_processes("PATCH", one, reports.update_process, body=UpdateIn, answers={**ok, **WRITE, **ONE}, on_process=True)
    ends = {**ok, **WRITE, **ONE}
    optional: dict[str, Any] = {"body": EmptyIn, "body_required": False, "on_process": True}
    yield on_processes("DELETE", one, processes.dismiss_process, answers=ends, **optional)
    yield on_processes("POST", f"{one}/cancel", processes.cancel_process, 202, answers={202: "Asked", **WRITE, **ONE}, **optional)
    killing: dict[str, Any] = {"body": KillIn, "body_required": False, "on_process": True}
    yield on_processes("POST", f"{base}/track", track.track_process, 201, body=TrackIn, answers={201: "Started", **WRITE})
    yield on_processes("POST", f"{base}/kill", control.kill_scope, body=KillScopeIn, answers=ends)
    yield on_processes("POST", f"{base}/cleanup", control.cleanup, body=CleanupIn, body_required=False, answers={**ok, **WRITE})
    yield on_processes("POST", f"{one}/kill", control.kill_process, answers=ends, **killing)
    yield on_processes("POST", f"{one}/pause", control.pause_process, answers=ends, **optional)
    yield on_processes("POST", f"{one}/resume", control.resume_process, answers=ends, **optional)
    yield on_processes("POST", f"{one}/retry", retry.retry_process, 201, answers={201: "Started", **WRITE, **ONE}, **optional)
    yield on_processes("GET", f"{one}/tree", control.tree, answers={**ok, **COMMON, **ONE}, on_process=True)
    yield on_processes(
        "GET",
        f"{one}/output",
        stream.output,
        params=OutputParams,
        answers={**ok, **COMMON, **ONE},
        media_types=["application/json", "text/plain", "text/event-stream"],
        on_process=True,
    )


def analysis_calls() -> Iterator[Call]:
    base, answers = "/api/processes", {200: "Done", **COMMON, 503: "The history cannot be read"}
    yield on_processes("GET", f"{base}/analyze", analysis.analyze_processes, params=AnalyzeParams, answers=answers)
    yield on_processes("GET", f"{base}/suggest", analysis.suggest, params=SuggestParams, answers={**answers, **ONE})
    yield on_processes("GET", f"{base}/trends", trends.trends, params=TrendParams, answers=answers)
    both = ["text/plain", "application/json"]
    yield on_processes("GET", f"{base}/report", analysis.report, params=ReportParams, answers=answers, media_types=both)


def service_calls() -> Iterator[Call]:
    base, asked = "/api/processes", {200: "Done", **WRITE}
    yield on_processes("GET", f"{base}/status", services.status, params=ServiceParams, answers={200: "Done", **COMMON, **ONE})
    for word, handler in (("start", services.start), ("stop", services.stop), ("restart", services.restart)):
        yield on_processes("POST", f"{base}/{word}", handler, body=ServiceIn, answers={**asked, **ONE})
    for word, handler in (("start-all", services.start_all), ("stop-all", services.stop_all)):
        yield on_processes("POST", f"{base}/{word}", handler, body=ServicesIn, body_required=False, answers={**asked, **ONE})
    yield on_processes(
        "GET",
        f"{base}/{{name}}/logs",
        services.logs,
        params=LogParams,
        answers={200: "Done", **COMMON, **ONE},
        media_types=["application/json", "text/plain"],
        on_service=True,
    )


def health_calls() -> Iterator[Call]:
    for path, handler in (("/health", health.health), ("/ready", health.ready), ("/metrics", health.metrics)):
        answers = {200: "Yes", 401: COMMON[401]} | ({503: "No, and why"} if path == "/ready" else {})
        media_types = ["text/plain" if path == "/metrics" else "application/json"]
        yield Call("GET", path, handler, 200, "health", {"answers": answers, "media_types": media_types})
