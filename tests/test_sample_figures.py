"""Figures of OS processes, from the sampler to whoever reads them: API, command line, metrics."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from cli import headway
from headway import Client
from running import RunningExporter, Starter
from waiting import wait_until

FAMILY = "headway_process_proportional_memory_bytes"


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["/bin/sleep", "120"]) as child:
        yield child.pid
        child.kill()


def page(exporter: RunningExporter) -> str:
    with urllib.request.urlopen(f"{exporter.url}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def test_the_state_of_the_os_process(shared_exporter: RunningExporter, sleeper: int) -> None:
    client = Client(shared_exporter.url, shared_exporter.key)
    client.create(name="sleeps", id="state", pid=sleeper)
    client.create(name="elsewhere", id="no-state")

    def state() -> str | None:
        found: str | None = client.get("state")["os_state"]
        return found

    wait_until(lambda: state() == "sleeping", what="asleep")
    os.kill(sleeper, signal.SIGSTOP)
    wait_until(lambda: state() == "stopped", what="stopped")
    assert re.search(r"\n  OS state +stopped\n", headway("show", "state", environ=shared_exporter.client_env).stdout)
    assert ("OS state", "stopped") in facts_on_page(f"{shared_exporter.url}/processes/state")
    os.kill(sleeper, signal.SIGCONT)
    wait_until(lambda: state() == "sleeping", what="asleep again")
    assert client.list(name="sleeps")[0]["os_state"] == "sleeping"
    assert client.get("no-state")["os_state"] is None
    client.update("state", status="done")
    assert state() is None, "it is over"


def facts_on_page(url: str) -> list[tuple[str, str]]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        found = re.findall(r"<dt[^>]*>(.*?)</dt>\s*<dd[^>]*>(.*?)</dd>", answer.read().decode(), re.DOTALL)
        return [(label, re.sub(r"<[^>]*>", "", text)) for label, text in found]


def test_proportional_memory_is_there_when_asked_for(start_exporter: Starter, sleeper: int) -> None:
    exporter = start_exporter("--sample-interval", "0.2", "--memory-pss", "true")
    client = Client(exporter.url, exporter.key)
    client.create(name="sleeps", id="sleeps", pid=sleeper)
    found = wait_until(lambda: client.get("sleeps")["proportional_memory_bytes"], what="a sample of it")
    assert 0 < found < client.get("sleeps")["memory_bytes"]
    wait_until(lambda: f'{FAMILY}{{id="sleeps"' in page(exporter), what="its series")
    shown = headway("show", "sleeps", environ=exporter.client_env).stdout
    memory, *_ = [line for line in shown.splitlines() if line.strip().startswith("memory")]
    assert memory.endswith("with what is shared divided)")


def test_proportional_memory_is_off_by_default(shared_exporter: RunningExporter, sleeper: int) -> None:
    client = Client(shared_exporter.url, shared_exporter.key)
    client.create(name="sleeps", id="sleeps-plainly", pid=sleeper)
    found = wait_until(lambda: client.get("sleeps-plainly"), what="it")
    wait_until(lambda: client.get("sleeps-plainly")["memory_bytes"], what="a sample of it")
    assert found["proportional_memory_bytes"] is None
    assert f"\n{FAMILY}{{" not in page(shared_exporter)
    assert "with what is shared divided" not in headway("show", "sleeps-plainly", environ=shared_exporter.client_env).stdout
