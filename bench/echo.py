"""The least that a request can cost: an ASGI application that reads the body and answers, on the same uvicorn, uvloop, httptools.

    python -m bench.echo PORT SIZE

Started by the benchmarks of the API as their physical bound; SIZE is how many bytes it answers.
"""

from __future__ import annotations

import sys

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


def application(size: int) -> ASGIApp:
    body = b"x" * size
    headers = [(b"content-length", b"%d" % size), (b"content-type", b"application/json")]

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return echo


def main(port: int, size: int) -> None:
    uvicorn.run(
        application(size),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
