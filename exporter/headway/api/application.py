"""The ASGI application: every route once, with what the OpenAPI document says about it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.alerting.message import MessageIn
from headway.api import (
    analysis,
    control,
    discovered,
    health,
    openapi,
    pages,
    polling,
    problems,
    processes,
    relay,
    retry,
    services,
    settings,
    signin,
    stream,
    track,
    trends,
)
from headway.api.access import Guard
from headway.api.context import Context
from headway.api.direct import Direct
from headway.api.web import active, attention, history, process
from headway.api.web import services as service_page
from headway.errors import HeadwayError
from headway.schemas import (
    AnalyzeParams,
    BatchIn,
    CleanupIn,
    CreateIn,
    EmptyIn,
    KillIn,
    KillScopeIn,
    ListParams,
    LogParams,
    OutputParams,
    ReportParams,
    ServiceIn,
    ServiceParams,
    ServicesIn,
    SuggestParams,
    TrackIn,
    TrendParams,
    UpdateIn,
)
from headway.version import VERSION
from headway.webconfig.webfile import WebFile

log = logging.getLogger(__name__)

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


def application(context: Context, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> ASGIApp:
    """The whole application, guarded and measured."""
    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        title="Headway",
        version=VERSION,
        summary="What runs in the background of a machine: progress, time left, resources, verdicts.",
        openapi_url="/openapi.json",
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.context = context
    app.router.redirect_slashes = False
    add_process_routes(app)
    add_health_routes(app)
    add_pages(app)
    add_error_handlers(app)
    build = app.openapi

    def document() -> dict[str, Any]:
        found = build()
        found.setdefault("components", {}).setdefault("schemas", {}).update(openapi.components())
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{}, {"key": []}]
        return found

    app.openapi = document  # type: ignore[method-assign]
    guarded = Measured(Guard(Direct(app, context), context.settings, context.identity), context, app)
    return guarded if context.identity.web is None else Headed(guarded, context.identity.web)


def add_process_routes(app: FastAPI) -> None:
    def route(method: str, path: str, handler: Handler, status: int = 200, **about: Any) -> None:
        app.add_api_route(
            path,
            handler,
            methods=[method],
            response_class=Response,
            status_code=status,
            summary=(handler.__doc__ or "").split(".")[0],
            description=handler.__doc__,
            tags=["processes"],
            openapi_extra=openapi.operation(**about),
        )

    base, one = "/api/processes", "/api/processes/{id}"
    ok = {200: "Done"}
    route("GET", base, processes.list_processes, params=ListParams, answers={**ok, **COMMON})
    route("POST", base, processes.create_process, 201, body=CreateIn, answers={200: "It existed", 201: "Created", **WRITE})
    route("POST", f"{base}/batch", processes.batch, body=BatchIn, answers={**ok, **COMMON, **BODY})
    route("GET", f"{base}/stats", processes.stats, answers={**ok, **COMMON})
    route("GET", "/api/discovered", discovered.list_discovered, answers={**ok, **COMMON})
    route("GET", "/api/integrations", polling.list_integrations, answers={**ok, **COMMON})
    route("GET", "/api/settings", settings.show_settings, answers={**ok, **COMMON})
    sent = {200: "Taken", **COMMON, **BODY, 404: "No such receiver goes through here"}
    route("POST", "/api/alerting/relay/{receiver}", relay.relay, body=MessageIn, answers=sent, on_receiver=True)
    route("GET", f"{base}/stream", stream.stream, answers={**ok, **COMMON}, media_types=["text/event-stream"])
    add_service_routes(route)
    add_analysis_routes(route)
    route("GET", one, processes.get_process, answers={**ok, **COMMON, **ONE}, on_process=True)
    route("PATCH", one, processes.update_process, body=UpdateIn, answers={**ok, **WRITE, **ONE}, on_process=True)
    ends = {**ok, **WRITE, **ONE}
    optional: dict[str, Any] = {"body": EmptyIn, "body_required": False, "on_process": True}
    route("DELETE", one, processes.dismiss_process, answers=ends, **optional)
    route("POST", f"{one}/cancel", processes.cancel_process, 202, answers={202: "Asked", **WRITE, **ONE}, **optional)
    killing: dict[str, Any] = {"body": KillIn, "body_required": False, "on_process": True}
    route("POST", f"{base}/track", track.track_process, 201, body=TrackIn, answers={201: "Started", **WRITE})
    route("POST", f"{base}/kill", control.kill_scope, body=KillScopeIn, answers=ends)
    route("POST", f"{base}/cleanup", control.cleanup, body=CleanupIn, body_required=False, answers={**ok, **WRITE})
    route("POST", f"{one}/kill", control.kill_process, answers=ends, **killing)
    route("POST", f"{one}/pause", control.pause_process, answers=ends, **optional)
    route("POST", f"{one}/resume", control.resume_process, answers=ends, **optional)
    route("POST", f"{one}/retry", retry.retry_process, 201, answers={201: "Started", **WRITE, **ONE}, **optional)
    route("GET", f"{one}/tree", control.tree, answers={**ok, **COMMON, **ONE}, on_process=True)
    route(
        "GET",
        f"{one}/output",
        stream.output,
        params=OutputParams,
        answers={**ok, **COMMON, **ONE},
        media_types=["application/json", "text/plain", "text/event-stream"],
        on_process=True,
    )


def add_analysis_routes(route: Callable[..., None]) -> None:
    base, answers = "/api/processes", {200: "Done", **COMMON, 503: "The history cannot be read"}
    route("GET", f"{base}/analyze", analysis.analyze_processes, params=AnalyzeParams, answers=answers)
    route("GET", f"{base}/suggest", analysis.suggest, params=SuggestParams, answers={**answers, **ONE})
    route("GET", f"{base}/trends", trends.trends, params=TrendParams, answers=answers)
    both = ["text/plain", "application/json"]
    route("GET", f"{base}/report", analysis.report, params=ReportParams, answers=answers, media_types=both)


def add_service_routes(route: Callable[..., None]) -> None:
    base, asked = "/api/processes", {200: "Done", **WRITE}
    route("GET", f"{base}/status", services.status, params=ServiceParams, answers={200: "Done", **COMMON, **ONE})
    for word, handler in (("start", services.start), ("stop", services.stop), ("restart", services.restart)):
        route("POST", f"{base}/{word}", handler, body=ServiceIn, answers={**asked, **ONE})
    for word, handler in (("start-all", services.start_all), ("stop-all", services.stop_all)):
        route("POST", f"{base}/{word}", handler, body=ServicesIn, body_required=False, answers={**asked, **ONE})
    route(
        "GET",
        f"{base}/{{name}}/logs",
        services.logs,
        params=LogParams,
        answers={200: "Done", **COMMON, **ONE},
        media_types=["application/json", "text/plain"],
        on_service=True,
    )


def add_health_routes(app: FastAPI) -> None:
    for path, handler in (("/health", health.health), ("/ready", health.ready), ("/metrics", health.metrics)):
        answers = {200: "Yes", 401: COMMON[401]} | ({503: "No, and why"} if path == "/ready" else {})
        media_types = ["text/plain" if path == "/metrics" else "application/json"]
        app.add_api_route(
            path,
            handler,
            methods=["GET"],
            response_class=Response,
            summary=(handler.__doc__ or "").split(":")[0],
            description=handler.__doc__,
            tags=["health"],
            openapi_extra=openapi.operation(answers=answers, media_types=media_types),
        )
        add_head(app, path, handler)


def add_head(app: FastAPI, path: str, handler: Handler) -> None:
    """Probes and link checkers ask with HEAD; the server leaves the body out."""
    app.add_api_route(path, handler, methods=["HEAD"], response_class=Response, include_in_schema=False)


def add_pages(app: FastAPI) -> None:
    for path, handler in (
        ("/", active.active),
        ("/processes", active.active),
        ("/processes/{id}", process.process),
        ("/history", history.history),
        ("/services", service_page.services),
        ("/attention", attention.attention),
    ):
        app.add_api_route(path, handler, methods=["GET"], response_class=Response, include_in_schema=False)
        add_head(app, path, handler)
    for path, method, handler in (
        ("/login", "GET", signin.show),
        ("/login", "POST", signin.sign_in),
        ("/logout", "POST", signin.sign_out),
    ):
        app.add_api_route(path, handler, methods=[method], response_class=Response, include_in_schema=False)
    app.add_api_route("/live", stream.live, methods=["GET"], response_class=Response, include_in_schema=False)
    app.mount("/static", pages.Assets(directory=pages.FOLDER / "static"), name="static")


def add_error_handlers(app: FastAPI) -> None:
    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, HeadwayError)
        if wants_page(request):
            return pages.problem_page(error, request.app.state.context)
        return problems.error_response(error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problems.http_response(error.status_code, error.detail, error.headers)

    async def gone(request: Request, error: Exception) -> Response:
        return problems.broken_off()

    async def unknown(request: Request, error: Exception) -> Response:
        return problems.internal()

    app.add_exception_handler(HeadwayError, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unknown)


def wants_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


class Headed:
    """Adds the headers of the web configuration to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp, web: WebFile) -> None:
        self.app = app
        self.web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.web.current().headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, headed)


class Measured:
    """Outermost: counts and times every request under the pattern of its route."""

    def __init__(self, app: ASGIApp, context: Context, routes: FastAPI) -> None:
        self.app = app
        self.context = context
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, code = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.context.own.observe_request(scope["method"], route, code, time.perf_counter() - started)
