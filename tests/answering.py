"""A server that answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answering:
    """`status` of every answer, its `body` (None: that of an update), and `delay` before it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.status = 200
        self.body: bytes | None = None
        self.delay = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.command, self.path, body))
                threading.Event().wait(outer.delay)
                default = {"data": {"id": "x", "progress": {"current": 1}}} if outer.status == 200 else {"title": "Busy"}
                self.send_response(outer.status)
                self.end_headers()
                try:
                    self.wfile.write(json.dumps(default).encode() if outer.body is None else outer.body)
                except OSError:
                    pass  # whoever asked has given up

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Answering:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def answering() -> Answering:
    return Answering()
