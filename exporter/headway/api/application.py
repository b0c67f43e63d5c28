"""The ASGI application: the calls of the API, the pages, and what stands around both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.api import pages, problems, signin, stream
from headway.api.access import Guard
from headway.api.at_once import AtOnce
from headway.api.caller import Caller
from headway.api.calls import Handler, calls
from headway.api.context import Context
from headway.api.direct import Direct
from headway.api.document import PATHS, Document
from headway.api.web import active, attention, history, process
from headway.api.web import services as service_page
from headway.errors import HeadwayError, NotFound
from headway.webconfig.webfile import WebFile

log = logging.getLogger(__name__)


def answering(path: str, handler: Handler, method: str = "GET", head: bool = False) -> Route:
    """`head`: probes and link checkers may ask with HEAD; the server leaves the body out."""
    route = Route(path, handler, methods=[method])
    if not head and route.methods is not None:
        route.methods.discard("HEAD")  # which a route for GET has by itself
    return route


def application(context: Context, lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]]) -> ASGIApp:
    """The whole application, guarded and measured."""
    app = Starlette(
        lifespan=lifespan,
        routes=[
            *(answering(call.path, call.handler, call.method, head=call.tag == "health") for call in calls()),
            *page_routes(),
        ],
    )
    document = Document(context, add_error_handlers)
    app.router.routes += [Route(path, document) for path in PATHS]
    app.state.context = context
    app.router.redirect_slashes = False
    add_error_handlers(app)
    guard = Guard(Direct(app, context), context.settings, context.identity)
    guarded = Measured(guard, context, AtOnce(guard, context))
    return guarded if context.identity.web is None else Headed(guarded, context.identity.web)


def page_routes() -> list[Route | Mount]:
    shown = (
        ("/", active.active),
        ("/processes", active.active),
        ("/processes/{id}", process.process),
        ("/history", history.history),
        ("/services", service_page.services),
        ("/attention", attention.attention),
    )
    return [
        *(answering(path, handler, head=True) for path, handler in shown),
        answering("/login", signin.show),
        answering("/login", signin.sign_in, "POST"),
        answering("/logout", signin.sign_out, "POST"),
        answering("/live", stream.live),
        Mount("/static", pages.Assets(directory=pages.FOLDER / "static"), name="static"),
    ]


def add_error_handlers(app: Starlette) -> None:
    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, HeadwayError)
        if wants_page(request):
            return problem_page(request, error)
        return problems.error_response(error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and wants_page(request):
            return problem_page(request, NotFound("There is no page at this address. The links above lead to those there are."))
        return problems.http_response(error.status_code, error.detail, error.headers)

    async def gone(request: Request, error: Exception) -> Response:
        return problems.broken_off()

    async def unknown(request: Request, error: Exception) -> Response:
        return problems.internal()

    app.add_exception_handler(HeadwayError, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unknown)


def problem_page(request: Request, error: HeadwayError) -> Response:
    """With the head of the page as it is for whoever asks, who may not be known yet."""
    who: Caller | None = request.scope.get("state", {}).get("caller")
    return pages.problem_page(error, request.app.state.context, who)


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
    """Outermost: counts and times every request under the pattern of its route. `at_once` answers some before they get here."""

    def __init__(self, app: ASGIApp, context: Context, at_once: AtOnce) -> None:
        self.app = app
        self.at_once = at_once
        self.context = context

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
