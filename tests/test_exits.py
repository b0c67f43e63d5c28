"""Exits that are noticed when they happen: real children on both event loops, and what the registry makes of them."""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import uvloop

from calling import Api
from headway.model import OSProcess
from headway.registry.watch import LAST_WORDS
from headway.sampler.base import identify
from headway.sampler.exits import ExitWatch
from headway.sampler.host import Row
from headway.sampler.linux_host import LinuxHost
from headway.samples import Exit, Sample
from registry_world import HOST, World, in_loop
from running import RunningExporter, Starter
from waiting import wait_until

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no pidfds")
KERNEL = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) if sys.platform == "linux" else (0, 0)
LOOPS: tuple[Callable[[], asyncio.AbstractEventLoop], ...] = (asyncio.new_event_loop, uvloop.new_event_loop)


class Notices:
    """What an ExitWatch tells, and when."""

    def __init__(self) -> None:
        self.exits: dict[str, tuple[Exit, float]] = {}

    def __call__(self, key: str, exit: Exit) -> None:
        assert key not in self.exits, "told twice"
        self.exits[key] = exit, time.monotonic()

    async def of(self, key: str) -> Exit:
        deadline = time.monotonic() + 30
        while key not in self.exits:
            assert time.monotonic() < deadline, f"the end of {key} was not noticed"
            await asyncio.sleep(0.005)
        return self.exits[key][0]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[object, object, None]], None]:
    def in_this_loop(work: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(work)

    return in_this_loop


Run = Callable[[Coroutine[object, object, None]], None]


@contextmanager
def child(script: str = "read x") -> Iterator[subprocess.Popen[str]]:
    made = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield made
    finally:
        made.kill()
        made.communicate()


def known(pid: int) -> OSProcess:
    process = identify(pid)
    assert process is not None
    return process


def pidfds() -> int:
    """How many pidfds this process has."""
    return sum("pidfd" in link for link in map(link_of, Path("/proc/self/fd").iterdir()))


def link_of(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


# ── real processes ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_our_child_is_noticed_with_its_signal_and_still_ours_to_wait_for(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with child() as process:
            assert watch.follow("p", known(process.pid))
            assert watch.exit_of("p") is None
            killed = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
            exit = await notices.of("p")
            assert notices.exits["p"][1] - killed < 1.0
            assert (exit.code, exit.signal, exit.known) == (None, signal.SIGTERM, True)
            assert abs(exit.at - time.time()) < 2.0
            assert watch.exit_of("p") == exit
            assert process.wait(30) == -signal.SIGTERM, "nobody took its status away"
        watch.close()

    run(work())


def test_our_child_is_noticed_with_its_code(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with child("read x; exit 7") as process:
            assert watch.follow("p", known(process.pid))
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
            exit = await notices.of("p")
            assert (exit.code, exit.signal) == (7, None) and str(exit) == "exited with code 7"
        watch.close()

    run(work())


def test_of_others_the_fact_is_known_and_the_code_where_the_kernel_tells(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with child('exec 3<&0; sh -c "read x; exit 7" <&3 & echo $!; wait; echo waited; read y') as parent:
            assert parent.stdout is not None and parent.stdin is not None
            pid = int(parent.stdout.readline())
            assert watch.follow("p", known(pid))
            parent.stdin.write("\n")
            parent.stdin.flush()
            await notices.of("p")
            assert parent.stdout.readline() == "waited\n"
            exit = watch.exit_of("p")
            assert exit is not None and exit.signal is None
            assert exit.code == (7 if KERNEL >= (6, 15) else None)
        watch.close()

    run(work())


def test_a_crowd_and_each_of_it_is_noticed_once(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with ExitStack() as stack:
            pids = [stack.enter_context(child()).pid for _ in range(50)]
            watch.keep({str(pid): known(pid) for pid in pids})
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                assert (await notices.of(str(pid))).signal == signal.SIGKILL
        watch.keep({})
        assert len(watch) == 0 and pidfds() == 0

    run(work())


def test_another_process_of_the_same_pid_is_not_followed(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with child() as process:
            right = known(process.pid)
            assert right.create_time is not None
            assert not watch.follow("reused", replace(right, create_time=right.create_time - 3600))
            assert not watch.follow("no create time", OSProcess(process.pid))
            assert pidfds() == 0 and len(watch) == 0
            with child() as other:
                assert watch.follow("other", known(other.pid))
                process.kill()
                process.wait(30)
                other.kill()
                await notices.of("other")
        assert notices.exits.keys() == {"other"}
        watch.close()

    run(work())


def test_one_that_is_gone_already_is_noticed_in_a_moment(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with child() as process:
            right = known(process.pid)
            process.kill()
            process.wait(30)
            assert watch.follow("p", right)
        assert not (await notices.of("p")).known and watch.exit_of("p") is not None
        watch.close()

    run(work())


def test_who_is_forgotten_is_not_told_of(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with child() as one, child() as other:
            watch.keep({"one": known(one.pid), "other": known(other.pid)})
            watch.keep({"other": known(other.pid)})
            assert pidfds() == 1 and watch.exit_of("one") is None
            one.kill()
            other.kill()
            await notices.of("other")
            assert notices.exits.keys() == {"other"}
            watch.close()
            assert pidfds() == 0

    run(work())


def test_a_key_that_means_another_process_now_follows_that(run: Run) -> None:
    async def work() -> None:
        notices = Notices()
        watch = ExitWatch(asyncio.get_running_loop(), notices)
        with child() as one, child() as other:
            assert watch.follow("p", known(one.pid)) and watch.follow("p", known(one.pid)) and watch.follow("p", known(other.pid))
            assert pidfds() == 1
            one.kill()
            one.wait(30)
            other.terminate()
            assert (await notices.of("p")).signal == signal.SIGTERM
        watch.close()

    run(work())


def test_without_pidfds_and_over_the_limit_nobody_is_followed_and_nothing_fails() -> None:
    def none_here(_: int) -> int:
        raise OSError("this system has no pidfds")

    async def work() -> None:
        notices = Notices()
        loop = asyncio.get_running_loop()
        with child() as one, child() as other:
            watch = ExitWatch(loop, notices, open_pidfd=none_here)
            watch.keep({"one": known(one.pid)})
            assert len(watch) == 0 and watch.exit_of("one") is None
            watch = ExitWatch(loop, notices, limit=1)
            assert watch.follow("one", known(one.pid)) and not watch.follow("other", known(other.pid))
            watch.forget("one")
            assert watch.follow("other", known(other.pid))
            watch.close()

    asyncio.run(work())


def test_no_descriptor_left_to_look_with_means_not_followed() -> None:
    class Blind(LinuxHost):
        def row(self, pid: int) -> Row | None:
            raise OSError(errno.EMFILE, "Too many open files")

    async def work() -> None:
        with child() as process:
            watch = ExitWatch(asyncio.get_running_loop(), Notices(), host=Blind())
            assert not watch.follow("p", known(process.pid)) and pidfds() == 0

    asyncio.run(work())


# ── what the registry makes of it ───────────────────────────────────────────────────────────────────────────────────


def tracked() -> tuple[World, dict[str, Exit]]:
    world, exits = World(), dict[str, Exit]()
    world.watch.exit_of = exits.get
    world.create(id="p", pid=4711, create_time=1000.0)
    world.registry.entries["p"].process = replace(
        world.registry.entries["p"].process,
        spec=replace(world.registry.entries["p"].process.spec, host=HOST.name, os_process=OSProcess(4711, 1000.0)),
    )
    return world, exits


def end(world: World, exits: dict[str, Exit], **how: int) -> float:
    at = world.clock()
    exits["p"] = Exit(at=at, **how)
    world.watch.exited("p", exits["p"])
    return at


@in_loop
async def test_last_words_are_waited_for_from_the_exit_on() -> None:
    world, exits = tracked()
    at = end(world, exits, signal=9)
    world.clock.now += LAST_WORDS - 0.1
    world.watch.apply({"p": Sample(at=world.clock(), alive=False)})
    assert world.status("p").active
    world.clock.now += 0.2
    world.watch.apply({"p": Sample(at=world.clock(), alive=False)})
    process = world.registry.entries["p"].process
    assert process.status.value == "orphaned" and process.finished_at == at
    assert process.error == "its OS process is gone: ended by SIGKILL; it never said how it ended"


@in_loop
async def test_last_words_that_arrive_decide() -> None:
    world, exits = tracked()
    end(world, exits)
    world.clock.now += 1
    world.update("p", status="done")
    world.clock.now += LAST_WORDS
    world.watch.apply({"p": Sample(at=world.clock(), alive=False)})
    world.watch.exited("p", exits["p"])
    assert world.status("p").value == "done"


@in_loop
async def test_a_sample_from_before_the_exit_does_not_bring_it_back() -> None:
    world, exits = tracked()
    at = end(world, exits)
    world.watch.apply({"p": Sample(at=at, alive=True)})
    assert world.registry.entries["p"].gone_since == at
    exits.clear()
    world.watch.apply({"p": Sample(at=at, alive=True)})
    assert world.registry.entries["p"].gone_since is None, "without pidfds a sample is all there is"


@in_loop
async def test_a_zombie_is_not_orphaned_before_it_is_gone() -> None:
    world, exits = tracked()
    end(world, exits)
    for _ in range(10):
        world.clock.now += 2
        world.watch.apply({"p": Sample(at=world.clock(), alive=True, zombie_since=world.clock())})
        assert world.status("p").active


# ── a real exporter ─────────────────────────────────────────────────────────────────────────────────────────────────


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_the_end_is_dated_when_it_happened_not_when_it_was_sampled(start_exporter: Starter) -> None:
    exporter: RunningExporter = start_exporter("--sample-interval", "3")
    api = Api(exporter)
    with child() as process:
        os_process = known(process.pid)
        assert os_process.create_time is not None
        api.create(id="dies", pid=process.pid, create_time=os_process.create_time)
        wait_until(lambda: api.get("dies")["memory_bytes"], what="a sample of it")
        killed = time.time()
        process.kill()
        process.wait(30)
    wait_until(lambda: api.get("dies")["status"] == "orphaned", timeout=30, what="its orphaning")
    assert abs(seconds_of(api.get("dies")["finished_at"]) - killed) < 1.0
    if KERNEL >= (6, 15):
        assert "SIGKILL" in api.get("dies")["error"]
