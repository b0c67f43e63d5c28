"""What is said of one process is taken in the order in which it was said, also where the disk fails in between."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.errors import StoreUnavailable
from headway.reporter import spool
from headway.reporter.link import Link, Undelivered
from held_disk import Held, play
from recording_server import RecordingServer

CREATED = {"id": "a", "seq": 1, "create": {"name": "job", "type": "task"}, "log": "one"}
SAID = {"id": "a", "seq": 2, "log": ["two"]}
ENDED = {"id": "a", "seq": 3, "status": "done", "log": ["three"]}
OTHER = {"id": "b", "seq": 1, "log": "of another"}


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held(tmp_path, monkeypatch)
    yield found
    found.exporter.store.close()


async def batch(held: Held, *items: dict[str, Any]) -> list[int]:
    status, answer = await held.post("/api/processes/batch", {"items": items})
    assert status == 200, answer
    return [result["status"] for result in answer["data"]]


async def lines(held: Held) -> list[str]:
    found: list[str] = (await held.get("/api/processes/a"))[1]["data"]["log_tail"]
    return found


def test_after_what_cannot_be_taken_now_nothing_of_the_same_process_is(held: Held) -> None:
    async def scenario() -> None:
        await held.create("b")
        held.exporter.writer._max_pending = 0
        assert await batch(held, CREATED, SAID, OTHER, ENDED) == [507, 507, 200, 507]
        held.exporter.writer._max_pending = 9
        assert await batch(held, CREATED, SAID, ENDED) == [200, 200, 200]
        assert await lines(held) == ["one", "two", "three"]

    play(held, scenario)


def test_one_whose_record_could_not_be_read_loses_no_line(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has left memory, and its lines come late; the store fails once."""

    async def scenario() -> None:
        await held.create("a")
        end = held.update("a", status="done")
        assert end is not None
        await end
        held.exporter.registry.roll.drop(["a"])
        get, count = held.exporter.store.get, itertools.count()

        def failing(process_id: str) -> Any:
            if next(count) == 0:
                raise StoreUnavailable("the disk cannot be read")
            return get(process_id)

        monkeypatch.setattr(held.exporter.store, "get", failing)
        late = [{"id": "a", "seq": 1, "log": "one"}, {"id": "a", "seq": 2, "log": "two"}]
        assert await batch(held, *late) == [507, 507]
        assert await batch(held, *late) == [200, 200]
        assert await lines(held) == ["one", "two"]

    play(held, scenario)


def test_what_was_said_of_one_whose_creation_is_undone_is_not_acknowledged(held: Held) -> None:
    async def scenario() -> None:
        await held.create("b")
        held.full = True
        assert await batch(held, {**CREATED, "log": []}, SAID, OTHER) == [507, 507, 200]
        held.full = False
        assert await batch(held, CREATED, SAID) == [200, 200]
        assert await lines(held) == ["one", "two"]

    play(held, scenario)


def test_what_was_said_after_a_change_that_is_undone_is_not_acknowledged(held: Held) -> None:
    """It was built on that change, and is undone with it; who sends it once more is heard, and no line comes twice."""

    async def scenario() -> None:
        await held.create("a")
        await held.create("b")
        held.full = True
        said = [
            {"id": "a", "seq": 1, "log": "one"},
            {"id": "a", "seq": 2, "status": "paused"},
            {"id": "a", "seq": 3, "metadata": {"step": 7}, "log": "two"},
        ]
        assert await batch(held, *said, OTHER) == [200, 507, 507, 200]
        held.full = False
        assert await batch(held, *said[1:]) == [200, 200]
        found = (await held.get("/api/processes/a"))[1]["data"]
        assert (found["status"], found["metadata"], found["log_tail"]) == ("paused", {"step": 7}, ["one", "two"])

    play(held, scenario)


def test_the_spool_waits_with_what_comes_after_too(
    server: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several requests; the exporter could take the second."""
    monkeypatch.setattr("headway.reporter.link.MAX_ITEMS", 1)
    folder = tmp_path / "left"
    spool.write(folder, server.url, [CREATED, SAID, ENDED])
    answer = server.result

    def failing_once(item: dict[str, Any]) -> dict[str, Any]:
        server.item_status = {"a": 507} if item["seq"] == 2 and len(server.requests) == 2 else {}
        return answer(item)

    monkeypatch.setattr(server, "result", failing_once)
    link = Link(server.url, None)
    with pytest.raises(Undelivered):
        spool.deliver(folder, link)
    assert [item["seq"] for item in server.items] == [1]
    (file,) = spool.ready(folder)
    assert [json.loads(line)["seq"] for line in file.read_text().splitlines()] == [2, 3]
    assert spool.deliver(folder, link) == (2, [])
    assert [item["log"] for item in server.items] == ["one", ["two"], ["three"]]
    assert not list(spool.ready(folder))
    link.close()
