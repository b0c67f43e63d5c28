"""Who reads is shown what is on the disk, or will be in a moment; and is answered whatever the disk does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway.errors import StoreUnavailable
from held_disk import Held, play


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held(tmp_path, monkeypatch)
    yield found
    found.exporter.store.close()


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


class Reading:
    """Holds the first read of `what` in the store, until `go_on`."""

    def __init__(self, held: Held, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun, self._going_on = threading.Event(), threading.Event()
        read = getattr(held.exporter.store, what)

        def slow(*args: Any) -> Any:
            found = read(*args)
            self._begun.set()
            assert self._going_on.wait(30)
            return found

        monkeypatch.setattr(held.exporter.store, what, slow)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 30)

    def go_on(self) -> None:
        self._going_on.set()


@pytest.mark.parametrize("what", ["children", "transitions"])
def test_one_that_is_shown_as_ended_is_shown_whole(held: Held, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is told while the answer is made."""

    async def scenario() -> None:
        await held.create("a")
        held.update("a", log="the first line")
        reading = Reading(held, what, monkeypatch)
        asked = asyncio.ensure_future(held.get("/api/processes/a"))
        await reading.begun()
        stored = held.update("a", status="failed", exit_code=3, log=["the last line", "its last word"])
        assert stored is not None
        await stored
        reading.go_on()
        status, answer = await asked
        found = answer["data"]
        assert (status, found["status"], found["exit_code"]) == (200, "failed", 3)
        assert found["log_tail"] == ["the first line", "the last line", "its last word"]
        assert [step["to"] for step in found["transitions"]] == ["running", "failed"]
        assert found["totals"]["by_status"] == {"failed": 1}

    play(held, scenario)


def test_an_end_that_is_undone_while_the_answer_is_made_is_not_shown(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.api.context.SETTLED_WITHIN", 30.0)

    async def scenario() -> None:
        await held.create("a")
        reading = Reading(held, "transitions", monkeypatch)
        asked = asyncio.ensure_future(held.get("/api/processes/a"))
        await reading.begun()
        held.open.clear()
        held.full = True
        end = held.update("a", status="done")
        assert end is not None
        reading.go_on()
        assert not (await asyncio.wait([asked], timeout=0.2))[0], "it waits for the disk"
        held.open.set()
        with pytest.raises(StoreUnavailable):
            await end
        status, answer = await asked
        assert (status, answer["data"]["status"], answer["data"]["finished_at"]) == (200, "running", None)

    play(held, scenario)


@pytest.mark.parametrize("change", ["dismissed", "taken back into memory"])
def test_one_that_leaves_or_enters_memory_while_the_answer_is_made(
    held: Held, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        await held.create("a")
        stored = held.update("a", status="done", log="said")
        assert stored is not None
        await stored
        if change != "dismissed":
            held.exporter.registry.roll.drop(["a"])
        reading = Reading(held, "transitions", monkeypatch)
        asked = asyncio.ensure_future(held.get("/api/processes/a"))
        await reading.begun()
        if change == "dismissed":
            dismissal = held.exporter.registry.dismiss("a").stored
            assert dismissal is not None
            await dismissal
            assert "a" not in held.exporter.registry.entries
        else:
            lines = held.exporter.store.lines("a", 10)
            process = held.exporter.store.get("a")
            assert process is not None
            held.exporter.registry.recall(process, lines)
            held.update("a", log="said late")
        reading.go_on()
        _, answer = await asked
        assert answer["data"]["log_tail"] == (["said"] if change == "dismissed" else ["said", "said late"])
        assert (answer["data"]["dismissed_at"] is not None) is (change == "dismissed")

    play(held, scenario)
