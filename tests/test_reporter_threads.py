"""The reporter among threads, tasks and signals: nothing is lost, nobody is held up, and whoever is to end hears of it once."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headway import Cancelled, Reporter
from headway.reporter.hub import hub
from recording_server import RecordingServer
from reporting import run_script
from waiting import wait_until


def eight_times(work: Callable[[int], None]) -> None:
    """In threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(which,)) for which in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)


def test_advance_is_exact_with_threads(server: RecordingServer) -> None:
    reporter = Reporter("threads", total=400_000)

    def work(which: int) -> None:
        for _ in range(50_000):
            reporter.advance()

    eight_times(work)
    reporter.done()
    server.final(reporter.id)
    assert server.state(reporter.id)["progress"]["current"] == 400_000


def test_advance_without_the_global_lock(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.reporter.reporter.GIL", False)
    reporter = Reporter("free threads", total=10)
    for _ in range(10):
        reporter.advance()
    reporter.done()
    server.final(reporter.id)
    assert server.state(reporter.id)["progress"]["current"] == 10


def test_cancel_is_raised_once_by_the_next_update(server: RecordingServer) -> None:
    server.cancel.add("cancel-me")
    seen = 0
    with pytest.raises(Cancelled, match="cancel-me"), Reporter("opted in", id="cancel-me", raise_on_cancel=True) as reporter:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                seen += 1
                reporter.update(seen)
            except Exception:
                pytest.fail("a loop that catches errors must not catch it")
    assert server.creation("cancel-me")["cancellable"] is True
    final = server.final("cancel-me")
    assert (final["status"], final["error"]) == ("cancelled", "cancel was requested")
    reporter.update(1)  # not raised again


def test_cancel_is_only_seen_by_those_who_ask(server: RecordingServer) -> None:
    server.cancel.add("polls")
    reporter = Reporter("polls", id="polls", cancellable=True)
    wait_until(lambda: reporter.cancel_requested, what="cancel_requested")
    reporter.update(5)
    reporter.advance()
    reporter.cancel()
    assert server.final("polls")["status"] == "cancelled"


def test_cached_method_and_cancel(server: RecordingServer) -> None:
    server.cancel.add("cached")
    update = Reporter("cached", id="cached", raise_on_cancel=True).update

    def work() -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            update(1)

    with pytest.raises(Cancelled):
        work()


class Own(Reporter):
    """Of a script: with attributes of its own."""


class Louder(Own):
    def update(self, *args: Any, **more: Any) -> None:
        super().update(*args, **more)


SAYINGS: dict[str, Callable[[Reporter], None]] = {
    "count": lambda one: one.update(1),
    "count and line": lambda one: one.update(1, "a line"),
    "line": lambda one: one.update(line="a line"),
    "stage": lambda one: one.update(stage="a stage"),
    "all": lambda one: one.update(1, "a line", stage="a stage", metadata={"a": 1}),
    "nothing": lambda one: one.update(),
    "step": lambda one: one.advance(),
    "wrong step": lambda one: one.advance("x"),  # type: ignore[arg-type]
}


def test_whatever_is_said_next_hears_of_the_cancellation(server: RecordingServer) -> None:
    """Once, and what was said with it is said."""
    reporters: dict[tuple[type[Reporter], str], Reporter] = {}
    for kind in (Reporter, Own, Louder):
        for n, saying in enumerate(SAYINGS):
            server.cancel.add(f"{kind.__name__}-{n}")
            current = 0 if "step" in saying else None
            reporters[kind, saying] = kind(saying, id=f"{kind.__name__}-{n}", current=current, raise_on_cancel=True)
    wait_until(lambda: all(one.cancel_requested for one in reporters.values()), what="cancellations")
    for (kind, saying), reporter in reporters.items():
        with pytest.raises(Cancelled):
            SAYINGS[saying](reporter)
        assert type(reporter) is kind
        SAYINGS[saying](reporter)  # not raised again
        reporter.cancel()
    for (kind, saying), reporter in reporters.items():
        assert server.final(reporter.id)["status"] == "cancelled"
        state = server.state(reporter.id)
        assert state["log"] == (["a line"] * 2 if saying in ("count and line", "line", "all") else []), (kind, saying)
        if saying in ("count", "count and line", "all"):
            assert state["progress"]["current"] == 1, (kind, saying)


def test_works_in_asyncio(server: RecordingServer) -> None:
    async def work(i: int) -> str:
        with Reporter(f"coroutine {i}", total=3) as reporter:
            for _ in range(3):
                await asyncio.sleep(0.001)
                reporter.advance()
            return reporter.id

    async def cancelled() -> str:
        reporter = Reporter("cancelled coroutine")
        with reporter:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(0.01, task.cancel)
            await asyncio.sleep(10)
        return reporter.id

    async def main() -> list[str]:
        return list(await asyncio.gather(*(work(i) for i in range(20))))

    for process_id in asyncio.run(main()):
        assert server.final(process_id)["status"] == "done"
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert server.final(server.by_name("cancelled coroutine"))["status"] == "cancelled"


def test_works_in_a_signal_handler(server: RecordingServer) -> None:
    reporter = Reporter("signalled")

    def handle(number: int, frame: object) -> None:
        reporter.update(1, "in the handler", stage="handler", metadata={"handled": True})
        reporter.pause()

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            reporter.update(2, "outside", metadata={"b": 1})
            reporter.resume()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    reporter.done()
    assert server.final(reporter.id)["status"] == "done"
    assert "in the handler" in server.state(reporter.id)["log"]


def test_only_the_background_thread_imports_requests_and_nobody_the_server(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import sys, threading

        class Watch:
            def find_spec(self, name, path=None, target=None):
                print(threading.current_thread().name, name)

        sys.meta_path.insert(0, Watch())
        from headway import Reporter, track
        with Reporter("x", id="x", total=2) as reporter:
            reporter.update(1, "line", metadata={"a": 1})
            with reporter.child("kid"):
                for _ in track(range(3), name="loop"):
                    reporter.advance()
    """
    done = run_script(code, server, tmp_path)
    assert done.stderr == ""
    assert server.final("x")["status"] == "done"
    imported = [line.split() for line in done.stdout.splitlines()]
    assert {thread for thread, name in imported if name in ("requests", "urllib3", "ssl", "json")} == {"headway"}
    names = {name for _, name in imported}
    ours = {name for name in names if name.partition(".")[0] == "headway"}
    allowed = {f"headway.{name}" for name in ("version", "ids", "cleaning", "durations", "labels", "places", "reporter")} | {
        "headway"
    }
    assert {name for name in ours if not name.startswith("headway.reporter.")} <= allowed
    server_side = {"psutil", "rich", "msgspec", "fastapi", "starlette", "uvicorn", "yaml", "prometheus_client", "jinja2", "sqlite3"}
    assert not {name.partition(".")[0] for name in names} & server_side


def test_one_thread_for_all_reporters(server: RecordingServer) -> None:
    before = threading.active_count()
    reporters = [Reporter(f"r{i}") for i in range(50)]
    for reporter in reporters:
        server.creation(reporter.id)
    ours = [thread for thread in threading.enumerate() if thread.name == "headway" and thread is hub()._thread]
    assert len(ours) == 1
    assert ours[0].daemon
    assert len([thread for thread in threading.enumerate() if thread.name == "headway"]) == 1
    assert threading.active_count() - before < 40  # the rest are those of the test's server
    for reporter in reporters:
        reporter.done()


def test_a_script_makes_no_system_call_to_update(server: RecordingServer) -> None:
    """No I/O and no lock: what update, advance and log call in the script is Python's own atomic operations."""
    reporter = Reporter("quiet", total=10)
    server.creation(reporter.id)
    called: list[str] = []

    def watch(frame: object, event: str, argument: object) -> None:
        if event == "c_call":
            called.append(getattr(argument, "__qualname__", repr(argument)))

    sys.setprofile(watch)
    try:
        reporter.update(3)
        reporter.update(4, "line")
        reporter.update(5, stage="stage", total=20, unit="files", summary="so far")
        reporter.advance()
        reporter.log("line")
    finally:
        sys.setprofile(None)
    assert set(called) <= {"deque.append", "dict.items", "len", "setprofile"}
    reporter.done()


def test_no_line_of_many_threads_is_lost_uncounted(server: RecordingServer) -> None:
    reporter = Reporter("threads that log")

    def work(which: int) -> None:
        for n in range(2000):
            reporter.update(n, f"{which} {n}", metadata={f"{which}": n})

    eight_times(work)
    reporter.done()
    server.final(reporter.id)
    log = server.state(reporter.id)["log"]
    dropped = sum(int(line.split()[1]) for line in log if line.startswith("…"))
    kept = [line for line in log if not line.startswith("…")]
    assert dropped + len(kept) == 16_000
    for which in range(8):
        numbers = [int(line.split()[1]) for line in kept if line.startswith(f"{which} ")]
        assert numbers == sorted(numbers)
    merged: dict[str, object] = {}
    for item in server.of(reporter.id):
        merged |= item.get("metadata", {})
    assert merged == {f"{which}": 1999 for which in range(8)}
