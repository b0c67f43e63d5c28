"""Where a scenario is played: its folder, its exporter, the processes it starts, and what was marked when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import requests
from bench.scenarios.prelude import PRELUDE
from bench.scenarios.truth import (
    CONTENTION_INTERVAL,
    REPORT_INTERVAL,
    SAMPLE_INTERVAL,
    STUCK_AFTER,
    WAITING_AFTER,
    ZOMBIE_AFTER,
    Scenario,
)

# The helpers of the tests start exporters and end what is left of whole trees.
sys.path.append(str(Path(__file__).parents[2] / "tests"))
from osprocesses import Script, Started
from running import RunningExporter

# A share of a core that no tree here reaches: who waits for whom is judged where nothing else runs.
NOBODY: Final = "64"
FLAGS: Final = (
    *("--stuck-after", f"{STUCK_AFTER}s", "--zombie-after", f"{ZOMBIE_AFTER}s", "--cleanup-interval", "1s"),
    *("--sample-interval", f"{SAMPLE_INTERVAL}s", "--cpu-ratio", NOBODY, "--waiting-after", f"{WAITING_AFTER}s"),
)
SKEWED: Final = Path(__file__).with_name("skewed.py")
CONFIGURATION: Final = {"thresholds": {"type": {"daemon": {"stuck_after": None}}, "name": {"sleeper-*": {"stuck_after": None}}}}


class Interrupted(BaseException):
    """The benchmark is to end: not an Exception, so that no scenario goes on."""


def new_exporter(folder: Path, *flags: str, alone: bool = False, clock: Path | None = None, **environ: str) -> RunningExporter:
    """One with the thresholds of the corpus, not started yet. `alone`: it judges contention, with the thresholds of real life.
    `clock`: a file that says how many seconds its clock is ahead."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "headway.yaml"
    configuration.write_text(json.dumps(CONFIGURATION))  # JSON is YAML
    scaled = ("--sample-interval", f"{CONTENTION_INTERVAL}s") if alone else FLAGS
    args = ("--config", str(configuration), *scaled, *flags)
    prefix: tuple[str, ...] = ()
    if clock is not None:
        clock.write_text("0")
        prefix = (sys.executable, str(SKEWED), str(clock))
    environ.setdefault("HEADWAY_SPOOL", str(folder / "spool"))
    return RunningExporter(folder / "data", args, environ, prefix=prefix)


