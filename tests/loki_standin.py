"""A stand-in for Loki: takes pushes over HTTP, checks what the real one checks before it stores them, and can be told to misbehave.

The limits and their words are those of Loki 3 (its packages validation, distributor and ingester) with its defaults, except that
the rate is counted for each second by itself.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
SECOND: Final = 1_000_000_000
Answer = tuple[int, str]


@dataclass(frozen=True)
class Stored:
    labels: dict[str, str]
    ns: int
    line: str
    metadata: dict[str, str]


@dataclass
class Loki:
    """The first fields are limits of Loki. `tenant` and `authorization`: who alone may push. `answers`: given instead, one for each
    request that comes, then as it should be. `retry_after`: a header of 429 and 503. `hang`: s before each answer, and no
    longer than it stands in."""

    max_line_size: int = 262_144
    max_label_names: int = 15
    max_metadata_entries: int = 128
    max_streams: int = 5000
    rate: int = 4 << 20  # bytes in a second
    body: int = 100 << 20
    out_of_order: float = 3600.0  # s behind the newest of a stream
    oldest: float = 7 * 86_400.0
    grace: float = 600.0
    tenant: str = ""
    authorization: str = ""
    answers: list[Answer] = field(default_factory=list)
    retry_after: str | None = None
    stored: list[Stored] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    duplicates: int = 0
    hang: float = 0.0
    url: str = ""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._newest: dict[str, int] = {}
        self._last: dict[str, tuple[int, str]] = {}
        self._second = (0, 0)

    def basic(self, user: str, password: str) -> None:
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def of(self, process_id: str, source: str = "output") -> list[Stored]:
        """Sorted as Loki answers them."""
        with self.lock:
            found = [one for one in self.stored if one.metadata.get("id") == process_id and one.labels["source"] == source]
        return sorted(found, key=lambda one: one.ns)

    def lines(self, process_id: str, source: str = "output") -> list[str]:
        return [one.line for one in self.of(process_id, source)]

    # ── a push ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def push(self, headers: dict[str, str], raw: bytes) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        if self.authorization and headers.get("Authorization") != self.authorization:
            return 401, "Unauthorized"
        if self.tenant and headers.get("X-Scope-OrgID") != self.tenant:
            return 401, "no org id"
        if headers.get("Content-Type") != "application/json":
            return 415, "Content type is not supported here"
        if headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        elif headers.get("Content-Encoding"):
            return 400, f"Content-Encoding {headers['Content-Encoding']!r} not supported"
        if len(raw) > self.body:
            return 413, f"request body too large: {len(raw)} bytes, limit: {self.body} bytes"
        try:
            streams = json.loads(raw.decode("utf-8"))["streams"]
        except (ValueError, KeyError):
            return 400, "couldn't parse push request"
        if not streams:
            return 422, "error at least one valid stream is required for ingestion"
        size = 0
        kept: list[tuple[str, Stored]] = []
        trouble = ""
        for stream in streams:
            found, entries = self.read(stream)
            trouble = found or trouble
            kept += entries
            size += sum(len(one.line.encode()) for _, one in entries)
        this_second = int(time.monotonic())
        before = self._second[1] if self._second[0] == this_second else 0
        if before + size > self.rate:
            words = f"Ingestion rate limit exceeded for user fake (limit: {self.rate} bytes/sec) while attempting to ingest"
            return 429, f"{words} '{len(kept)}' lines totaling '{size}' bytes, reduce log volume"
        self._second = (this_second, before + size)
        return self.ingest(kept, trouble)

    def read(self, stream: dict[str, Any]) -> tuple[str, list[tuple[str, Stored]]]:
        """What the distributor does: what is wrong (of several the last), and what goes on."""
        assert set(stream) == {"stream", "values"}, "a stream has labels and values"
        labels = stream["stream"]
        name = "{" + ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"
        if not labels:
            return "error at least one label pair is required per stream", []
        if len(labels) > self.max_label_names:
            return f"entry for stream '{name}' has {len(labels)} label names; limit {self.max_label_names}", []
        for key, value in labels.items():
            if not LABEL_NAME.fullmatch(key) or not isinstance(value, str):
                return f"Error parsing labels '{name}'", []
            if len(key) > 1024 or len(value) > 2048:
                return f"stream '{name}' has label value too long: '{value}'", []
        trouble, entries, now = "", [], time.time_ns()
        for value in stream["values"]:
            assert isinstance(value, list) and len(value) in (2, 3), "a value is [time, line] or [time, line, metadata]"
            at, line, metadata = value if len(value) == 3 else (*value, {})
            assert isinstance(at, str) and isinstance(line, str), "time and line are text"
            assert all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items()), "metadata are texts"
            assert not set(metadata) & set(labels), "a label and a metadatum of one name"
            ns = int(at)
            if ns < now - self.oldest * SECOND:
                trouble = f"entry for stream '{name}' has timestamp too old: {ns}"
            elif ns > now + self.grace * SECOND:
                trouble = f"entry for stream '{name}' has timestamp too new: {ns}"
            elif len(line.encode()) > self.max_line_size:
                trouble = f"Max entry size '{self.max_line_size}' bytes exceeded for stream '{name}' while adding an entry"
            elif len(metadata) > self.max_metadata_entries:
                trouble = f"stream '{name}' has too many structured metadata labels: '{len(metadata)}'"
            elif sum(len(k) + len(v) for k, v in metadata.items()) > 65_536:
                trouble = f"stream '{name}' has structured metadata too large"
            else:
                entries.append((name, Stored(labels, ns, line, metadata)))
        return trouble, entries

    def ingest(self, kept: list[tuple[str, Stored]], trouble: str) -> Answer:
        """What the ingester does: too far behind is left out, an entry that repeats the one before it is ignored."""
        behind: dict[str, int] = {}
        total: dict[str, int] = {}
        for name, one in kept:
            newest = self._newest.get(name)
            if newest is None and len(self._newest) >= self.max_streams:
                return 429, f"Maximum active stream limit exceeded when trying to create stream {name}"
            total[name] = total.get(name, 0) + 1
            if newest is not None and one.ns < newest - self.out_of_order * SECOND:
                behind[name] = behind.get(name, 0) + 1
                continue
            same = any(
                other.ns == one.ns and other.line == one.line and other.labels == one.labels for other in self.stored[-5000:]
            )
            if same:
                self.duplicates += 1
                continue
            self._newest[name] = max(newest or 0, one.ns)
            self.stored.append(one)
        if behind:
            name, count = next(iter(behind.items()))
            words = f"entry with timestamp {name} ignored, reason: 'entry too far behind',\nuser 'fake', "
            return 400, f"{words}total ignored: {count} out of {total[name]} for stream: {name}"
        return (400, trouble) if trouble else (204, "")


@contextmanager
def standing_in(**limits: Any) -> Iterator[Loki]:
    loki, over = Loki(**limits), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            over.wait(loki.hang)
            with loki.lock:
                loki.requests.append({"path": self.path, "headers": dict(self.headers), "bytes": len(raw), "at": time.monotonic()})
                try:
                    status, text = (
                        (404, "404 page not found") if self.path != "/loki/api/v1/push" else loki.push(dict(self.headers), raw)
                    )
                except AssertionError as error:
                    status, text = 400, f"malformed: {error}"
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            if status in (429, 503) and loki.retry_after is not None:
                self.send_header("Retry-After", loki.retry_after)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    loki.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield loki
    finally:
        over.set()
        server.shutdown()
        server.server_close()
