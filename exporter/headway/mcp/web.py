"""The server over streamable HTTP. Everyone comes with a key of the exporter, which decides what it opens; there is none beside
it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

import anyio.to_thread
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from headway.mcp.calls import CALLER_KEY, advice
from headway.mcp.server import Server
from headway.reporter.client import ApiError, Client, Unreachable

PATH: Final = "/mcp"
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
# A key that opened the exporter need not be tried again with each message: each call brings it along anyway.
KNOWN_FOR: Final = 30.0
MOST_KNOWN: Final = 1000


class Guard:
    """ASGI middleware: lets only keys pass that the exporter knows, and says which came for what follows."""

    def __init__(self, app: ASGIApp, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self.url = url
        self.clock = clock
        self.known: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        key = key.strip()
        status, reason = 401, "send a key of the exporter as «Authorization: Bearer KEY» (headway key create --role operator)"
        if scheme.lower() == "bearer" and key:
            status, reason = await self.judged(key)
        if status != 200:
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            await JSONResponse({"error": reason}, status, headers)(scope, receive, send)
            return
        token = CALLER_KEY.set(key)
        try:
            await self.app(scope, receive, send)
        finally:
            CALLER_KEY.reset(token)

    async def judged(self, key: str) -> tuple[int, str]:
        """200, or the status with which the key is refused and why."""
        if self.clock() < self.known.get(key, 0.0):
            return 200, ""
        found = await anyio.to_thread.run_sync(self._tried, key)
        if found[0] == 200:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            self.known[key] = self.clock() + KNOWN_FOR
        return found

    def _tried(self, key: str) -> tuple[int, str]:
        try:
            with Client(self.url, key) as client:
                client.list(limit=1)
        except (ApiError, Unreachable) as error:
            return (error.status if isinstance(error, ApiError) and error.status in (401, 403) else 503), advice(error)
        return 200, ""


def serve(server: Server, host: str, port: int, hosts: Sequence[str], ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C. `hosts`: further names by which it may be called. Raises OSError when it cannot listen
    there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shown = f"[{host}]" if ":" in host else host
    names = [*LOOPBACK, *hosts] + ([shown] if host not in ("0.0.0.0", "::") else [])
    security = TransportSecuritySettings(
        allowed_hosts=[name for one in names for name in (one, f"{one}:*")],
        allowed_origins=[f"http://{one}:*" for one in LOOPBACK],
    )
    # Each message stands for itself: the key that comes with it is the one it is answered for, and a restart breaks nothing.
    app = server.streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, transport_security=security
    )
    listener = socket.create_server((host, port), family=family)
    ready(f"http://{shown}:{listener.getsockname()[1]}{PATH}")
    config = uvicorn.Config(Guard(app, server.exporter.url), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
