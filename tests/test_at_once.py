"""Reports that are answered without a task: the same answers, checks and counts as by the way that everything else goes."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from calling import Api, make_key
from headway.api.access import PASSED
from headway.api.at_once import AtOnce
from headway.api.protocol import LARGEST, Protocol, Reply
from headway.app import Exporter
from headway.errors import StoreUnavailable
from headway.keys import KeyRing, Role
from headway.model import Status
from headway.schemas.decoding import decode
from headway.schemas.reports import CreateIn
from headway.settings import Settings
from running import RunningExporter, Starter
from waiting import wait_until

JSON = {"Content-Type": "application/json"}
ONE = "/api/processes/p"
BATCH = "/api/processes/batch"


@pytest.fixture
def at_once(tmp_path: Path) -> Iterator[AtOnce]:
    """Of an exporter whose store nobody reads: with the process `p`."""
    exporter, loop = Exporter(Settings(data_dir=tmp_path)), asyncio.new_event_loop()
    exporter.writer.start(loop)
    found = exporter.app().at_once  # type: ignore[attr-defined]
    stored = exporter.registry.create(_creation("p")).stored
    assert stored is not None
    loop.run_until_complete(stored)
    yield found
    loop.run_until_complete(exporter.writer.close())
    exporter.store.close()
    loop.close()


def _creation(process_id: str) -> CreateIn:
    return decode(json.dumps({"name": "job", "type": "task", "id": process_id, "progress": {"total": 9}}).encode(), CreateIn)


def ask(at_once: AtOnce, method: str, target: str, body: Any, headers: Mapping[str, str] = JSON, **scope: Any) -> Any:
    """The parsed answer; None when it has to go the usual way; the list that gets (status, parsed answer) when it comes later."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {"Host": "127.0.0.1:8080", "Content-Length": str(len(content)), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in all_headers.items()]
    around = {"type": "http", "headers": raw, "client": ("127.0.0.1", 40000), "scheme": "http"} | scope
    answers: list[tuple[int, Any]] = []

    def reply(status: int, headers: Any, answer: bytes) -> None:
        answers.append((status, json.loads(answer)))

    if not at_once(method.encode(), target.encode(), around, content, reply):
        assert not answers
        return None
    return answers[0][1] if answers else answers


def test_progress_needs_no_waiting(at_once: AtOnce) -> None:
    answer = ask(at_once, "PATCH", ONE, {"progress": {"current": 3}, "log": "three", "stage": "counting"})
    assert answer["data"]["progress"]["current"] == 3 and answer["data"]["log_tail"] == ["three"]
    answer = ask(at_once, "POST", BATCH, {"items": [{"id": "p", "seq": 1, "progress": {"current": 4}}, {"id": "p", "seq": 1}]})
    repeated = {"id": "p", "status": 200, "cancel_requested": False, "duplicate": True}
    assert answer == {"data": [{"id": "p", "status": 200, "cancel_requested": False}, repeated]}


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PATCH", ONE, {"status": "queued"}),
        ("PATCH", ONE, {"error": "no"}),
        ("PATCH", ONE, {"progress": {"current": -1}}),
        ("PATCH", ONE, {"progres": {}}),
        ("PATCH", ONE, b"{"),
        ("PATCH", ONE, {"metadata": {"a": "x" * 100_000}}),
        ("PATCH", ONE + "?dry_run=1", {}),
        ("PATCH", "/api/processes/%70", {}),
        ("PATCH", "/api/processes/nobody", {}),
        ("PATCH", "/api/processes", {}),
        ("POST", "/api/processes", {"name": "job", "type": "task", "id": "p"}),
        ("POST", "/api/processes", {"name": "b"}),
        ("POST", "/api/processes?x", {"name": "b", "type": "task"}),
        ("POST", ONE, {}),
        ("POST", f"{ONE}/cancel", {}),
        ("POST", BATCH, {"items": [{"id": "p"}, {"id": "nobody"}]}),
        ("POST", BATCH, {"items": [{"id": "p"}, {"id": "p", "status": "failed"}]}),
        ("POST", BATCH, {"items": [{"id": "p", "create": {"name": "job", "type": "task"}}]}),
        ("POST", BATCH + "?x", {"items": []}),
    ],
)
def test_what_has_to_wait_or_is_wrong_changes_nothing(at_once: AtOnce, method: str, target: str, body: Any) -> None:
    registry = at_once.context.registry
    before = registry.entries["p"].process
    assert ask(at_once, method, target, body) is None
    assert registry.entries["p"].process is before and len(registry.entries) == 1


