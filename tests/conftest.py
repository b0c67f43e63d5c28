"""Fixtures: running exporters, ended after the test."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Benchmarks are no installed package: they work from the clone.
sys.path.insert(0, str(Path(__file__).parent.parent))
from calling import Api
from osprocesses import Started, starting
from recording_server import RecordingServer, recording_server
from reporting import fresh_hub
from running import RunningExporter, Starter
from serving import Serve, Serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# A shell that runs the tests in the background lets them ignore these, nohup the last, and so all that they start.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture
def start_exporter(tmp_path: Path) -> Iterator[Starter]:
    """Starts an exporter with the given flags (and environment); all of them are ended after the test."""
    started: list[RunningExporter] = []

    def start(*args: str, data_dir: Path | None = None, **environ: str) -> RunningExporter:
        exporter = RunningExporter(data_dir or tmp_path / f"exporter{len(started)}", args, environ)
        started.append(exporter)
        return exporter.start()

    yield start
    for exporter in started:
        if exporter.process is not None:
            exporter.kill()


@pytest.fixture
def exporter(start_exporter: Starter) -> RunningExporter:
    """An exporter with default settings and a quick sample interval."""
    return start_exporter("--sample-interval", "0.2")


@pytest.fixture
def admin(exporter: RunningExporter) -> Api:
    """Calls of an admin of an exporter of the test's own: a scope reaches everything that an exporter knows."""
    return Api(exporter, exporter.key)


@pytest.fixture
def start() -> Iterator[Started]:
    """Starts scripts with children of their own; none of them outlives the test."""
    with starting() as started:
        yield started


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts an exporter with these services; everything is ended after the test."""
    serving = Serving(tmp_path)
    yield lambda services: serving.start(services)
    serving.end()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RecordingServer]:
    """What stands in for an exporter, and the reporters of this OS process speak to it."""
    with recording_server() as started, fresh_hub(monkeypatch, started.url, tmp_path / "spool"):
        yield started


@pytest.fixture(scope="session")
def shared_exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    """One exporter for tests that do not mind each other's processes."""
    exporter = RunningExporter(tmp_path_factory.mktemp("shared") / "data", ("--sample-interval", "0.2")).start()
    yield exporter
    exporter.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real one for the tests of a module. Not for longer: while Playwright runs, no other test has an event loop of its own."""
    from browsing import chromium

    with chromium() as found:
        yield found
