"""What processes used stays under their names: it never falls, counts once, and survives whatever becomes of the exporter."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import Client
from headway.errors import InvalidInput, StoreUnavailable
from headway.metrics.totals import NameTotals
from headway.model import DISCOVERED_BY, Kind, Status
from headway.names import NameStats
from headway.registry.marks import LEAST_BYTES, LEAST_CPU, STARTUP
from headway.registry.using import UseWatch
from headway.samples import Sample
from headway.schemas.decoding import decode
from headway.schemas.reports import UpdateIn
from headway.store.codec import decode_name, decode_process, encode_process
from headway.turns import at_once
from headway.used import NOTHING, Used
from osprocesses import Started
from registry_world import START, World, in_loop
from running import RunningExporter, Starter
from small_disk import small_disk
from waiting import wait_until


def used(world: World, name: str = "job", kind: Kind = Kind.TASK) -> Used:
    return world.registry.totals.names[name, kind].used


def sampled(world: World, cpu: float, *ids: str, read: int | None = 0, written: int | None = 0) -> None:
    """All of them at this reading."""
    at = world.clock.now
    sample = Sample(at=at, alive=True, cpu_seconds=cpu, io_read_bytes=read, io_written_bytes=written)
    world.watch.apply(dict.fromkeys(ids, sample))


def count(world: World, **given: bool) -> None:
    at_once(UseWatch(world.registry, world.writer).counting(**given))


def restarted(world: World) -> World:
    """Another exporter that reads what this one had handed in to be durable; whatever was written behind is lost."""
    after = World(max_names=world.registry.settings.max_names)
    after.clock.now = world.clock.now
    processes = {process.id: decode_process(process.id, encode_process(process)) for process in world.writer.processes}
    names = {(stats.name, stats.kind): stats for stats in world.writer.names}
    after.writer.processes, after.writer.names = list(processes.values()), list(names.values())
    active = [process for process in processes.values() if process.status.active]
    after.registry.load(active, names.values(), {}, lambda _: ())
    return after


# ── from where on, and up to where ──────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_what_a_run_used_counts_while_it_runs_and_the_rest_at_its_end() -> None:
    world = World()
    world.create(id="a", pid=7, create_time=START - 2)
    assert used(world) == NOTHING, "there from 0 on"
    sampled(world, 3.0, "a", read=1 << 20, written=1 << 17)
    count(world)
    assert used(world) == Used(3.0, 1 << 20, 1 << 17)
    sampled(world, 3.0 + LEAST_CPU / 2, "a", read=(1 << 20) + LEAST_BYTES - 1, written=1 << 17)
    writes = len(world.writer.processes)
    count(world)
    assert len(world.writer.processes) == writes, "so little is not worth a write"
    world.update("a", status="done")
    assert used(world) == Used(3.0 + LEAST_CPU / 2, (1 << 20) + LEAST_BYTES - 1, 1 << 17), "the end counts it all"
    assert world.writer.names[-1].used == used(world) and world.writer.names[-1].finished[Status.DONE] == 1, "in one transaction"


@in_loop
async def test_tokens_count_too_wherever_the_process_runs() -> None:
    world = World()
    world.create(id="far", host="elsewhere", metadata={"tokens": {"input": 100, "output": 10}})
    count(world)
    world.update("far", metadata={"tokens": {"input": 250}})
    count(world)
    assert used(world) == Used(tokens_input=250, tokens_output=10)
    world.update("far", metadata={"tokens": {"input": 40, "output": 30}})
    count(world)
    assert used(world) == Used(tokens_input=250, tokens_output=30), "a sum that began anew takes nothing away"
    world.update("far", status="failed", metadata={"tokens": {"input": 60, "output": 30}})
    assert used(world) == Used(tokens_input=270, tokens_output=30)


@in_loop
async def test_runs_one_after_the_other_in_one_os_process_count_their_own_part() -> None:
    """A worker that takes jobs: each run reports the pid of the worker."""
    world = World()
    worker = {"pid": 7, "create_time": START - 10}
    readings = iter((5.0, 8.0, 11.0, 13.0))
    for n in range(2):
        world.create(id=f"run{n}", **worker)
        sampled(world, next(readings), f"run{n}")
        sampled(world, next(readings), f"run{n}")
        world.update(f"run{n}", status="done")
    assert used(world).cpu_seconds == 8.0 + 2.0, "with what the worker used to start, which is young"
    world.clock.now += 2 * STARTUP + 11
    world.create(id="late", name="late", pid=8, create_time=START)
    sampled(world, 100.0, "late")
    sampled(world, 104.0, "late")
    world.update("late", status="done")
    assert used(world, "late").cpu_seconds == 4.0, "an old worker did something else before"


@in_loop
async def test_runs_of_one_name_at_the_same_time_in_one_os_process_count_once() -> None:
    """Threads of a script, each with a run of its own."""
    world = World()
    for n in range(4):
        world.create(id=f"thread{n}", pid=7, create_time=START)
    sampled(world, 2.0, *(f"thread{n}" for n in range(4)))
    count(world)
    sampled(world, 6.0, *(f"thread{n}" for n in range(4)))
    for n in range(3):
        world.update(f"thread{n}", status="done")
    after = restarted(world)
    sampled(after, 9.0, "thread3")
    after.update("thread3", status="done")
    assert used(world).cpu_seconds == 6.0
    assert 9.0 <= used(after).cpu_seconds <= 13.0, "what ended since the last count may count twice after a kill, and no more"


@in_loop
async def test_what_a_process_used_before_it_was_found_does_not_count() -> None:
    world = World()
    found: dict[str, Any] = {"type": "daemon", "metadata": {DISCOVERED_BY: "rule"}}
    world.create(id="old", name="old", pid=7, create_time=START - 86_400, started_age=86_400, **found)
    world.create(id="young", name="new", pid=8, create_time=START - 5, started_age=5, **found)
    world.create(id="reported", name="reported", pid=9, create_time=START - 600, started_age=590)
    sampled(world, 500.0, "old", "young", "reported")
    sampled(world, 502.0, "old", "young", "reported")
    count(world)
    daemon = Kind.DAEMON
    assert used(world, "old", daemon).cpu_seconds == 2.0
    assert used(world, "new", daemon).cpu_seconds == 502.0, "it began while we were looking"
    assert used(world, "reported").cpu_seconds == 502.0, "its report came late, as after a stop of the exporter"


# ── what a reporter says at the end ─────────────────────────────────────────────────────────────────────────────────

TOLD = {"cpu_seconds": 1.5, "io_read_bytes": 4096, "io_written_bytes": 512}


@in_loop
async def test_of_one_that_was_never_sampled_what_its_reporter_says_counts() -> None:
    world = World()
    for process_id, more in (("short", {"pid": 7, "create_time": START}), ("far", {"host": "elsewhere"})):
        world.create(id=process_id, name=process_id, metadata={"tokens": {"input": 5}}, **more)
        ended = world.update(process_id, status="failed", used=TOLD)
        assert used(world, process_id) == Used(1.5, 4096, 512, tokens_input=5)
        assert ended.usage is not None and ended.usage.cpu_seconds == 1.5, "and it is shown"
        world.update(process_id, status="failed", used=TOLD, log="said once more")
        assert used(world, process_id) == Used(1.5, 4096, 512, tokens_input=5)
    world.create(id="little", name="little")
    world.update("little", status="done", used={})
    assert used(world, "little") == NOTHING


@in_loop
@pytest.mark.parametrize(("cpu", "read", "expected"), [(1.0, 0, Used(1.5, 4096, 512)), (2.0, 9000, Used(2.0, 9000, 512))])
async def test_of_what_was_sampled_and_what_is_said_the_larger_counts(cpu: float, read: int, expected: Used) -> None:
    """The last moment is not sampled; who was left behind by its parent is not known to that."""
    world = World()
    world.create(id="a", pid=7, create_time=START)
    sampled(world, cpu, "a", read=read)
    count(world)
    ended = world.update("a", status="done", used=TOLD)
    assert used(world) == expected
    assert ended.usage is not None and ended.usage.cpu_seconds == expected.cpu_seconds


@in_loop
async def test_what_is_said_does_not_count_twice_where_it_is_not_known_what_was_counted() -> None:
    world = World()
    # Its name shares the OS process, which is counted from a later moment on.
    world.create(id="old", pid=7, create_time=START - 10 * STARTUP)
    sampled(world, 100.0, "old")
    sampled(world, 101.0, "old")
    world.update("old", status="done", used={"cpu_seconds": 102.0})
    assert used(world).cpu_seconds == 1.0
    # Another exporter does not see children that ended before; it goes on from what it sees.
    world.create(id="b", name="b", pid=8, create_time=START)
    sampled(world, 50.0, "b")
    count(world)
    after = restarted(world)
    sampled(after, 20.0, "b")
    after.clock.now += 10
    sampled(after, 21.0, "b")
    count(after)
    before = used(after, "b").cpu_seconds
    after.update("b", status="done", used={"cpu_seconds": 60.0})
    assert used(after, "b").cpu_seconds == before
    # The same where another run shares its OS process, of which nothing was counted.
    world.create(id="d", name="shared", pid=10, create_time=START)
    sampled(world, 50.0, "d")
    count(world)
    world.create(id="e", name="shared", pid=10, create_time=START)
    after = restarted(world)
    sampled(after, 20.0, "e", "d")
    after.update("e", status="done", used={"cpu_seconds": 60.0})
    assert used(after, "shared").cpu_seconds == 50.0
    # It ended while no exporter ran: what the first had counted is not known to be all until then.
    world.create(id="c", name="c", pid=9, create_time=START)
    sampled(world, 50.0, "c")
    count(world)
    after = restarted(world)
    after.update("c", status="done", used={"cpu_seconds": 60.0})
    assert used(after, "c").cpu_seconds == 50.0


@in_loop
async def test_what_is_said_at_an_end_that_cannot_be_stored_counts_when_it_can() -> None:
    world = World()
    world.writer.immediate = False
    for process_id in ("a", "b"):
        world.create(id=process_id, name=process_id, pid=7, create_time=START)
    sampled(world, 1.0, "a")
    world.writer.succeed()
    await asyncio.sleep(0)
    for _ in range(2):
        for process_id in ("a", "b"):
            world.update(process_id, status="done", used=TOLD)
            assert used(world, process_id).cpu_seconds == 1.5
        if not _:
            world.writer.fail(world.registry)
            assert used(world, "a") == used(world, "b") == NOTHING
            assert world.registry.entry("b").process.usage is None


@in_loop
async def test_what_was_used_is_said_with_the_end() -> None:
    world = World()
    world.create(id="a")
    for said in ({"used": TOLD}, {"used": TOLD, "status": "paused"}, {"used": TOLD, "log": "x"}):
        with pytest.raises(InvalidInput, match="used: belongs to the end; send it together with the final status"):
            world.update("a", **said)
    for wrong in ({"cpu_seconds": -1}, {"io_read_bytes": 1.5}, {"seconds": 1}, 7):
        with pytest.raises(InvalidInput, match="used"):
            world.update("a", status="done", used=wrong)
    assert world.status("a") is Status.RUNNING
    world.update("a", status="done")
    late = world.registry.update("a", decode(b'{"status": "done", "used": {"cpu_seconds": 9}}', UpdateIn))
    assert late.ignored is not None and late.ignored.fields == ("used",)
    assert used(world) == NOTHING


def test_a_run_that_is_over_at_once_counts(start_exporter: Starter) -> None:
    exporter = start_exporter("--sample-interval", "1h")
    with Client(exporter.url, exporter.key) as client:
        burn = "import os\nwhile sum(os.times()[:2]) < 0.3: pass"
        started = client.track([sys.executable, "-c", burn], name="Brief")
        found = wait_until(lambda: now if (now := client.get(started["id"]))["finished_at"] else None, what="its end") or {}
        assert 0.3 <= found["cpu_seconds"] < 3
        assert value(client, "Brief") == pytest.approx(found["cpu_seconds"])


@in_loop
async def test_who_waits_in_a_queue_uses_nothing() -> None:
    world = World()
    world.create(id="q", status="queued", pid=7, create_time=START)
    sampled(world, 4.0, "q")
    count(world)
    assert used(world) == NOTHING
    world.update("q", status="running", pid=8, create_time=START + 1)
    world.watch.roots()
    sampled(world, 1.5, "q")
    world.update("q", status="done")
    assert used(world).cpu_seconds == 1.5


@in_loop
async def test_who_was_lost_and_comes_back_does_not_count_twice() -> None:
    world = World(lease=30.0)
    world.create(id="far", host="elsewhere", metadata={"tokens_in": 100, "cost_dollars": 2.0})
    world.pass_by(100)
    assert world.status("far") is Status.ORPHANED and used(world).tokens_input == 100
    world.clock.now += 1
    world.update("far", progress={"current": 3})
    assert world.status("far") is Status.RUNNING
    count(world)
    world = restarted(world)
    world.update("far", status="done", metadata={"tokens_in": 130, "cost_dollars": 2.5})
    assert used(world).tokens_input == 130
    assert world.registry.totals.names["job", Kind.TASK].cost_dollars == 2.5
    assert world.registry.entries["far"].process.usage is None, "it cannot come back any more"


# ── another exporter, a full disk ───────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_another_exporter_goes_on_from_what_was_counted() -> None:
    world = World()
    world.create(id="a", pid=7, create_time=START - 86_400)
    sampled(world, 50.0, "a")
    sampled(world, 60.0, "a")
    count(world)
    after = restarted(world)
    sampled(after, 75.0, "a")
    count(after)
    assert used(after).cpu_seconds == 25.0, "what it used while no exporter ran counts too"


@in_loop
async def test_another_exporter_that_does_not_see_ended_children_loses_them_and_no_more() -> None:
    world = World()
    world.create(id="a", pid=7, create_time=START)
    sampled(world, 60.0, "a")
    count(world)
    after = restarted(world)
    sampled(after, 20.0, "a")
    count(after)
    sampled(after, 61.0, "a")
    count(after)
    assert used(after).cpu_seconds == 61.0, "the first samples of a tree may miss some"
    again = restarted(after)
    sampled(again, 20.0, "a")
    again.clock.now += 10
    count(again)
    sampled(again, 25.0, "a")
    count(again)
    assert used(again).cpu_seconds == 66.0


@in_loop
async def test_what_cannot_be_stored_is_not_shown_and_counts_later() -> None:
    world = World()
    world.create(id="a", pid=7, create_time=START)
    sampled(world, 5.0, "a")
    world.writer.immediate = False
    await asyncio.sleep(0)
    world.registry.totals.news()
    count(world)
    assert not world.registry.totals.news(), "not before it is durable"
    world.writer.fail(world.registry)
    assert used(world) == NOTHING and world.registry.entries["a"].process.usage is None
    world.update("a", status="done")
    world.writer.fail(world.registry)
    assert world.status("a") is Status.RUNNING and used(world) == NOTHING
    count(world)
    world.writer.succeed()
    await asyncio.sleep(0)
    assert [stats.used.cpu_seconds for stats in world.registry.totals.news()] == [5.0]
    world.writer.full = True
    sampled(world, 8.0, "a")
    with pytest.raises(StoreUnavailable):
        count(world)
    assert used(world).cpu_seconds == 5.0
    world.writer.full, world.writer.immediate = False, True
    world.update("a", status="done")
    assert used(world).cpu_seconds == 8.0


def test_names_without_a_place_are_added_up() -> None:
    shown = NameTotals(1)
    shown.put(NameStats(name="a", kind=Kind.TASK))
    total = NameStats(name="other", kind=Kind.TASK)
    for name, seconds in (("b", 5.0), ("b", 7.0), ("other", 1.0), ("c", 2.0), ("other", 3.0)):
        key, total = shown.put(NameStats(name=name, kind=Kind.TASK, used=Used(seconds, tokens_output=4)))
        assert key == ("other", Kind.TASK)
    assert total.used == Used(7.0 + 3.0 + 2.0, tokens_output=12)


# ── random histories ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class History:
    """An exporter, what it watches, and what a scrape saw last. `roots`: seconds of CPU by pid, which only grow."""

    world: World
    roots: dict[int, float] = field(default_factory=dict)
    runs: dict[str, tuple[str, int]] = field(default_factory=dict)
    shown: dict[tuple[str, Kind], Used] = field(default_factory=dict)
    names: NameTotals = field(default_factory=lambda: NameTotals(2))
    killed: bool = False

    def live(self) -> list[str]:
        return [i for i, entry in self.world.registry.entries.items() if entry.process.status.active]

    def sample(self) -> None:
        self.world.clock.now += 2
        for one in self.live():
            sampled(self.world, self.roots[self.runs[one][1]], one)

    async def scrape(self) -> None:
        await asyncio.sleep(0)
        for stats in self.world.registry.totals.news():
            key, total = self.names.put(stats)
            before = self.shown.get(key, NOTHING)
            assert before.above(total.used) == NOTHING, (key, before, total.used)
            self.shown[key] = total.used


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("work"), st.integers(0, 2), st.integers(1, 50)),
        st.tuples(st.sampled_from(["sample", "count", "stop", "kill", "full"]), st.just(0), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 5), st.booleans()),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_it_never_falls_and_is_never_more_than_was_used(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(play(steps))


async def play(steps: list[tuple[str, int, int]]) -> None:
    history = History(World(max_names=2))
    for number, (what, one, other) in enumerate(steps):
        world = history.world
        if what == "begin":
            history.roots.setdefault(other, 0.0)
            history.runs[f"run{number}"] = (f"name{one}", other)
            world.create(id=f"run{number}", name=f"name{one}", pid=100 + other, create_time=START + other)
        elif what == "work" and one in history.roots:
            history.roots[one] += other / 10
        elif what == "sample":
            history.sample()
        elif what == "count":
            count(world)
        elif what == "end" and (live := history.live()):
            if other:
                history.sample()
            world.update(live[one % len(live)], status="done")
        elif what == "full":
            world.writer.immediate = False
            await asyncio.sleep(0)
            count(world)
            if live := history.live():
                world.update(live[0], status="failed")
            world.writer.fail(world.registry)
            world.writer.immediate = True
        elif what in ("stop", "kill"):
            if what == "stop":
                count(world, everything=True)
            await history.scrape()
            history.killed |= what == "kill"
            history.world, history.names = restarted(world), NameTotals(2)
        await history.scrape()
    count(history.world)
    await history.scrape()
    names: dict[str, set[int]] = {}
    for name, root in history.runs.values():
        names.setdefault(name, set()).add(root)
    if not history.killed:
        for (name, _), total in history.shown.items():
            roots = set(history.roots) if name == "other" else names[name]
            most = sum(history.roots[root] for root in roots)
            assert total.cpu_seconds <= most + 1e-6, (name, total, most)


# ── real exporters ──────────────────────────────────────────────────────────────────────────────────────────────────

WORK = """
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(0))
signal.signal(signal.SIGUSR2, lambda *_: burn(time.process_time() + 0.6))
say("ready")
def burn(seconds):
    while time.process_time() < seconds:
        pass
