"""A connection that sends the same head again is answered without the parser; nobody can tell from the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.api.protocol import HEAD_BYTES, HEADS, Protocol, Reply

HOST: Final = b"Host: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
CHUNKED: Final = b"PATCH /p HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


def request(line: bytes = b"PATCH /p HTTP/1.1", body: bytes = b"{}", more: bytes = b"") -> bytes:
    return line + b"\r\n" + HOST + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


# What the application was asked, what was written, whether the connection is closed, and how many messages the parser saw.
Heard: TypeAlias = tuple[list[tuple[Any, ...]], bytes, bool, int]


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000), "sockname": ("127.0.0.1", 8080)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class App:
    """Says what it was asked: at once, later, or the usual way, as the target has it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.asked: list[tuple[Any, ...]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.note("usual", scope["method"].encode(), scope["raw_path"], scope, body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    def at_once(self, method: bytes, target: bytes, scope: Any, body: bytes, reply: Reply) -> bool:
        if target.startswith(b"/usual"):
            return False
        self.note("at once", method, target, scope, body)
        if target.startswith(b"/later"):
            self.loop.call_soon(reply, 201, None, body)
        else:
            reply(200, None, body)
        return True

    def note(self, how: str, method: bytes, target: bytes, scope: Any, body: bytes) -> None:
        self.asked.append((how, method, target, scope["headers"], scope["client"], scope["scheme"], body))


class Parsing(Protocol):
    """Remembers no heads."""

    begun = 0

    def on_message_begin(self) -> None:
        self.begun += 1
        super().on_message_begin()

    def _recognised(self, data: bytes) -> bool:
        return False


class Counting(Protocol):
    begun = 0

    def on_message_begin(self) -> None:
        self.begun += 1
        super().on_message_begin()


def heard(
    kind: type[Parsing | Counting], pieces: Sequence[bytes], turns: int = 5
) -> tuple[list[tuple[Any, ...]], bytes, bool, int]:
    """After each piece others have so many turns."""

    async def scenario() -> Heard:
        app, wire = App(asyncio.get_running_loop()), Wire()
        config = uvicorn.Config(app, log_config=None, proxy_headers=False, date_header=False, server_header=False)
        protocol = kind(config, uvicorn.server.ServerState(), {})
        protocol.connection_made(wire)
        for piece in pieces:
            if wire.closed:
                break
            protocol.data_received(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        found = app.asked, wire.written, wire.closed, protocol.begun
        protocol.connection_lost(None)
        return found

    return asyncio.run(scenario())


def test_the_same_head_again_needs_no_parser() -> None:
    pieces = [request(body=b'{"a": %d}' % n) for n in (1, 2, 3)] + [request(b"PATCH /q HTTP/1.1", b"{}"), request(body=b"[]")]
    asked, written, closed, begun = heard(Counting, pieces)
    assert begun == 2, "one for each length of a body"
    assert [(one[0], one[2], one[-1]) for one in asked] == [
        ("at once", b"/p", b'{"a": 1}'),
        ("at once", b"/p", b'{"a": 2}'),
        ("at once", b"/p", b'{"a": 3}'),
        ("at once", b"/q", b"{}"),
        ("at once", b"/p", b"[]"),
    ]
    assert written.count(b"HTTP/1.1 200 OK") == 5 and not closed


def test_a_connection_remembers_few_heads_and_no_large_ones() -> None:
    bodies = [b"x" * n for n in range(2 * HEADS)]
    begun = heard(Counting, [request(body=body) for body in bodies] + [request(body=bodies[0])])[3]
    assert begun == 2 * HEADS + 1
    assert heard(Counting, [request(more=b"X: %b\r\n" % (b"x" * HEAD_BYTES))] * 3)[3] == 3
    assert heard(Counting, [request(more=b"X: %b\r\n" % (b"x" * (HEAD_BYTES // 2)))] * 3)[3] == 1


def test_a_head_without_its_end_is_not_whole() -> None:
    again = request(body=b"")
    head = again.removesuffix(b"\r\n\r\n")
    asked, written, _, begun = heard(Counting, [again, head, b"\r\n\r\n", again])
    assert len(asked) == 3 and written.count(b"HTTP/1.1 200 OK") == 3 and begun == 2
    assert len(heard(Counting, [again, head])[0]) == 1, "its last line may go on"


LINES: Final = [
    *(b"PATCH /p HTTP/1.1", b"POST /p HTTP/1.1", b"PATCH /later HTTP/1.1", b"PATCH /usual HTTP/1.1", b"PATCH /p?a=1 HTTP/1.1"),
    *(b"PATCH /%70 HTTP/1.1", b"GET /p HTTP/1.1", b"PATCH /p HTTP/1.0", b"PATCH /p  HTTP/1.1", b"PATCH p HTTP/1.1"),
    *(b"\r\nPATCH /p HTTP/1.1", b"PATCH http://a/p HTTP/1.1", b"patch /p HTTP/1.1", b"PATCH /p HTTP/1.1 ", b"PATCH /p\tHTTP/1.1"),
]
MORE: Final = [
    *(b"", b"", b"", b"X-A: 1\r\n", b"X A: 1\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Content-Length: 3\r\n"),
]
ANY: Final = st.builds(
    request, st.sampled_from(LINES), st.sampled_from([b"{}", b"[]", b"{ }", b"", request()]), st.sampled_from(MORE)
)


@st.composite
def pieces(draw: st.DrawFn) -> list[bytes]:
    """Requests of every sort, mostly whole, sometimes several in one piece or one in several."""
    found: list[bytes] = []
    for one in draw(st.lists(ANY | st.just(request()) | st.just(CHUNKED), min_size=1, max_size=10)):
        match draw(st.integers(0, 5)):
            case 0 if found:
                found[-1] += one
            case 1:
                cut = draw(st.integers(0, len(one)) | st.sampled_from([one.find(b"\r\n\r\n"), one.find(b"\r\n\r\n") + 4]))
                found += [piece for piece in (one[:cut], one[cut:]) if piece]
            case _:
                found.append(one)
    return found


@given(pieces(), st.sampled_from([0, 1, 5]))
@settings(max_examples=500, deadline=None)
def test_nobody_can_tell_it_from_the_answers(sent: list[bytes], turns: int) -> None:
    assert heard(Counting, sent, turns)[:3] == heard(Parsing, sent, turns)[:3]
