"""A small real HTTP server that answers like the exporter's batch call, records what it gets, and can be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from waiting import wait_until


class RecordingServer:
    """`status`: answer every request with it (200: properly). `delay`: seconds before each answer, or until :meth:`release`.
    `body`: what a misbehaving answer holds. `refuse`: field → status and problem for items that carry it. `cancel`: ids that
    someone wants to end."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.items: list[dict[str, Any]] = []
        self.known: dict[str, int] = {}
        self.status = 200
        self.body: bytes = b"{}"
        self.delay = 0.0
        self.retry_after: str | None = None
        self.forget_body = False
        self.refuse: dict[str, tuple[int, str]] = {}
        self.item_status: dict[str, int] = {}
        self.cancel: set[str] = set()
        self.drop_answers = 0
        self._released = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.handle(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Nothing listens any more; connections that are open are answered 503 and closed."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def release(self) -> None:
        """From now on everybody is answered at once, those who wait too."""
        self._released.set()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        raw = request.rfile.read(int(request.headers["Content-Length"]))
        if self._server is None:
            request.close_connection = True
            return
        with self.lock:
            self.requests.append({"path": request.path, "headers": dict(request.headers), "at": time.time(), "bytes": len(raw)})
        self._released.wait(self.delay)
        status, answer = self.status, self.body
        if status == 200:
            with self.lock:
                results = [self.result(item) for item in json.loads(raw)["items"]]
                if self.drop_answers:
                    self.drop_answers -= 1
                    request.close_connection = True
                    return
            if not self.forget_body:
                answer = json.dumps({"data": results}).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(answer)))
        if self.retry_after:
            request.send_header("Retry-After", self.retry_after)
        request.end_headers()
        with contextlib.suppress(OSError):  # whoever asked may have given up
            request.wfile.write(answer)

    def result(self, item: dict[str, Any]) -> dict[str, Any]:
        for field, (status, path) in self.refuse.items():
            if field in item or field in item.get("create", {}):
                problem = {"title": "Invalid input", "detail": f"{field} is not wanted"} | ({"field": path} if path else {})
                return {"id": item["id"], "status": status, "error": problem}
        refused = self.item_status.get(item["id"])
        if refused is not None:
            return {"id": item["id"], "status": refused, "error": {"title": "Could not be stored", "detail": "the disk is full"}}
        if "create" in item:
            self.known.setdefault(item["id"], 0)
        if item["id"] not in self.known:
            return {"id": item["id"], "status": 404, "error": {"title": "Not found", "detail": "there is no such process"}}
        answer = {"id": item["id"], "status": 200, "cancel_requested": item["id"] in self.cancel}
        if "seq" in item:
            if item["seq"] <= self.known[item["id"]]:
                return answer | {"duplicate": True}
            self.known[item["id"]] = item["seq"]
        self.items.append(item)
        return answer

    # ── what tests ask ─────────────────────────────────────────────────────────────────────────────────────────────

    def of(self, process_id: str) -> list[dict[str, Any]]:
        """The accepted items of one process, in order."""
        with self.lock:
            return [item for item in self.items if item["id"] == process_id]

    def creation(self, process_id: str) -> dict[str, Any]:
        """Waits for its creation."""
        found: dict[str, Any] = wait_until(
            lambda: next((item["create"] for item in self.of(process_id) if "create" in item), {}), what="the creation"
        )
        return found

    def final(self, process_id: str, timeout: float = 30.0) -> dict[str, Any]:
        """Waits for its last word."""
        ends = ("done", "failed", "cancelled")
        found: dict[str, Any] = wait_until(
            lambda: next((item for item in self.of(process_id) if item.get("status") in ends), {}), timeout, "the last word"
        )
        return found

    def state(self, process_id: str) -> dict[str, Any]:
        """All fields as the exporter would have them after all items; `log` and `statuses` as lists."""
        state: dict[str, Any] = {"progress": {}, "log": [], "statuses": []}
        created = False
        for item in self.of(process_id):
            create = {} if created else item.get("create", {})  # what is there already is not created again
            created = created or "create" in item
            state["progress"] |= create.get("progress", {}) | item.get("progress", {})
            state["log"] += item.get("log", [])
            if "status" in item:
                state["statuses"].append(item["status"])
            for field in ("stage", "summary", "error", "exit_code", "metadata", "rate", "eta_seconds", "timeout"):
                if field in create or field in item:
                    state[field] = item.get(field, create.get(field))
        return state

    def by_name(self, name: str) -> str:
        """Waits for the creation of a process of this name; its id."""
        found: str = wait_until(
            lambda: next((i["id"] for i in list(self.items) if i.get("create", {}).get("name") == name), ""), what=name
        )
        return found


@contextmanager
def recording_server() -> Iterator[RecordingServer]:
    server = RecordingServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
