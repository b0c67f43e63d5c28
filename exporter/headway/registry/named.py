"""Conditions of names: worked out anew at each look, from the totals of the names and from the schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from headway.name_gates import NameReport, Runs, cron_missed, failing
from headway.names import OTHER, NameStats
from headway.registry.outcome import NameKey
from headway.registry.registry import Registry


class NameWatch:
    """Keeps `reports` and `failure_rates` of the totals, on the event-loop thread. `schedules` are asked at each look."""

    def __init__(self, registry: Registry, schedules: Callable[[], Sequence[Runs]] = tuple) -> None:
        self.registry = registry
        self.schedules = schedules
        self._judged: dict[NameKey, tuple[NameStats, NameReport | None]] = {}

    def evaluate(self) -> None:
        registry, settings = self.registry, self.registry.settings
        now = registry.clock()
        registry.totals.forget_ends(now - settings.failure_rate_window)
        judged: dict[NameKey, tuple[NameStats, NameReport | None]] = {}
        for key, stats in registry.totals.names.items():
            if not stats.recent or stats.name == OTHER:  # those are the ends of many names
                continue
            known = self._judged.get(key)
            if known is None or known[0] is not stats:
                rate = settings.failure_rate_of(stats.kind, stats.name)
                if rate != settings.failure_rate:
                    registry.totals.failure_rates[key] = math.inf if rate is None else rate
                runs, window = settings.failure_rate_runs, settings.failure_rate_window
                known = (stats, failing(stats, now=now, rate=rate, runs=runs, window=window))
            judged[key] = known
        self._judged = judged
        missed = (cron_missed(found, now=now) for found in self.schedules())
        found = (*(report for _, report in judged.values()), *missed)
        registry.totals.reports = tuple(report for report in found if report is not None)