def test_one_wrong_item_does_not_stop_the_others(at_once: AtOnce) -> None:
    large = {"id": "p", "metadata": {"a": "x" * 100_000}}
    answer = ask(at_once, "POST", BATCH, {"items": [{"id": "p", "progress": {"current": 1}}, large, {"id": "p", "stage": "on"}]})
    assert [one["status"] for one in answer["data"]] == [200, 413, 200] and "metadata" in answer["data"][1]["error"]["detail"]


def until(at_once: AtOnce, answers: list[Any]) -> tuple[int, Any]:
    """The answer, once it is there."""
    loop = at_once.context.writer._loop
    assert loop is not None and answers == []

    wait_until(lambda: loop.run_until_complete(asyncio.sleep(0)) or answers, 30, "the answer")
    found: tuple[int, Any] = answers[0]
    return found


def test_what_must_be_durable_is_answered_when_it_is(at_once: AtOnce) -> None:
    status, answer = until(at_once, ask(at_once, "POST", "/api/processes", {"name": "b", "type": "task"}))
    created = at_once.context.store.get(answer["data"]["id"])
    assert status == 201 and created is not None and created.name == "b"
    status, answer = until(at_once, ask(at_once, "PATCH", ONE, {"status": "failed", "error": "no more"}))
    assert status == 200 and answer["data"]["status"] == "failed" and answer["cancel_requested"] is False
    stored = at_once.context.store.get("p")
    assert stored is not None and stored.error == "no more"


def ask_later(at_once: AtOnce, body: Mapping[str, Any]) -> tuple[int, Any]:
    """What is answered to a creation for which the store has to be asked first."""
    loop = at_once.context.writer._loop
    assert loop is not None

    async def asked() -> list[Any]:
        answers: list[Any] = ask(at_once, "POST", "/api/processes", body)
        return answers

    return until(at_once, loop.run_until_complete(asked()))


def test_an_id_may_be_one_of_long_ago(at_once: AtOnce) -> None:
    registry, body = at_once.context.registry, {"name": "b", "type": "task", "id": "b"}
    status, answer = ask_later(at_once, body)
    assert status == 201 and at_once.context.store.get("b") is not None
    until(at_once, ask(at_once, "PATCH", "/api/processes/b", {"status": "done"}))
    registry.roll.drop(["b"])
    status, again = ask_later(at_once, body)
    assert status == 200 and again["data"]["status"] == "done" and again["data"]["created_at"] == answer["data"]["created_at"]
    status, problem = ask_later(at_once, body | {"name": "another"})
    assert status == 409 and "id b is in use" in problem["detail"] and "b" not in registry.entries


