"""The OpenAPI document and the page that shows it. FastAPI makes both, from the same table of calls that is served; it is loaded
when somebody first asks for them, because it takes as long to load as all the rest of the exporter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headway.api import openapi
from headway.api.calls import calls
from headway.api.context import Context
from headway.version import VERSION

if TYPE_CHECKING:
    from fastapi import FastAPI

PATHS: Final = ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/static-offline-docs/{path:path}")


class Document:
    """ASGI. `prepare` adds to an application what all of them share."""

    def __init__(self, context: Context, prepare: Callable[[Starlette], None]) -> None:
        self.context = context
        self.prepare = prepare
        self._app: ASGIApp | None = None
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
        await self._app(scope, receive, send)

    def _make(self) -> ASGIApp:
        app = documented()
        app.state.context = self.context
        self.prepare(app)
        return app


def documented() -> FastAPI:
    """An application with all calls, of which only the document and its page are ever asked for."""
    from fastapi_offline import FastAPIOffline

    app = FastAPIOffline(
        redoc_url=None,
        title="Headway",
        version=VERSION,
        summary="What runs in the background of a machine: progress, time left, resources, verdicts.",
        openapi_url="/openapi.json",
        separate_input_output_schemas=False,
    )
    app.router.redirect_slashes = False
    for call in calls():
        said = call.handler.__doc__ or ""
        app.add_api_route(
            call.path,
            call.handler,
            methods=[call.method],
            response_class=Response,
            status_code=call.status,
            summary=said.split(":" if call.tag == "health" else ".")[0],
            description=said,
            tags=[call.tag],
            openapi_extra=openapi.operation(**call.about),
        )
    build = app.openapi

    def document() -> dict[str, Any]:
        found = build()
        found.setdefault("components", {}).setdefault("schemas", {}).update(openapi.components())
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{}, {"key": []}]
        return found

    app.openapi = document  # type: ignore[method-assign]
    return app
