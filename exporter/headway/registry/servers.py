"""Servers that nobody called daemons: what was started by hand, says nothing any more and only waits for callers is not stuck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headway import gates
from headway.model import Kind, Status
from headway.registry.entry import Entry
from headway.registry.registry import Registry
from headway.view import Limits

# So long before silence would count somebody looks (samples, and s): what is found has to be known by then.
AHEAD_SAMPLES: Final = 3
AHEAD: Final = 2.0
# Who uses more than this of a core does something else than to wait.
IDLE: Final = 0.2


class Servers:
    """On the event loop. Each silence is looked into once, shortly before it would count; whether it is a server is found out by
    who can ask the system (headway.sampler.serving)."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._suspects: list[str] = []

    def consider(self, entry: Entry, limits: Limits, child_activity_at: float | None, watching_since: float, now: float) -> None:
        """Notes a process that will count as stuck in a moment, if it may be a server: a task that never said how far it is, and
        whose limit nobody chose."""
        process, after = entry.process, limits.stuck_after
        activity, spec = process.activity, process.spec
        if after is None or spec.kind is not Kind.TASK or activity.last_output_at is None or entry.serves is not None:
            return
        if process.status is not Status.RUNNING or gates.counts(process):
            return
        settings = self._registry.settings
        last = gates.last_activity(process, child_activity_at, now)
        silent_since = max(watching_since, watching_since if last is None else last)
        ahead = min(after / 2, max(AHEAD_SAMPLES * settings.sample_interval, AHEAD))
        if now - silent_since < after - ahead or entry.looked_into == silent_since:
            return
        sample = entry.sample
        if sample is None or not sample.alive or sample.cpu_ratio is None or sample.cpu_ratio > IDLE:
            return
        if spec.thresholds.stuck_after is None and not settings.chosen("stuck_after", spec.kind, spec.name):
            entry.looked_into = silent_since
            self._suspects.append(process.id)

    def suspects(self) -> list[str]:
        """Those that were noted since the last call."""
        found, self._suspects = self._suspects, []
        return found

    def apply(self, ports: Mapping[str, int]) -> None:
        """These listen, by id: from now on their silence says nothing."""
        for process_id, port in ports.items():
            if (entry := self._registry.entries.get(process_id)) is not None:
                entry.serves = port
                self._registry.changed(entry)
