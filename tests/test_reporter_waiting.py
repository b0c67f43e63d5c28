"""`with reporter.waiting("approval"):` what arrives of it: from threads, coroutines, forked children, and past an exception."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from headway import Reporter
from headway.reporter.reporter import Cancelled
from recording_server import RecordingServer
from running import RunningExporter
from waiting import wait_until


def said(server: RecordingServer, reporter: Reporter) -> list[Any]:
    return [item["waiting_for"] for item in server.of(reporter.id) if "waiting_for" in item]


def arrives(server: RecordingServer, reporter: Reporter, *told: Any) -> None:
    wait_until(lambda: said(server, reporter) == list(told), what=f"{told} of {said(server, reporter)}")


def test_the_block_says_that_it_waits_and_its_end_that_it_goes_on(server: RecordingServer) -> None:
    with Reporter("release") as reporter:
        with reporter.waiting("approval of\n the release"):
            arrives(server, reporter, "approval of the release")
        arrives(server, reporter, "approval of the release", None)
        with reporter.waiting("approval of\n the release"):
            arrives(server, reporter, "approval of the release", None, "approval of the release")
        arrives(server, reporter, "approval of the release", None, "approval of the release", None)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Cancelled])
def test_an_exception_leaves_the_block_too_and_is_passed_on(server: RecordingServer, error: type[BaseException]) -> None:
    reporter = Reporter("release")
    with pytest.raises(error), reporter.waiting("approval"):
        arrives(server, reporter, "approval")
        raise error
    arrives(server, reporter, "approval", None)
    reporter.done()


def test_of_several_in_threads_the_latest_that_lasts_is_told(server: RecordingServer) -> None:
    reporter, first = Reporter("release"), threading.Event()

    def ask() -> None:
        with reporter.waiting("the first"):
            first.wait(30)

    thread = threading.Thread(target=ask)
    thread.start()
    arrives(server, reporter, "the first")
    with reporter.waiting("the second"):
        arrives(server, reporter, "the first", "the second")
    arrives(server, reporter, "the first", "the second", "the first")
    with reporter.waiting("the third"):
        arrives(server, reporter, "the first", "the second", "the first", "the third")
        first.set()
        thread.join()
        assert reporter._fields["waiting_for"] == "the third"
    arrives(server, reporter, "the first", "the second", "the first", "the third", None)
    reporter.done()


def test_coroutines_may_leave_in_any_order(server: RecordingServer) -> None:
    reporter = Reporter("release")

    async def ask(what: str, until: asyncio.Event) -> None:
        with reporter.waiting(what):
            await until.wait()

    async def both() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(ask(what, until)) for what, until in (("one", one), ("two", two))]
        await asyncio.sleep(0)
        assert reporter._fields["waiting_for"] == "two"
        one.set()
        await tasks[0]
        assert reporter._fields["waiting_for"] == "two"
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert reporter._fields["waiting_for"] == ""

    asyncio.run(both())
    reporter.done()


def test_many_threads_leave_nothing_behind(server: RecordingServer) -> None:
    reporter, go = Reporter("release"), threading.Barrier(8)

    def ask() -> None:
        go.wait(30)
        for number in range(300):
            with reporter.waiting(f"answer {number}"):
                pass

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (reporter._waits, reporter._fields["waiting_for"]) == ({}, "")
    reporter.done()


def test_a_forked_child_that_leaves_the_block_ends_nothing(server: RecordingServer) -> None:
    reporter = Reporter("release")
    with reporter.waiting("approval"):
        arrives(server, reporter, "approval")
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
    if not child:
        os._exit(int(reporter._fields["waiting_for"] != "approval"))
    assert reporter._fields["waiting_for"] == ""
    arrives(server, reporter, "approval", None)
    reporter.done()


@pytest.mark.parametrize(("what", "told"), [("x" * 200, "x" * 159 + "…"), (7, "7"), (b"ask", "ask"), ("\ud800", "?")])
def test_whatever_it_waits_for_is_a_line(server: RecordingServer, what: Any, told: str) -> None:
    reporter = Reporter("release")
    with reporter.waiting(what):
        arrives(server, reporter, told)
    reporter.done()


def test_a_real_exporter_hears_of_it(exporter: RunningExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    from headway import Client

    client = Client(exporter.url, exporter.key)
    with Reporter("release", url=exporter.url, key=exporter.key, thresholds={"waiting_after": 0}) as reporter:
        with reporter.waiting("approval of the release"):
            found = wait_until(lambda: client.list(state="waiting"), 30, "the condition")
            assert [(one["id"], one["waiting_for"]) for one in found] == [(reporter.id, "approval of the release")]
        wait_until(lambda: not client.list(state="waiting"), 30, "it goes on")
        assert client.get(reporter.id)["waiting_for"] is None
