"""Servers that nobody called daemons: what of a real tree says that it is one, and what follows from that."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from calling import Api
from cli import headway, surroundings
from headway.registry.derive import limits_of, serves_of
from headway.sampler.serving import serving
from headway.samples import Sample
from headway.settings import ThresholdRule
from registry_world import World, in_loop
from running import Starter
from waiting import wait_until

LISTENS = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
    "print('serves', s.getsockname()[1], flush=True); time.sleep(600)"
)


@pytest.fixture
def port() -> int:
    """One that the system does not give out by itself, free a moment ago."""
    for number in range(23000, 32000, 7):
        try:
            socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return number
    raise AssertionError("no port is free")


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def begin(*command: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(child)
        assert child.stdout is not None and "serves" in child.stdout.readline()
        return child

    yield begin
    for child in started:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(30)


def tree(root: int) -> list[int]:
    """Its pids, the root first."""
    found = [root]
    for pid in found:
        try:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            continue
    return found


def test_what_listens_on_a_chosen_port_and_is_all_there_is_is_a_server(port: int, run: Callable[..., Any]) -> None:
    child = run(sys.executable, "-c", LISTENS, str(port))
    assert serving({"a": [child.pid], "b": [1], "gone": [2**22 - 1]}) == {"a": port}


def test_who_started_it_and_what_it_started_are_part_of_it(port: int, run: Callable[..., Any]) -> None:
    workers = LISTENS.replace("time.sleep(600)", "import os; os.fork(); time.sleep(600)")
    child = run("sh", "-c", f'"{sys.executable}" -c "$0" {port}; true', workers)
    wait_until(lambda: len(tree(child.pid)) == 3, 30, "shell, server, worker")
    assert serving({"a": tree(child.pid)}) == {"a": port}


def test_a_script_with_a_server_beside_it_is_none(port: int, run: Callable[..., Any]) -> None:
    child = run("sh", "-c", f'sleep 600 & "{sys.executable}" -c "$0" {port}; true', LISTENS)
    wait_until(lambda: len(tree(child.pid)) == 3, 30, "shell, sleep, server")
    assert serving({"a": tree(child.pid)}) == {}


def test_a_port_that_the_system_gave_is_nobodys_choice(run: Callable[..., Any]) -> None:
    child = run(sys.executable, "-c", LISTENS, "0")
    assert serving({"a": [child.pid]}) == {}


# ── in the registry ─────────────────────────────────────────────────────────────────────────────────────────────────


def silent(world: World, *, cpu: float = 0.01, **given: Any) -> list[str]:
    """Who is suspected when a process that wrote something once has been silent for 56 s."""
    world.create(id="a", **given)
    world.update("a", log="Serving")
    return passing(world, 56, cpu)


def passing(world: World, seconds: int, cpu: float = 0.01) -> list[str]:
    """In steps: a jump would be a machine that slept."""
    for _ in range(seconds // 2):
        world.clock.now += 2
        world.watch.apply({"a": Sample(at=world.clock.now, alive=True, cpu_ratio=cpu)})
        world.watch.evaluate()
    return world.watch.servers.suspects()


def threshold(world: World) -> float | None:
    return limits_of(world.registry.entries["a"], world.registry.settings).stuck_after


@in_loop
async def test_a_silence_is_looked_into_once_and_a_server_has_no_threshold() -> None:
    world = World(stuck_after=60.0)
    assert silent(world) == ["a"]
    assert passing(world, 2) == [], "once"
    version = world.registry.feed.version
    world.watch.servers.apply({"a": 8000, "faded": 1})
    assert world.registry.feed.version > version and threshold(world) is None
    assert passing(world, 100) == []
    assert world.registry.entries["a"].conditions == ()
    assert world.registry.view(world.registry.entries["a"]).serves == 8000
    world.update("a", progress={"current": 1})
    assert threshold(world) == 60.0 and serves_of(world.registry.entries["a"]) is None, "who counts is no server"


@in_loop
async def test_what_is_no_server_is_looked_at_again_when_it_falls_silent_again() -> None:
    world = World(stuck_after=60.0)
    assert silent(world) == ["a"]
    assert passing(world, 10) == []
    assert [one.condition for one in world.registry.entries["a"].conditions] == ["stuck"]
    world.update("a", log="more")
    assert passing(world, 52) == []
    assert passing(world, 4) == ["a"]


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({}, {"type": "pipeline"}),
        ({}, {"type": "daemon"}),
        ({}, {"progress": {"total": 5}}),
        ({}, {"thresholds": {"stuck_after": 60}}),
        ({}, {"cpu": 0.9}),
        ({"threshold_rules": (ThresholdRule(name="job", kind=None, values={"stuck_after": 60.0}),)}, {}),
        ({"stuck_after": 120.0}, {}),
    ],
)
@in_loop
async def test_who_is_not_suspected(settings: dict[str, Any], given: dict[str, Any]) -> None:
    assert silent(World(**({"stuck_after": 60.0} | settings)), **given) == []


# ── a real one ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_under_headway_run_is_not_stuck(start_exporter: Starter, tmp_path: Path, port: int) -> None:
    exporter = start_exporter("--stuck-after", "6s", "--sample-interval", "0.5s")
    api = Api(exporter, exporter.key)
    environ = {**surroundings(), **exporter.environ_of_runs(tmp_path)}

    def begin(process_id: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "headway", "run", "--id", process_id, "--quiet", "--", sys.executable, "-u", *words]
        return subprocess.Popen(command, env=environ, cwd=tmp_path, stdin=subprocess.DEVNULL)

    server = begin("server", "-m", "http.server", str(port), "--bind", "127.0.0.1")
    wait_until(lambda: said(api, "server"), 60, "its first line")
    hangs = begin("hangs", "-c", "import time; print('begun'); time.sleep(600)")
    try:
        wait_until(lambda: said(api, "hangs") and api.get("hangs")["conditions"], 60, "what began after it is stuck")
        found = api.get("server")
        assert found["conditions"] == [] and found["serves_port"] == port and found["thresholds"]["stuck_after"] is None
        assert api.get("hangs")["serves_port"] is None and api.get("hangs")["thresholds"]["stuck_after"] == 6
        page = api.raw("GET", "/metrics").text
        assert 'stuck_threshold_seconds{id="hangs"' in page and 'stuck_threshold_seconds{id="server"' not in page
        assert f"off: it only waits for callers on port {port}" in headway("show", "server", environ=environ).stdout
        assert f"never: it only waits for callers on port {port}" in api.raw("GET", "/processes/server").text
    finally:
        for child in (server, hangs):
            child.terminate()
            child.wait(30)


def said(api: Api, process_id: str) -> bool:
    status, body = api.request("GET", f"/api/processes/{process_id}")
    return status == 200 and bool(body["data"]["log_tail"])
