"""What reporters call all day: creations, updates and batches of them, answered before the framework sees them.

The guard stands in front of this as of everything, and the functions that answer are the ones behind the routes of the same calls,
which document them and answer whatever is written unusually (with a query). What this leaves out is routing, request and response
objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from headway.api import reports
from headway.api.access import caller_of
from headway.api.context import Context
from headway.api.problems import broken_off, error_response, internal
from headway.api.reports import Body
from headway.errors import HeadwayError

BASE: Final = "/api/processes"
ONE: Final = BASE + "/{id}"
BATCH: Final = BASE + "/batch"
_PREFIX: Final = BASE + "/"
DURABLE: Final = reports.DURABLE.encode()


@dataclass(frozen=True, slots=True)
class Route:
    """Where the request was counted: as that of the framework."""

    path: str


_ROUTES: Final = {path: Route(path) for path in (BASE, ONE, BATCH)}


class Direct:
    """ASGI middleware between the guard and the framework."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = route_of(scope)
        if path is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = _ROUTES[path]
        try:
            status, answer = await self.answer(path, scope, _body(receive))
        except HeadwayError as error:
            await error_response(error)(scope, receive, send)
        except ClientDisconnect:
            await broken_off()(scope, receive, send)
        except Exception:
            await internal()(scope, receive, send)
            raise  # the server logs it
        else:
            headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": answer})

    async def answer(self, path: str, scope: Scope, body: Body) -> tuple[int, bytes]:
        who = caller_of(scope)
        if path is ONE:
            return 200, await reports.update(self.context, who, scope["path"][len(_PREFIX) :], body)
        if path is BATCH:
            durable = any(name == DURABLE for name, _ in scope["headers"])
            return 200, await reports.update_many(self.context, who, body, durable)
        return await reports.create_one(self.context, who, body)


def route_of(scope: Scope) -> str | None:
    """The pattern of the call; None for all that the framework shall answer."""
    if scope["type"] != "http" or scope["query_string"]:
        return None
    path: str = scope["path"]
    if scope["method"] == "PATCH":
        return ONE if path.startswith(_PREFIX) and len(path) > len(_PREFIX) and "/" not in path[len(_PREFIX) :] else None
    if scope["method"] == "POST":
        return BASE if path == BASE else BATCH if path == BATCH else None
    return None


def _body(receive: Receive) -> Body:
    async def read() -> bytes:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            whole: bytes = message.get("body", b"")
            return whole
        parts = []
        while message["type"] == "http.request":
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()
        raise ClientDisconnect

    return read