def test_an_id_cannot_be_looked_up_while_the_store_is_away(at_once: AtOnce, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> None:
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(at_once.context.archive, "_get", away)
    status, problem = ask_later(at_once, {"name": "b", "type": "task", "id": "b"})
    assert status == StoreUnavailable.status and "the disk is gone" in problem["detail"]
    monkeypatch.undo()
    assert ask_later(at_once, {"name": "b", "type": "task", "id": "b"})[0] == 201


def test_what_cannot_be_stored_is_undone_and_said(at_once: AtOnce, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(at_once.context.store, "write", full)
    status, answer = until(at_once, ask(at_once, "POST", "/api/processes", {"name": "b", "type": "task"}))
    assert status == 507 and "the disk is full" in answer["detail"] and len(at_once.context.registry.entries) == 1
    status, answer = until(at_once, ask(at_once, "PATCH", ONE, {"status": "done"}))
    assert status == 507 and at_once.context.registry.entries["p"].process.status == "running"


def test_a_change_that_is_on_its_way_to_the_disk_is_waited_for(at_once: AtOnce) -> None:
    entry = at_once.context.registry.entries["p"]
    entry.pending = asyncio.new_event_loop().create_future()
    assert ask(at_once, "PATCH", ONE, {}) is None
    assert ask(at_once, "POST", BATCH, {"items": [{"id": "p"}]}) is None


def test_progress_that_brings_the_lost_back_is_durable_first(at_once: AtOnce) -> None:
    registry = at_once.context.registry
    stored = registry.end("p", Status.ORPHANED, at=registry.clock(), cause="test").stored
    assert stored is not None
    stored.get_loop().run_until_complete(stored)
    assert ask(at_once, "POST", BATCH, {"items": [{"id": "p", "progress": {"current": 1}}]}) is None
    assert ask(at_once, "PATCH", ONE, {"progress": {"current": 1}}) == [], "its answer comes later"
    assert registry.entries["p"].process.status is Status.RUNNING


@pytest.mark.parametrize(
    ("headers", "scope"),
    [
        ({"Content-Type": "text/plain"}, {}),
        ({}, {}),
        ({**JSON, "Host": "evil.example"}, {}),
        ({**JSON, "Origin": "http://evil.example"}, {}),
        ({**JSON, "Sec-Fetch-Site": "cross-site"}, {}),
        ({**JSON, "Authorization": "Bearer hw_00000000_wrong"}, {}),
        ({**JSON, "X-Forwarded-For": "192.0.2.1"}, {}),
        (JSON, {"client": ("192.0.2.1", 40000)}),
        (JSON, {"client": None}),
        ({**JSON, "Headway-Durable": "true"}, {}),
    ],
)
def test_the_guard_stands_here_too(at_once: AtOnce, headers: dict[str, str], scope: dict[str, Any]) -> None:
    body = {"items": [{"id": "p", "progress": {"current": 5}}]}
    for _ in range(2):  # what is remembered of good headers is not taken for these
        assert ask(at_once, "POST", BATCH, body) is not None
        assert ask(at_once, "POST", BATCH, body, headers, **scope) is None


def test_few_headers_are_remembered_and_no_large_ones(at_once: AtOnce) -> None:
    for number in range(2000):
        assert ask(at_once, "PATCH", ONE, {}, {**JSON, "X-Request": f"{number}"}) is not None
        assert ask(at_once, "PATCH", ONE, {}, {**JSON, "X-Request": f"{number}" * 2000}) is not None
    assert 0 < len(at_once.guard._passed) <= PASSED


def test_a_body_over_the_limit_is_none_of_its(at_once: AtOnce) -> None:
    body = {"items": [{"id": "p", "log": ["x" * 100] * 900}] * 60}
    assert len(json.dumps(body)) > at_once.context.settings.max_body_bytes
    assert ask(at_once, "POST", BATCH, body) is None


def test_a_key_counts_until_it_is_revoked(at_once: AtOnce, tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    key, text = ring.create("ci", Role.REPORTER)
    bearer = {**JSON, "Authorization": f"Bearer {text}"}
    assert ask(at_once, "PATCH", ONE, {}, bearer) is not None
    assert ask(at_once, "PATCH", ONE, {}) is None, "with a key configured who has none may only look"
    ring.revoke(key.id)
    assert ask(at_once, "PATCH", ONE, {}, bearer) is None


def test_a_key_of_a_user_reaches_their_processes_alone(at_once: AtOnce) -> None:
    _, text = at_once.context.keys.create("ann", Role.REPORTER, user="ann")
    assert ask(at_once, "PATCH", ONE, {}, {**JSON, "Authorization": f"Bearer {text}"}) is None


# ── on the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Wire:
    """One connection, spoken by hand."""

    def __init__(self, exporter: RunningExporter) -> None:
        self.host = f"127.0.0.1:{exporter.port}"
        self.socket = socket.create_connection(("127.0.0.1", exporter.port), timeout=30)
        self.file = self.socket.makefile("rb")

    def request(self, method: str, target: str, body: Any = None, *headers: str) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", "Content-Type: application/json", *headers]
        if not any(header.lower().startswith("transfer-encoding") for header in headers):
            head.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*head, "", ""]).encode() + content

    def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers, and the body as JSON, or as text where it is none."""
        line = self.file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers = {}
        while (header := self.file.readline()) != b"\r\n":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        content = self.file.read(int(headers["content-length"]))
        return int(line.split()[1]), headers, json.loads(content) if "json" in headers["content-type"] else content.decode()

    def ask(self, *arguments: Any) -> tuple[int, dict[str, str], Any]:
        self.socket.sendall(self.request(*arguments))
        return self.answer()


def test_it_says_the_same_as_the_usual_way(shared_exporter: RunningExporter) -> None:
    api, wire = Api(shared_exporter), Wire(shared_exporter)
    one = f"/api/processes/{api.create(progress={'total': 10})['id']}"
    body = {"progress": {"current": 5}, "log": 'a "line"', "metadata": {"a": {"b": [1, True, None]}}}
    status, headers, quick = wire.ask("PATCH", one, body)
    # Whoever wants to be told before the body is sent is answered by uvicorn.
    wire.socket.sendall(wire.request("PATCH", one, body, "Expect: 100-continue"))
    assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n" and wire.file.readline() == b"\r\n"
    assert (status, headers.keys(), headers["content-type"]) == (200, (usual := wire.answer())[1].keys(), "application/json")
    moving = re.compile(r'"(updated_at|last_\w+_at|elapsed_seconds|eta_seconds|rate)":("[^"]*"|[^,]*)|"eta_range":(null|\[[^]]*\])')
    assert moving.sub("", json.dumps(quick, separators=(",", ":"))) == moving.sub("", json.dumps(usual[2], separators=(",", ":")))


def test_answers_leave_in_the_order_of_the_requests(shared_exporter: RunningExporter) -> None:
    api, wire = Api(shared_exporter), Wire(shared_exporter)
    process_id = api.create(progress={"total": 10})["id"]
    one = f"/api/processes/{process_id}"
    requests = [
        wire.request("PATCH", one, {"progress": {"current": 1}}),
        wire.request("PATCH", one, {"progress": {"current": 2}}),
        wire.request("GET", one),
        wire.request("PATCH", one, {"progress": {"current": 3}}),
        wire.request("PATCH", one, {"status": "done"}),
        wire.request("PATCH", one, {"summary": "over"}),
        wire.request("POST", BATCH, {"items": [{"id": process_id}]}),
        wire.request("PATCH", "/api/processes/nobody", {}),
    ]
    wire.socket.sendall(b"".join(requests))
    answers = [wire.answer() for _ in requests]
    assert [status for status, _, _ in answers] == [200] * 7 + [404]
    said = [(a["data"]["progress"]["current"], a["data"]["status"], a["data"]["summary"]) for _, _, a in answers[:6]]
    assert said == [
        (1, "running", None),
        (2, "running", None),
        (2, "running", None),
        (3, "running", None),
        (3, "done", None),
        (3, "done", "over"),
    ]


def test_a_request_may_come_byte_by_byte(shared_exporter: RunningExporter) -> None:
    wire = Wire(shared_exporter)
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = wire.request("PATCH", f"/api/processes/{Api(shared_exporter).create()['id']}", {"progress": {"current": 7}})
    for byte in request:
        wire.socket.sendall(bytes([byte]))
    status, _, answer = wire.answer()
    assert status == 200 and answer["data"]["progress"]["current"] == 7


def test_a_body_in_chunks_and_a_large_one(shared_exporter: RunningExporter) -> None:
    wire = Wire(shared_exporter)
    process_id = Api(shared_exporter).create()["id"]
    wire.socket.sendall(wire.request("PATCH", f"/api/processes/{process_id}", None, "Transfer-Encoding: chunked"))
    for part in (b'{"progress": {"c', b'urrent": 5}}', b""):
        wire.socket.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    assert wire.answer()[2]["data"]["progress"]["current"] == 5
    lines = ["x" * 1000] * 300
    body = {"items": [{"id": process_id, "log": lines}]}
    assert len(json.dumps(body)) > LARGEST
    status, _, answer = wire.ask("POST", BATCH, body)
    assert status == 200 and answer["data"][0]["status"] == 200
    assert wire.ask("GET", f"/api/processes/{process_id}")[2]["data"]["log_tail"][-1] == "x" * 1000


def test_who_wants_the_connection_closed_gets_it(shared_exporter: RunningExporter) -> None:
    wire = Wire(shared_exporter)
    one = f"/api/processes/{Api(shared_exporter).create()['id']}"
    assert wire.ask("PATCH", one, {})[0] == 200 and wire.ask("PATCH", one, {}, "Connection: close")[0] == 200
    assert wire.file.read() == b""


def test_what_is_no_http_is_refused(shared_exporter: RunningExporter) -> None:
    wire = Wire(shared_exporter)
    assert wire.ask("PATCH", f"/api/processes/{Api(shared_exporter).create()['id']}", {})[0] == 200
    wire.socket.sendall(b"PATCH /api/processes/p HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n")
    assert wire.answer()[0] == 400


def test_errors_are_explained_and_counted(shared_exporter: RunningExporter) -> None:
    wire = Wire(shared_exporter)
    one = f"/api/processes/{Api(shared_exporter).create()['id']}"
    status, headers, answer = wire.ask("PATCH", one, {"progres": {}})
    assert status == 422 and headers["content-type"] == "application/problem+json" and "progress" in answer["detail"]
    page = requests.get(f"{shared_exporter.url}/metrics", timeout=30).text
    assert 'headway_http_requests_total{code="422",method="PATCH",route="/api/processes/{id}"}' in page


def test_a_key_that_was_revoked_is_refused_at_once(start_exporter: Starter) -> None:
    exporter = start_exporter()
    text = make_key(exporter, "reporter")
    api = Api(exporter, text)
    one, key = f"/api/processes/{api.create()['id']}", f"Authorization: Bearer {text}"
    wire = Wire(exporter)
    # The second time the connection knows what it sends.
    assert [wire.ask("PATCH", one, {}, key)[0] for _ in range(2)] == [200, 200] and api.request("PATCH", one, {})[0] == 200
    ring = KeyRing(exporter.data_dir)
    ring.revoke(next(key.id for key in ring.list() if key.role is Role.REPORTER))
    assert api.request("PATCH", one, {})[0] == 401 and wire.ask("PATCH", one, {}, key)[0] == 401


def test_who_leaves_before_the_answer_keeps_nobody(shared_exporter: RunningExporter) -> None:
    for _ in range(20):
        wire = Wire(shared_exporter)
        wire.socket.sendall(wire.request("POST", "/api/processes", {"name": "gone", "type": "task"}))
        wire.file.close()
        wire.socket.close()
    api = Api(shared_exporter)
    wait_until(lambda: len(api.request("GET", "/api/processes?name=gone")[1]["data"]) == 20, what="all that was sent")


def test_creations_one_after_the_other_on_one_connection(shared_exporter: RunningExporter) -> None:
    wire = Wire(shared_exporter)
    creation = wire.request("POST", "/api/processes", {"name": "many", "type": "task"})
    wire.socket.sendall(creation * 3 + wire.request("GET", "/api/processes?name=many") + creation)
    answers = [wire.answer() for _ in range(5)]
    assert [status for status, _, _ in answers] == [201, 201, 201, 200, 201]
    created = [answer["data"]["id"] for _, _, answer in answers[:3]]
    assert sorted(one["id"] for one in answers[3][2]["data"]) == sorted(created)


def test_two_who_give_the_same_id_at_the_same_time_get_one_process(shared_exporter: RunningExporter) -> None:
    wires = [Wire(shared_exporter) for _ in range(40)]
    for n, wire in enumerate(wires):
        wire.socket.sendall(wire.request("POST", "/api/processes", {"name": "same", "type": "task", "id": f"same-{n % 20}"}))
    statuses = sorted(wire.answer()[0] for wire in wires)
    assert statuses == [200] * 20 + [201] * 20
    assert len(Api(shared_exporter).request("GET", "/api/processes?name=same&limit=100")[1]["data"]) == 20


def test_an_exporter_that_stops_answers_first(start_exporter: Starter) -> None:
    exporter = start_exporter()
    wires = [Wire(exporter) for _ in range(8)]
    for wire in wires:
        wire.socket.sendall(wire.request("POST", "/api/processes", {"name": "last", "type": "task"}))
    assert [wire.answer()[0] for wire in wires] == [201] * 8
    exporter.stop()
    assert all(wire.file.read() == b"" for wire in wires)


def test_a_connection_that_says_nothing_more_is_closed() -> None:
    """After the time for it counted from the last answer, whichever way that went; not before."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"{}"})

        def at_once(method: bytes, target: bytes, scope: Any, body: bytes, reply: Reply) -> bool:
            if target == b"/quick":
                reply(200, None, b"{}")
            elif target == b"/later":
                loop.call_later(0.01, reply, 200, None, b"{}")
            return target != b"/usual"

        answer.at_once = at_once  # type: ignore[attr-defined]
        config = uvicorn.Config(answer, timeout_keep_alive=2, log_config=None)
        server = await loop.create_server(lambda: Protocol(config, uvicorn.server.ServerState(), {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        last = 0.0
        for target in ("/quick", "/later", "/usual", "/quick", "/later", "/quick"):
            writer.write(f"PATCH {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            assert (await reader.readuntil(b"\r\n\r\n{}")).startswith(b"HTTP/1.1 200 OK\r\n")
            last = loop.time()
            await asyncio.sleep(0.4)  # much less than two seconds, and more than that in all
        assert await asyncio.wait_for(reader.read(), 30) == b"" and loop.time() - last >= 1.9
        server.close()

    asyncio.run(scenario())