burn(float(sys.argv[1]) if len(sys.argv) > 1 else 0.6)
rest()
"""


def value(client: Client, name: str, family: str = "headway_cpu_seconds_total", labels: str = "") -> float:
    """The one series of this name; -1 where there is none."""
    start = f'{family}{{name="{name}",'
    found = [line for line in client.metrics().splitlines() if line.startswith(start) and labels in line]
    assert len(found) < 2, found
    return float(found[0].rsplit(" ", 1)[1]) if found else -1.0


def test_records_of_an_older_version_are_read() -> None:
    assert decode_name('{"name": "n", "kind": "task", "cost_dollars": 2.5}') == NameStats(
        name="n", kind=Kind.TASK, cost_dollars=2.5
    )


def test_it_outlasts_a_kill_of_the_exporter_and_what_it_does_not_know_of(exporter: RunningExporter, start: Started) -> None:
    """The end of the process is seen by the next exporter; what was shown before must be there."""
    script = start(WORK)
    with Client(exporter.url, exporter.key) as client:
        run = client.create("Burn", "task", pid=script.pid)
        assert value(client, "Burn") == 0.0
        shown = wait_until(lambda: max(0.0, value(client, "Burn")), what="CPU time that counts while it runs")
        assert 0.3 < shown < 2.0
        exporter.kill()
        script.child.kill()
        script.child.wait(30)
        exporter.start()
        assert value(client, "Burn") >= shown, "at once, before any sample"
        wait_until(lambda: client.get(run["id"])["status"] == "orphaned", what="the end")
        assert shown <= value(client, "Burn") < shown + 1.0


def test_it_counts_at_the_stop_of_the_exporter_and_goes_on_with_the_next(exporter: RunningExporter, start: Started) -> None:
    script = start(WORK)
    with Client(exporter.url, exporter.key) as client:
        run = client.create("Burn", "task", pid=script.pid)
        used = wait_until(
            lambda: seconds if (seconds := client.get(run["id"])["cpu_seconds"] or 0.0) >= 0.5 else None,
            what="nearly all of its work",
        )
        exporter.restart()
        assert value(client, "Burn") == pytest.approx(used, abs=0.15)
        wait_until(lambda: client.get(run["id"])["cpu_seconds"], what="a sample")
        client.update(run["id"], status="done")
        assert value(client, "Burn") == pytest.approx(used, abs=0.15), "not twice"


def test_on_a_full_disk_it_stands_still_and_counts_what_it_missed(start_exporter: Starter, start: Started, tmp_path: Path) -> None:
    script = start(WORK)
    with small_disk(tmp_path / "disk") as disk:
        exporter = start_exporter("--sample-interval", "0.2", data_dir=disk.path / "data")
        with Client(exporter.url, exporter.key) as client:
            run = client.create("Burn", "task", pid=script.pid)
            shown = wait_until(lambda: max(0.0, value(client, "Burn")), what="its work, counted")
            disk.fill()
            os.kill(script.pid, signal.SIGUSR2)
            wait_until(lambda: "could not be stored" in "".join(exporter.output), what="a count that fails")
            assert client.get(run["id"])["cpu_seconds"] > shown + 0.4
            assert value(client, "Burn") == shown
            disk.make_room()
            wait_until(lambda: value(client, "Burn") > shown + 0.4, what="all of its work, counted")
            assert value(client, "Burn") < shown + 1.2, "once"
        exporter.stop()


def test_of_what_a_rule_finds_nothing_is_lost_when_one_of_two_ends(start_exporter: Starter, start: Started, tmp_path: Path) -> None:
    """As a group of process-exporter; and all that docs/coming-from.md says instead of its metrics is there."""
    mark = f"burning-{time.time_ns()}"
    file = tmp_path / "headway.yaml"
    file.write_text(
        "sample_interval: 200ms\ndiscovery_interval: 200ms\nmemory_pss: true\n"
        f"discover:\n  burning: {{command: {mark}, name: Burn}}\n"
    )
    exporter = start_exporter("--config", str(file))
    scripts = [start(WORK, seconds, mark, ready=True) for seconds in ("0.4", "0.8")]
    with Client(exporter.url, exporter.key) as client:

        def spent() -> float:
            return sum(one["cpu_seconds"] or 0.0 for one in client.list(name="Burn"))

        wait_until(lambda: spent() >= 1.05, what="both, and their work")
        wait_until(lambda: value(client, "Burn") >= 1.0, what="their work, counted")
        both = value(client, "Burn")
        page = client.metrics()
        there = Path("docs/coming-from.md").read_text(encoding="utf-8").partition("## process-exporter")[2].partition("\n## ")[0]
        for family in re.findall(r"\bheadway_\w+", there):
            assert f"\n{family}{{" in page, family
        os.kill(scripts[0].pid, signal.SIGUSR1)
        scripts[0].child.wait(30)
        wait_until(lambda: len(client.list(name="Burn")) == 1, what="the end of one")
        assert spent() < 1.0, "what lives used less"
        after = value(client, "Burn")
        assert both <= after < both + 0.5
        os.kill(scripts[1].pid, signal.SIGUSR1)
        scripts[1].child.wait(30)
        wait_until(lambda: not client.list(name="Burn"), what="the end of all")
        assert value(client, "Burn") >= after
