"""What followers of the API are told: encoded once for all of them, held back from who is slow, complete after an interruption."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import psutil

from calling import Api
from headway.api.events import SHARED, Bodies, in_parts
from registry_world import World, in_loop
from running import RunningExporter, Starter

WIDE = {"text": "x" * 20_000}


# ── pure ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_a_change_is_encoded_once_for_all_who_see_the_same() -> None:
    world, bodies, made = World(), Bodies(), list[int]()
    entry = world.registry.entry(world.create().id)

    def make() -> dict[str, Any]:
        made.append(1)
        return {"number": len(made)}

    assert [bodies.of(entry, None, 100.0, make) for _ in range(3)] == [b'{"number":1}'] * 3
    assert bodies.of(entry, "ann", 100.0, make) == b'{"number":2}', "who sees less is told apart"
    world.registry.feed.touch(entry)
    assert bodies.of(entry, None, 100.0 + SHARED / 2, make) == b'{"number":3}', "it changed"
    assert bodies.of(entry, None, 100.0 + SHARED / 2, make) == b'{"number":3}'
    assert bodies.of(entry, None, 100.0 + 2 * SHARED, make) == b'{"number":4}', "time has changed it"
    assert bodies.of(entry, None, 50.0, make) == b'{"number":5}', "the clock was set back"


def test_parts_hold_whole_events_and_are_made_when_they_are_asked_for() -> None:
    made = list[int]()

    def events() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"%02d" % number * 500

    parts = in_parts(events(), 10_000)
    assert len(next(parts)) == 10_000 and len(made) == 10
    assert b"".join(parts) == b"".join(b"%02d" % n * 500 for n in range(10, 100))
    assert list(in_parts([])) == [] and list(in_parts([b"a", b"b"])) == [b"ab"]


# ── through HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────


class Follower:
    """A connection to the stream that is read only when it is told to. `state`: the last that it heard of each process; `last`: the
    id of the last event."""

    def __init__(self, exporter: RunningExporter, last: str | None = None) -> None:
        address = urlsplit(exporter.url)
        assert address.hostname is not None and address.port is not None
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        self.connection.sock = small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.settimeout(30)
        small.connect((address.hostname, address.port))
        self.connection.request("GET", "/api/processes/stream", headers={"Last-Event-ID": last} if last else {})
        self.answer = self.connection.getresponse()
        self.state: dict[str, dict[str, Any]] = {}
        self.last = last

    def read_until(self, enough: Callable[[], bool]) -> None:
        kind, deadline = "", monotonic() + 30
        while not enough():
            assert monotonic() < deadline, "it was never told"
            name, _, value = self.answer.readline().decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                self.last = value
            elif name == "data" and kind == "process":
                said = json.loads(value)
                self.state[said["id"]] = said

    def close(self) -> None:
        self.connection.sock.close()


@contextmanager
def followers(exporter: RunningExporter, count: int) -> Iterator[list[Follower]]:
    """Each has heard of one process, and no more."""
    found: list[Follower] = []
    try:
        for _ in range(count):
            found.append(Follower(exporter))
            found[-1].read_until(lambda: bool(found[-1].state))
        yield found
    finally:
        for one in found:
            one.close()


def memory(exporter: RunningExporter) -> int:
    assert exporter.process is not None
    return int(psutil.Process(exporter.process.pid).memory_info().rss)


def test_who_is_slow_is_not_held_for_and_hears_the_latest_of_all(start_exporter: Starter) -> None:
    """Thirty that take nothing are not sent, or kept in memory for, what there is: 6 MB for each."""
    exporter = start_exporter()
    api = Api(exporter)
    ids = [api.create(metadata=WIDE)["id"] for _ in range(300)]
    with followers(exporter, 2):
        before = memory(exporter)
    with followers(exporter, 30) as slow:
        grown = memory(exporter) - before
        assert grown < 30e6, f"{grown / 1e6:.1f} MB more"
        for one in ids:
            api.update(one, stage="second")
        for follower in (slow[0], slow[29]):
            state = follower.state
            follower.read_until(lambda state=state: sum(one["stage"] == "second" for one in state.values()) == 300)  # type: ignore[misc]


def test_who_breaks_off_in_the_middle_of_all_misses_nothing_afterwards(start_exporter: Starter) -> None:
    """What was sent of some is newer than what was yet to be sent of others."""
    exporter = start_exporter()
    api = Api(exporter)
    ids = [api.create(metadata=WIDE)["id"] for _ in range(300)]
    with followers(exporter, 1) as (follower,):
        api.update(ids[-1], stage="second")
        api.update(ids[280], stage="second")
        follower.read_until(lambda: ids[280] in follower.state)
        assert follower.state[ids[280]]["stage"] == "second" and len(follower.state) < 300, "it was yet to be sent"
    again = Follower(exporter, follower.last)
    again.state = dict(follower.state)
    again.read_until(lambda: len(again.state) == 300 and again.state[ids[-1]]["stage"] == "second")
    again.close()
