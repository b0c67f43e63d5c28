"""track: a loop with progress, however it is left."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headway import Cancelled, track
from recording_server import RecordingServer
from reporting import run_script, script_environment
from waiting import wait_until


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        await asyncio.sleep(0)
        yield i


def test_counts_the_items(server: RecordingServer) -> None:
    assert list(track([5, 6, 7], "list", "pipeline", unit="things", project="p")) == [5, 6, 7]
    process_id = server.by_name("list")
    creation = server.creation(process_id)
    assert creation["progress"] == {"current": 0, "total": 3, "unit": "things"}
    assert (creation["type"], creation["project"]) == ("pipeline", "p")
    assert server.final(process_id)["status"] == "done"
    assert server.state(process_id)["progress"]["current"] == 3
    assert "summary" not in server.state(process_id)


def test_without_a_length_and_with_one_given(server: RecordingServer) -> None:
    list(track((i for i in range(4)), name="generator"))
    list(track((i for i in range(4)), name="given", total=4, current=10))
    unknown, given = server.by_name("generator"), server.by_name("given")
    server.final(unknown)
    server.final(given)
    assert "progress" not in server.creation(unknown)
    assert server.state(unknown)["progress"] == {"current": 4}
    assert server.state(given)["progress"] == {"current": 14, "total": 4, "initial": 10}


def test_the_name_is_that_of_the_script_by_default(server: RecordingServer, tmp_path: Path) -> None:
    path = tmp_path / "convert.py"
    path.write_text("from headway import track\nfor _ in track([1]): pass\n")
    subprocess.run([sys.executable, str(path)], env=script_environment(server.url, tmp_path), check=True, timeout=30)
    assert server.final(server.by_name("convert.py"))["status"] == "done"


@pytest.mark.parametrize(
    ("words", "name"),
    [(["-c", "CODE"], "python"), (["-"], "python"), ([], "python"), (["-m", "shop"], "shop"), (["shop"], "shop")],
    ids=["-c", "-", "a pipe", "a package", "a folder"],
)
@pytest.mark.parametrize(("loop", "unnamed"), [("headway", ""), ("headway.integrations.rich", ", ''")], ids=["track", "rich"])
def test_what_has_no_file_of_its_own_has_a_name_all_the_same(
    server: RecordingServer, tmp_path: Path, words: list[str], name: str, loop: str, unnamed: str
) -> None:
    code = f"from {loop} import track\nfor _ in track([1]{unnamed}): pass\n"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__main__.py").write_text(code)
    command = [sys.executable, *(code if word == "CODE" else word for word in words)]
    environ = script_environment(server.url, tmp_path / "spool")
    subprocess.run(command, env=environ, check=True, timeout=30, input=code, text=True, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert server.final(server.by_name(name))["status"] == "done"


def test_says_more_through_its_reporter(server: RecordingServer) -> None:
    for item in (steps := track(range(3), name="talks")):
        steps.log(f"item {item}")
        steps.update(stage=f"stage {item}")
    process_id = steps.reporter.id
    server.final(process_id)
    assert server.state(process_id)["log"] == ["item 0", "item 1", "item 2"]
    assert server.state(process_id)["stage"] == "stage 2"
    assert len(steps) == 3
    with pytest.raises(AttributeError):
        steps._nothing  # noqa: B018


def left(server: RecordingServer, name: str) -> tuple[str, str | None, str | None]:
    process_id = server.by_name(name)
    final = server.final(process_id)
    return final["status"], final.get("summary"), final.get("error")


def test_break_and_return_are_good_ends(server: RecordingServer) -> None:
    for item in track(range(10), name="break"):
        if item == 4:
            break

    def search() -> int | None:
        for item in track(iter(range(10)), name="return"):
            if item == 2:
                return item
        return None

    assert search() == 2
    assert left(server, "break") == ("done", "left after 4 of 10", None)
    assert left(server, "return") == ("done", "left after 2", None)


def test_an_exception_in_the_loop_is_a_failure(server: RecordingServer) -> None:
    with pytest.raises(ZeroDivisionError):
        for item in track(range(10), name="raises"):
            1 // (3 - item)
    with pytest.raises(ValueError, match="raised"):
        for item in track(range(10), name="raises itself"):
            if item == 3:
                raise ValueError("raised")
    for name in ("raises", "raises itself"):
        assert left(server, name) == ("failed", None, "an exception ended the loop: left after 3 of 10")


def test_an_exception_of_the_iterable_is_named(server: RecordingServer) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(track(broken(), name="broken"))
    assert left(server, "broken") == ("failed", None, "OSError: disk gone")


def test_a_summary_of_the_script_is_kept(server: RecordingServer) -> None:
    for _ in (steps := track(range(10), name="said")):
        steps.update(summary="found it")
        break
    server.final(steps.reporter.id)
    assert server.state(steps.reporter.id)["summary"] == "found it"


def test_as_a_context_an_exception_is_named(server: RecordingServer) -> None:
    with pytest.raises(LookupError), track(range(10), name="context") as steps:
        for item in steps:
            if item == 3:
                raise LookupError("no such step")
    assert left(server, "context") == ("failed", None, "LookupError: no such step")


def test_the_exception_that_ends_the_script_is_named(server: RecordingServer, tmp_path: Path) -> None:
    code = "from headway import track\nfor item in track(range(10), name='{0}', id='{0}'):\n    if item == 3: {1}"
    run_script(code.format("raises", "raise ValueError('x')"), server, tmp_path)
    run_script(code.format("breaks", "break"), server, tmp_path)
    run_script("import sys\n" + code.format("exits", "sys.exit(2)"), server, tmp_path)
    run_script(code.format("interrupted", "raise KeyboardInterrupt"), server, tmp_path)
    assert left(server, "raises") == ("failed", None, "ValueError: x")
    assert left(server, "breaks") == ("done", "left after 3 of 10", None)
    assert left(server, "exits") == ("failed", None, "ended with exit code 2")
    assert left(server, "interrupted") == ("cancelled", None, "KeyboardInterrupt")


def test_cancel(server: RecordingServer) -> None:
    server.cancel.add("cancel-me")
    end = time.monotonic() + 20
    with pytest.raises(Cancelled):
        for _ in track(iter(lambda: time.monotonic() > end, True), name="cancel", id="cancel-me", raise_on_cancel=True):
            pass
    assert left(server, "cancel") == ("cancelled", None, "cancel was requested")


def test_async_for(server: RecordingServer) -> None:
    async def main() -> list[int]:
        seen = [item async for item in track(numbers(5), name="async", total=5)]
        async for item in track(numbers(10), name="async break", total=10):
            if item == 4:
                break
        with pytest.raises(ZeroDivisionError):
            async for item in track(numbers(10), name="async raises", total=10):
                1 // (3 - item)
        return seen

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert left(server, "async") == ("done", None, None)
    assert server.state(server.by_name("async"))["progress"]["current"] == 5
    assert left(server, "async break") == ("done", "left after 4 of 10", None)
    assert left(server, "async raises") == ("failed", None, "an exception ended the loop: left after 3 of 10")


def test_async_cancellation(server: RecordingServer) -> None:
    async def slow() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)
        yield 2

    async def work() -> None:
        async for _ in track(slow(), name="async cancelled"):
            pass

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.to_thread(server.by_name, "async cancelled")
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert left(server, "async cancelled")[0] == "cancelled"


def test_loops_in_loops(server: RecordingServer) -> None:
    for _ in track(range(2), name="outer"):
        for _ in track(range(3), name="inner"):
            pass
    wait_until(lambda: len([i for i in server.items if i.get("status") == "done"]) == 3, what="three ends")
