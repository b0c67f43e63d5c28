"""A real exporter as a child process, with a data directory of its own, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

START_DEADLINE = 60.0
# An Alertmanager that runs on this machine is somebody's: what a test ends is not for their chat.
NOBODY = "http://127.0.0.1:9"


@dataclass
class RunningExporter:
    """An exporter that was started for a test. `key` has the role admin; `client_env` lets SDK and CLI find it; `prefix` is a
    command that runs the exporter."""

    data_dir: Path
    args: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    scheme: str = "http"
    process: subprocess.Popen[str] | None = None
    output: list[str] = field(default_factory=list)
    prefix: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.data_dir / "admin.key").read_text().strip()

    @property
    def client_env(self) -> dict[str, str]:
        return {
            **os.environ,
            "HEADWAY_URL": self.url,
            "HEADWAY_KEY": self.key,
            "HEADWAY_SPOOL": str(self.data_dir / "spool"),
        }

    def environ_of_runs(self, folder: Path) -> dict[str, str]:
        """Lets `headway run` find it; log files and spool are the test's own."""
        return {
            "HEADWAY_URL": self.url,
            "HEADWAY_KEY": self.key,
            "HEADWAY_SPOOL": str(folder / "spool"),
            "HEADWAY_LOG_DIR": str(folder / "logs"),
            "HEADWAY_INTERVAL": "0.1",
        }

    def start(self) -> RunningExporter:
        """Starts it and waits until it says that it is ready; the port stays the same over restarts."""
        command = [*self.prefix, sys.executable, "-m", "headway", "serve", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--data-dir", str(self.data_dir), *self.args]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_")}
        environ |= {"HEADWAY_ALERTMANAGER_URL": NOBODY, **self.environ}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ, start_new_session=True
        )
        settled, ready = threading.Event(), threading.Event()
        threading.Thread(target=self._read, args=(self.process, settled, ready), daemon=True).start()
        if not settled.wait(START_DEADLINE) or not ready.is_set():
            self.kill()
            raise AssertionError(f"the exporter did not become ready:\n{''.join(self.output)}")
        return self

    def _read(self, process: subprocess.Popen[str], settled: threading.Event, ready: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line)
            if match := re.search(r"headway is ready at (https?)://[^ ]*:(\d+)", line):
                self.scheme, self.port = match[1], int(match[2])
                ready.set()
                settled.set()
        settled.set()

    def stop(self, within: float = 30.0) -> int:
        """Ends it politely, within so many seconds, and returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the exporter did not stop on SIGTERM:\n{''.join(self.output)}") from None

    def kill(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def restart(self) -> RunningExporter:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        return self.start()


Starter = Callable[..., RunningExporter]
