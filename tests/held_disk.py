"""An exporter whose disk the test lets wait or fail."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.app import Exporter
from headway.errors import StoreUnavailable
from headway.schemas.decoding import decode
from headway.schemas.reports import CreateIn, UpdateIn
from headway.settings import Settings


class Held:
    """Asked without a server: `open` lets its disk go on, `full` lets it fail."""

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

    def update(self, process_id: str, **said: Any) -> asyncio.Future[None] | None:
        return self.exporter.registry.update(process_id, decode(json.dumps(said).encode(), UpdateIn)).stored

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.ask("GET", path, b"")

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        return await self.ask("POST", path, json.dumps(body).encode())

    async def ask(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and content of the answer, which is decoded where it is an object."""
        target, _, query = path.partition("?")
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        headers: Sequence[tuple[bytes, bytes]] = [
            (b"host", b"127.0.0.1:14323"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        scope = {"type": "http", "http_version": "1.1", "method": method, "path": target, "raw_path": target.encode()}
        scope |= {"query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 40000), "scheme": "http"}
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        content = b"".join(message.get("body", b"") for message in said)
        return said[0]["status"], json.loads(content) if content.startswith(b"{") else content


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
