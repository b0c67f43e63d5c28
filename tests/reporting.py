"""What the reporter's tests share: a fresh hub in this process, and scripts in children."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headway.reporter import hub as hub_module
from recording_server import RecordingServer

INTERVAL = "0.05"


@contextmanager
def fresh_hub(monkeypatch: pytest.MonkeyPatch, url: str, spool: Path) -> Iterator[None]:
    """Reporters of this process send to `url` quickly, from a thread of their own that ends afterwards."""
    for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADWAY_URL", url)
    monkeypatch.setenv("HEADWAY_SPOOL", str(spool))
    monkeypatch.setenv("HEADWAY_INTERVAL", INTERVAL)
    hub = hub_module.Hub()
    monkeypatch.setattr(hub_module, "_hub", hub)
    yield
    hub.reporters.clear()
    hub.complaints.clear()
    hub.closing = True
    hub.wakes.put(None)
    if hub._thread is not None:
        hub._thread.join(30)
        assert not hub._thread.is_alive()


def script_environment(url: str, spool: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    # A busy machine must not turn a delivery into a spooled file.
    ours = {"HEADWAY_URL": url, "HEADWAY_SPOOL": str(spool), "HEADWAY_INTERVAL": INTERVAL, "HEADWAY_EXIT_WAIT": "20"}
    # Newer Pythons warn of every fork beside a thread, which is what is tested.
    return {**clean, "PYTHONWARNINGS": "ignore::DeprecationWarning", **ours, **more}


def run_script(
    code: str, server: RecordingServer | str, spool: Path, timeout: float = 60.0, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Runs Python code that reports to `server`, in a child of its own."""
    url = server if isinstance(server, str) else server.url
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=script_environment(url, spool, **environ),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