class Stage:
    """What a scenario may do. Everything it starts is ended by `close`, and nothing else."""

    def __init__(self, scenario: Scenario, exporter: RunningExporter, folder: Path, stop: threading.Event) -> None:
        self.scenario = scenario
        self.exporter = exporter
        self.folder = folder
        self.stop = stop
        self.run_id = f"{scenario.name.replace('.', '_')}-{uuid.uuid4().hex[:4]}"  # an id
        self.excuse = ""
        self._started = Started()
        self._marks = folder / "marks"
        folder.mkdir(parents=True, exist_ok=True)
        self._marks.touch()

    # ── starting ───────────────────────────────────────────────────────────────────────────────────────────────────

    def script(self, source: str, *args: str, of: str = "", own_session: bool = True) -> Script:
        """A Python script that reports itself."""
        return self.command([sys.executable, str(self.written(source, of)), *args], own_session=own_session)

    def run(
        self,
        source: str,
        *flags: str,
        of: str = "",
        cwd: Path | None = None,
        words: Sequence[str] = (),
        stdin: int | None = subprocess.DEVNULL,
    ) -> Script:
        """A script that reports nothing, under `headway run`. `words`: another command instead."""
        command = list(words) or [sys.executable, "-u", str(self.written(source, of))]
        name = self.id(of)
        given = ["--id", name, "--name", name, "--no-log-file", "--quiet", *flags]
        return self.command([sys.executable, "-m", "headway", "run", *given, "--", *command], cwd=cwd, stdin=stdin)

    def command(
        self,
        words: Sequence[str],
        *,
        own_session: bool = True,
        cwd: Path | None = None,
        stdin: int | None = subprocess.DEVNULL,
    ) -> Script:
        """Any command, in the environment of the scenario."""
        with (self.folder / "stderr").open("a") as errors:
            child = subprocess.Popen(
                list(words),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=cwd or self.folder,
                start_new_session=own_session,
                env=self.environ,
            )
        script = Script(child)
        self._started.scripts.append(script)
        return script

    @property
    def environ(self) -> dict[str, str]:
        mark, _, value = self._started.mark.partition("=")
        return {
            **{name: value for name, value in self.exporter.client_env.items() if name != "HEADWAY_PARENT_ID"},
            mark: value,
            "HEADWAY_INTERVAL": "1" if self.scenario.alone else str(REPORT_INTERVAL),
            "HEADWAY_SPOOL": str(self.exporter.data_dir.parent / "spool"),
            "MARKS": str(self._marks),
            "SCENARIO": self.run_id,
            "PYTHONUNBUFFERED": "1",
        }

    def written(self, source: str, of: str) -> Path:
        path = self.folder / f"{of or 'main'}.py"
        path.write_text(PRELUDE + source)
        return path

    def id(self, of: str = "") -> str:
        return f"{self.run_id}-{of}" if of else self.run_id

    # ── the exporter ───────────────────────────────────────────────────────────────────────────────────────────────

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Speaks to the API with the admin key; returns the data of the answer."""
        answer = requests.request(
            method,
            f"{self.exporter.url}/api/processes{path}",
            json={} if body is None and method != "GET" else body,
            headers={"Authorization": f"Bearer {self.exporter.key}"},
            timeout=20,
        )
        answer.raise_for_status()
        return answer.json()["data"]

    def create(self, of: str = "", **body: Any) -> Any:
        made = self.call("POST", "", {"id": self.id(of), "name": self.id(of), "type": "task", **body})
        self.mark(f"{of}.started" if of else "started")
        return made

    def update(self, of: str = "", **body: Any) -> Any:
        return self.call("PATCH", f"/{self.id(of)}", body)

    # ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def mark(self, word: str) -> None:
        with self._marks.open("a") as file:
            file.write(f"{word} {time.time()}\n")

    @property
    def marks(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = defaultdict(list)
        for line in self._marks.read_text().splitlines():
            word, _, at = line.rpartition(" ")
            found[word].append(float(at))
        return found

    def wait(self, word: str, timeout: float = 25.0) -> float:
        """Until this was marked; when that was."""
        deadline = time.monotonic() + timeout
        while not (found := self.marks.get(word)):
            if time.monotonic() > deadline:
                errors = (self.folder / "stderr").read_text() if (self.folder / "stderr").exists() else ""
                raise AssertionError(f"«{word}» did not happen within {timeout:.0f} s. {errors[-800:]}")
            self.rest(0.05)
        return found[-1]

    def rest(self, seconds: float) -> None:
        if self.stop.wait(max(0.0, seconds)):
            raise Interrupted

    def after(self, word: str, seconds: float) -> None:
        """Until `seconds` after this was marked."""
        self.rest(self.wait(word) + seconds - time.time())

    def until(self, status: str, of: str = "", timeout: float = 20.0) -> None:
        """Until the process has this status."""
        deadline = time.monotonic() + timeout
        while True:
            found = requests.get(
                f"{self.exporter.url}/api/processes/{self.id(of)}",
                headers={"Authorization": f"Bearer {self.exporter.key}"},
                timeout=20,
            )
            if found.status_code == 200 and found.json()["data"]["status"] == status:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.id(of)} did not become {status}: {found.text[:300]}")
            self.rest(0.1)

    @property
    def scripts(self) -> list[Script]:
        return self._started.scripts

    def close(self) -> None:
        self._started.end()


def usable_cpus() -> list[int]:
    """Those this benchmark may use, where it can be told."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
