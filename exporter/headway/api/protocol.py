"""HTTP as uvicorn speaks it, with three differences: some requests are answered without a task; those of them whose head was read
before, without the parser; and an answer is one write.

uvicorn makes a task, a scope and two messages for each request, which cost more than most updates do. Its parser calls back for
each header, while a connection that is kept alive sends the same ones again and again. And head and body are handed over one by
one, each a system call and a packet of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

# Status, headers (None: those of JSON) and body of an answer.
Reply = Callable[[int, Sequence[tuple[bytes, bytes]] | None, bytes], None]
# Method, target, scope and body of a request, and what takes the answer, now or later. False: it has to go the usual way, and
# nothing of it has happened yet.
AtOnce = Callable[[bytes, bytes, Scope, bytes, Reply], bool]

# What an application may answer at once; a larger body goes the usual way while it still comes in.
METHODS: Final = (b"PATCH", b"POST")
LARGEST: Final = 2**18
# Heads that a connection remembers, as a rule the same but for the length of the body; and how many bytes one may have.
HEADS: Final = 16
HEAD_BYTES: Final = 2048
_LINE_END: Final = b"\r\n"
_END: Final = _LINE_END + _LINE_END
_JSON: Final = b"content-type: application/json\r\ncontent-length: "
# A request line that means what it says, letter by letter.
_PLAIN: Final = re.compile(rb"(PATCH|POST) (/[A-Za-z0-9_/-]*) HTTP/1\.1")


class Corked:
    """A transport that gathers what is written in one turn of the event loop. Everything else goes straight through."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def write_now(self, data: bytes) -> None:
        """Without waiting for the end of the turn; what was written before goes first."""
        if self._parts:
            self._parts.append(data)
            self._flush()
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Awaited:
    """Stands where uvicorn keeps the request that it is answering, for one that is answered later: what else comes on this
    connection waits for it, and whoever ends the connection is heard."""

    response_complete = False
    disconnected = False
    keep_alive = True

    @property
    def message_event(self) -> Awaited:
        return self

    def set(self) -> None:
        """Nobody waits for messages."""


class Protocol(HttpToolsProtocol):
    """Requests that the application's `at_once` answers never become one for uvicorn; all others are handed to it unchanged."""

    corked: Corked

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._at_once: AtOnce | None = getattr(self.app, "at_once", None)
        # Whether the parser has seen nothing of a next message; and what came in one piece from there on.
        self._between, self._piece = True, b""
        # All between request line and body, as it came: the length of the body and the scope that the parser made of it.
        self._heads: dict[bytes, tuple[int, Scope]] = {}
        # The body so far of a request that may be answered at once; None while uvicorn has the request.
        self._held: list[bytes] | None = None
        self._held_bytes = 0
        self._replied = False
        self._awaited: Awaited | None = None
        # The server's own headers of an answer, and the list they were made of: uvicorn makes a new one each second.
        self._own, self._own_of = b"", cast(list[tuple[bytes, bytes]] | None, None)
        self._well = b""  # what most answers begin with, up to the length of the body
        self._answered_at = 0.0
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.corked = Corked(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self.corked))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        piece = data if self._between else b""
        if piece and self._heads and self._recognised(data):
            return
        self._piece = piece
        super().data_received(data)
        self._piece = b""

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._may_be_held():
            self._held, self._held_bytes = [], 0
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
            return
        self._held.append(body)
        self._held_bytes += len(body)
        if self._held_bytes > LARGEST:
            self._hand_over()

    def on_message_complete(self) -> None:
        if self._held is not None:
            body = b"".join(self._held)
            if self._answered(self.parser.get_method(), self.url, cast(Scope, self.scope), body):
                self._remember(len(body))
            else:
                self._hand_over()
        if self._held is None:
            super().on_message_complete()
        self._held, self._between = None, True

    def _free(self) -> bool:
        """Answers leave in the order of the requests, so nothing else may be under way on this connection."""
        return self._at_once is not None and (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _may_be_held(self) -> bool:
        """Nobody may wait for more than an answer."""
        return (
            self._free()
            and self.parser.get_method() in METHODS
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and self.parser.should_keep_alive()
        )

    def _remember(self, length: int) -> None:
        """The head of the request that was just answered, if the request and nothing else came in one piece."""
        piece = self._piece
        head, _, body = piece.partition(_END)
        line, _, rest = head.partition(_LINE_END)
        # Chunks are longer than what they carry.
        if len(body) != length or len(rest) > HEAD_BYTES or _PLAIN.fullmatch(line) is None:
            return
        if len(self._heads) >= HEADS:
            self._heads.clear()
        self._heads[rest] = length, cast(Scope, self.scope)

    def _recognised(self, data: bytes) -> bool:
        """Whether these bytes were one request, whole, with a head that the parser has read before, and it is answered, or will be.
        Else nothing has happened."""
        head, end, body = data.partition(_END)
        line, _, rest = head.partition(_LINE_END)
        known = self._heads.get(rest)
        if known is None or not end or len(body) != known[0] or not self._free():
            return False
        plain = _PLAIN.fullmatch(line)
        if plain is None or not self._answered(plain[1], plain[2], known[1], body):
            return False
        self._unset_keepalive_if_required()
        return True

    def _answered(self, method: bytes, target: bytes, scope: Scope, body: bytes) -> bool:
        """Whether it is, or will be."""
        assert self._at_once is not None
        self._replied = False
        if not self._at_once(method, target, scope, body, self._reply):
            return False
        if not self._replied:
            self._awaited = Awaited()
            self.cycle = cast(RequestResponseCycle, self._awaited)
        return True

    def _reply(self, status: int, headers: Sequence[tuple[bytes, bytes]] | None, body: bytes) -> None:
        self._replied = True
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.response_complete = True
            if awaited.disconnected:
                return
        own = self.server_state.default_headers
        if own is not self._own_of:
            self._own, self._own_of = b"".join(b"%b: %b\r\n" % header for header in own), own
            self._well = STATUS_LINE[200] + self._own + _JSON
        if headers is None:
            start = self._well if status == 200 else STATUS_LINE[status] + self._own + _JSON
            self.corked.write_now(b"%b%d\r\n\r\n%b" % (start, len(body), body))
        else:
            about = b"".join(b"%b: %b\r\n" % header for header in headers)
            self.corked.write_now(b"%b%b%b\r\n%b" % (STATUS_LINE[status], self._own, about, body))
        if awaited is not None and not awaited.keep_alive:  # the server is about to stop
            self.transport.close()
            return
        if self.pipeline:  # came while this was awaited
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        # A timer made and cancelled for each request would cost as much as reading it: this one looks, when it goes off, whether
        # it is due.
        self._answered_at = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        self._idle = None
        busy = self._held is not None or not (self.cycle is None or self.cycle.response_complete)
        if busy or self.timeout_keep_alive_task is not None:
            return  # uvicorn has a timer of its own, or makes one when it has answered
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle = self.loop.call_later(left, self._look_whether_idle)
        else:
            self.timeout_keep_alive_handler()

    def _hand_over(self) -> None:
        """To uvicorn, as if it had had the request from its first line on."""
        parts, self._held = self._held or [], None
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)
