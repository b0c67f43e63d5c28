"""What an exporter said of every process, all the time: its answers, asked for five times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from running import RunningExporter

POLL: Final = 0.2
_ENDINGS: Final = ("orphaned", "timed_out")


@dataclass(slots=True)
class Span:
    """One gate at one severity, from the first answer that said it to the first that no longer did (None: it still held)."""

    gate: str
    severity: str
    begin: float
    last: float
    reason: str
    end: float | None = None

    def __str__(self) -> str:
        return f"{self.gate} ({self.severity}: {self.reason})"


class Timeline:
    """The spans of one process."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._open: dict[tuple[str, str], Span] = {}

    def add(self, at: float, said: Mapping[tuple[str, str], str]) -> None:
        for key, reason in said.items():
            span = self._open.get(key)
            if span is None:
                span = self._open[key] = Span(*key, begin=at, last=at, reason=reason)
                self.spans.append(span)
            span.last, span.reason = at, reason
        for key in [key for key in self._open if key not in said]:
            self._open.pop(key).end = at


class Recorder:
    """Follows one exporter from `start` to `stop`, over its restarts: while it is away nothing is said."""

    def __init__(self, exporter: RunningExporter) -> None:
        self.exporter = exporter
        self.timelines: dict[str, Timeline] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> Recorder:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _follow(self) -> None:
        session, last = requests.Session(), time.time()
        while not self._stop.wait(POLL):
            try:
                found = {process["id"]: process for process in self._ask(session, "?state=all&limit=1000")}
                names = self._ask(session, "/stats")["names"]
            except (OSError, ValueError, KeyError):
                found, names = {}, []  # what was said is over since the last answer
            else:
                last = time.time()
            said = {process_id: said_of(process) for process_id, process in found.items()}
            for one in names:
                said.setdefault(one["name"], {})[one["condition"], one["severity"]] = one["reason"]
            for key in {*self.timelines, *said}:
                self.timelines.setdefault(key, Timeline()).add(last, said.get(key, {}))

    def _ask(self, session: requests.Session, path: str) -> Any:
        """Raises OSError while the exporter is away, KeyError when it cannot answer."""
        headers = {"Authorization": f"Bearer {self.exporter.key}"}
        return session.get(f"{self.exporter.url}/api/processes{path}", headers=headers, timeout=5).json()["data"]


def said_of(process: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(gate, severity) → reason."""
    said = {(one["name"], one["severity"]): one["reason"] for one in process["conditions"]}
    if process["status"] in _ENDINGS:
        said[process["status"], "critical"] = process["error"] or ""
    return said
