"""Who reads is shown what is on the disk, or will be in a moment; and is answered whatever the disk does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.app import Exporter
from headway.errors import StoreUnavailable
from headway.schemas.decoding import decode
from headway.schemas.reports import CreateIn
from headway.settings import Settings


class Held:
    """An exporter whose disk the test lets wait or fail, asked without a server."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exporter = Exporter(Settings(data_dir=folder))
        self.app = self.exporter.app()
        self.open = threading.Event()
        self.open.set()
        self.full = False
        write = self.exporter.store.write

        def held(batch: Any) -> None:
            assert self.open.wait(30)
            if self.full:
                raise StoreUnavailable("the disk is full")
            write(batch)

        monkeypatch.setattr(self.exporter.store, "write", held)

    def create(self, process_id: str) -> asyncio.Future[None]:
        body = json.dumps({"name": "job", "type": "task", "id": process_id}).encode()
        stored = self.exporter.registry.create(decode(body, CreateIn)).stored
        assert stored is not None
        return stored

    async def get(self, path: str) -> tuple[int, Any]:
        target, _, query = path.partition("?")
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        headers: Sequence[tuple[bytes, bytes]] = [(b"host", b"127.0.0.1:14323")]
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": target, "raw_path": target.encode()}
        scope |= {"query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 40000), "scheme": "http"}
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        content = b"".join(message.get("body", b"") for message in said)
        return said[0]["status"], json.loads(content) if content.startswith(b"{") else content


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held(tmp_path, monkeypatch)
    yield found
    found.exporter.store.close()


def play(held: Held, scenario: Any) -> None:
    async def run() -> None:
        held.exporter.writer.start(asyncio.get_running_loop())
        try:
            await asyncio.wait_for(scenario(), 60)
        finally:
            held.full = False
            held.open.set()
            await held.exporter.writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/api/processes", "/api/processes/b", "/api/processes?state=all"])
def test_what_may_still_be_undone_is_not_shown(held: Held, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.api.context.SETTLED_WITHIN", 30.0)

    async def scenario() -> None:
        await held.create("a")
        held.open.clear()
        held.full = True
        creation = held.create("b")
        asked = asyncio.ensure_future(held.get(path))
        assert not (await asyncio.wait([asked], timeout=0.2))[0], "it waits for the disk"
        held.open.set()
        status, answer = await asked
        with pytest.raises(StoreUnavailable):
            await creation
        if path.endswith("/b"):
            assert status == 404
        else:
            assert (status, [one["id"] for one in answer["data"]]) == (200, ["a"])

    play(held, scenario)


@pytest.mark.parametrize("path", ["/api/processes?state=all", "/api/processes/a", "/history", "/api/processes/analyze"])
def test_who_reads_is_answered_though_the_disk_is_full(held: Held, path: str) -> None:
    async def scenario() -> None:
        await held.create("a")
        held.full = True
        with pytest.raises(StoreUnavailable):
            await held.create("b")
        assert (await held.get(path))[0] == 200

    play(held, scenario)


def test_a_disk_that_hangs_keeps_readers_waiting_for_a_moment_only(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.api.context.SETTLED_WITHIN", 0.05)

    async def scenario() -> None:
        await held.create("a")
        held.open.clear()
        held.create("b")
        status, answer = await held.get("/api/processes")
        assert (status, {one["id"] for one in answer["data"]}) == (200, {"a", "b"})

    play(held, scenario)
