"""What all benchmarks share: a real exporter to measure, CPU time of others, a word about noise, one table and one JSON for all.

A figure is the median of its rounds, five at least unless a flag says less. Peers and physical bounds are measured in the same run,
in turn with ours, so that ratios hold on a busy machine where absolute figures do not. `noise` says how busy others were meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"
START_DEADLINE: Final = 60.0
# Others that used more of the machine than this make absolute figures worse than they are.
BUSY: Final = 0.10
MIB: Final = 2**20


@dataclass(slots=True)
class Figure:
    """One line of a table. `target`: not more than this, or not less where `more` is better. `of`: headway, a peer, or a bound."""

    what: str
    unit: str
    of: str = "headway"
    target: float | None = None
    more: bool = False
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def met(self) -> bool | None:
        if self.target is None or not self.values:
            return None
        return self.median >= self.target if self.more else self.median <= self.target


class Report:
    """Figures of one benchmark, in the order in which they were first named."""

    def __init__(self, name: str, about: str) -> None:
        self.name = name
        self.about = about
        self.figures: dict[str, Figure] = {}
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}
        self._noise = Noise()

    def add(
        self, what: str, unit: str, *values: float, of: str = "headway", target: float | None = None, more: bool = False
    ) -> None:
        figure = self.figures.setdefault(what, Figure(what, unit, of, target, more))
        figure.values += values

    def note(self, text: str) -> None:
        """What a reader has to know, such as a peer that is not installed."""
        if text not in self.notes:
            self.notes.append(text)

    def table(self) -> str:
        rows = [("", "", "median", "from", "to", "unit", "target", "")]
        for one in self.figures.values():
            goal = "" if one.target is None else f"{'≥' if one.more else '≤'} {number(one.target)}"
            verdict = {None: "", True: "met", False: "missed"}[one.met]
            low, high = number(min(one.values)), number(max(one.values))
            rows.append((one.of, one.what, number(one.median), low, high, one.unit, goal, verdict))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        rounds = sorted({len(one.values) for one in self.figures.values()})
        lines = [f"{self.about} ({' to '.join(map(str, sorted({rounds[0], rounds[-1]})))} rounds)"] if rounds else [self.about]
        for row in rows:
            cells = [
                text.ljust(w) if c in (0, 1, 5) else text.rjust(w) for c, (text, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *self.notes])

    def finish(self, results: Path = RESULTS) -> int:
        """Prints the JSON and the table, and keeps the JSON. Returns the exit code: 1 when a target was missed."""
        noise = self._noise.until_now()
        if noise["others"] > BUSY or noise["steal"] > BUSY / 2:
            figures = f"others used {noise['others']:.0%} of the machine, {noise['steal']:.0%} were stolen, load {noise['load'][0]}"
            self.note(f"noisy: {figures}. Trust the ratios, not the figures")
        system = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
        result = {
            "benchmark": self.name,
            "machine": f"{platform.machine()}, {system}",
            "noise": noise,
            "facts": self.facts,
            "figures": [
                {
                    "what": one.what,
                    "of": one.of,
                    "unit": one.unit,
                    "median": rounded(one.median),
                    "values": [rounded(value) for value in one.values],
                    "target": one.target,
                    "met": one.met,
                }
                for one in self.figures.values()
            ],
            "notes": self.notes,
        }
        print(json.dumps(result))
        print(self.table())
        results.mkdir(parents=True, exist_ok=True)
        (results / f"{self.name}.json").write_text(json.dumps(result, indent=1) + "\n")
        return 1 if any(one.met is False for one in self.figures.values()) else 0


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def rounded(value: float) -> float:
    return float(f"{value:.5g}")


class Noise:
    """How busy the machine was with other things than this program and what it started (and waited for)."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy, self._stolen = _machine()
        self._own = _own()

    def until_now(self) -> dict[str, Any]:
        busy, stolen = _machine()
        seconds = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return {
            "others": round(max(0.0, busy - self._busy - (_own() - self._own)) / seconds, 3),
            "steal": round((stolen - self._stolen) / seconds, 3),
            "load": [round(load, 2) for load in os.getloadavg()],
        }


def _machine() -> tuple[float, float]:
    """CPU seconds that the machine was busy, and that were stolen from it, since it booted."""
    fields = [int(text) / os.sysconf("SC_CLK_TCK") for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = fields
    return user + nice + system + irq + softirq, steal


def _own() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def cpu_seconds(pid: int) -> float:
    """What a process has used in all its threads, those that ended too: its CPU clock (see clock_getcpuclockid)."""
    return time.clock_gettime((~pid << 3) | 2)


def memory_bytes(pid: int, field: str = "VmRSS") -> int:
    """`VmRSS` now, `VmHWM` at its peak."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Server:
    """A server that was started to be measured. `call` speaks JSON."""

    url: str
    pid: int
    key: str | None = None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"} | ({} if self.key is None else {"Authorization": f"Bearer {self.key}"})
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, method=method, data=sent, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


@contextmanager
def exporter(folder: Path, *flags: str) -> Iterator[Server]:
    """A real exporter as shipped: guards on, everything durable, in an empty `folder` of its own."""
    command = [sys.executable, "-m", "headway", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder), *flags]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    environ["HEADWAY_SPOOL"] = str(folder / "spool")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ) as process:
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if match := re.search(r"headway is ready at (http://[^ ]*:\d+)", line):
                    yield Server(match[1], process.pid)
                    return
            raise SystemExit(f"the exporter did not start:\n{''.join(said)}")
        finally:
            _end(process)


@contextmanager
def server(command: Sequence[str], url: str, path: str = "/") -> Iterator[Server]:
    """Some other server, once it answers."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_DEADLINE
            while not _answers(url + path):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"{command[0]} does not answer at {url}")
                time.sleep(0.05)
            yield Server(url, process.pid)
        finally:
            _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def program(report: Report, name: str, package: str) -> str | None:
    """The path of a program; None, and a note, when it is not installed."""
    found = shutil.which(name)
    if found is None:
        report.note(f"{name} is not installed (apt-get install {package}; as root `make bench` does it): left out")
    return found


def fill(target: Server, count: int, prefix: str = "p", names: int = 50) -> list[str]:
    """Creates so many running processes through the API, 500 at a time. Their ids."""
    ids = [f"{prefix}{n}" for n in range(count)]
    for first in range(0, count, 500):
        items: list[Mapping[str, Any]] = [
            {
                "id": one,
                "create": {"name": f"job {n % names}", "type": "task", "project": f"project-{n % 9}", "progress": {"unit": "rows"}},
                "progress": {"current": 1, "total": 1e9},
            }
            for n, one in enumerate(ids[first : first + 500], first)
        ]
        answer = target.call("POST", "/api/processes/batch", {"items": items})
        assert all(result["status"] == 200 for result in answer["data"]), answer["data"][0]
    return ids


def parser(about: str | None, rounds: int = 5) -> argparse.ArgumentParser:
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    found = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--rounds", type=int, default=rounds, help=f"of each case, of which the median counts (default {rounds})")
    found.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON")
    return found
