"""The store is asked for many ids in one turn of a thread, and says of each what it is."""

from __future__ import annotations

import asyncio
import threading

import pytest

from headway.api.archive import Archive
from headway.errors import StoreUnavailable
from headway.model import Activity, Kind, Process, Queued, Spec


def stored(process_id: str) -> Process:
    return Process(process_id, Spec(name=process_id, kind=Kind.TASK, created_at=1.0), Queued(), Activity(1.0))


def test_who_asks_while_it_reads_is_read_for_together() -> None:
    begun, going_on = threading.Event(), threading.Event()
    read: list[str] = []

    def get(process_id: str) -> Process | None:
        read.append(process_id)
        begun.set()
        assert going_on.wait(30)
        if process_id == "bad":
            raise StoreUnavailable("the disk is gone")
        return None if process_id == "none" else stored(process_id)

    async def scenario() -> None:
        archive = Archive(get)
        first = archive.find("a")
        assert await asyncio.to_thread(begun.wait, 30)
        later = [archive.find(one) for one in ("b", "none", "b", "c")]
        left = archive.find("d")
        left.cancel()
        assert not any(found.done() for found in (first, *later))
        going_on.set()
        b, c = stored("b"), stored("c")
        assert await first == stored("a") and await asyncio.gather(*later) == [b, None, b, c]
        assert sorted(read) == ["a", "b", "c", "d", "none"], "each is read once"
        assert await archive.find_all(["x", "y"]) == {"x": stored("x"), "y": stored("y")}
        with pytest.raises(StoreUnavailable):
            await archive.find_all(["x", "bad"])
        assert await archive.find("x") == stored("x"), "and it goes on"

    asyncio.run(scenario())
