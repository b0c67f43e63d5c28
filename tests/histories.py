"""Random histories of processes, told to the exporter's registry with a fake clock: what its gates say at each moment, and what its
metrics say then. Every history is an exporter of its own, so that nobody is in the way of another's processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from headway.errors import Conflict
from headway.metrics.families import NAME_FAMILIES, PROCESS_FAMILIES
from headway.metrics.family import Scope, Shown
from headway.metrics.services import ServiceFigures, metrics_of
from headway.model import Kind, Severity, Status
from headway.name_gates import Runs
from headway.names import NameStats
from headway.registry.changes import HostFacts
from headway.registry.named import NameWatch
from headway.registry.registry import Registry
from headway.registry.watch import Watch
from headway.samples import Sample
from headway.schemas.decoding import decode
from headway.schemas.reports import CreateIn, UpdateIn
from headway.settings import DEFAULT_RULES, Settings, ThresholdRule

STEP: Final = 5.0  # seconds between two looks; all that happens lies on quarters of that, so that limits are met exactly
LOOKS: Final = 48
NEWS: Final = {Status.FAILED: "failed", Status.TIMED_OUT: "timed_out", Status.ORPHANED: "orphaned"}
SEVERITIES: Final = {Severity.LOW: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}
# (history, id or name, gate, severity)
Verdict = tuple[str, str, str, str]


@dataclass(slots=True)
class Look:
    """What was found at one moment (unix s): verdicts of the gates, lines of the page; `edges`: gates that were just at a limit."""

    at: float
    verdicts: set[Verdict] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)


class NoWriter:
    """Everything is durable at once."""

    def commit(self, **_: Any) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def behind_of(self, *_: Any) -> None:
        pass

    def behind(self, *_: Any, **__: Any) -> None:
        pass


class History:
    """One exporter and what happens to its processes. `now` is its clock. To be played in an event loop."""

    def __init__(self, name: str, seed: str, start: float, wanted: frozenset[str]) -> None:
        self.name, self.random, self.now, self.wanted = name, random.Random(seed), start, wanted
        self.families = [family for family in (*PROCESS_FAMILIES, *NAME_FAMILIES) if family.name in wanted]
        pick = self.random.choice
        own = ThresholdRule({"failure_rate": pick((0.25, 1.0, None))}, name="night*")
        self.settings = Settings(
            stuck_after=pick((10.0, 20.0, 60.0)),
            waiting_after=pick((0.0, 20.0, 60.0)),
            time_sink_ratio=pick((1.5, 2.0, 2.0, 4.0)),
            time_sink_critical_ratio=pick((3.0, 4.0)),
            time_sink_after=pick((0.0, 10.0, 45.0, 90.0)),
            zombie_after=pick((20.0, 60.0)),
            failure_rate=pick((0.5, 0.75)),
            failure_rate_runs=pick((2, 4)),
            failure_rate_window=pick((60.0, 86400.0)),
            threshold_rules=pick((DEFAULT_RULES, (*DEFAULT_RULES, own))),
        )
        self.registry = Registry(self.settings, NoWriter(), HostFacts("here", None), lambda: self.now)
        self.watch = Watch(self.registry)
        self.watch.neighbours.evidence = self
        self.stalls: dict[str, float] = {}
        self.schedules: list[Runs] = []
        self.named = NameWatch(self.registry, lambda: self.schedules)
        self.samples: dict[str, Sample] = {}
        self.plan: list[tuple[float, Callable[[], None]]] = []
        self.start = start
        # When the machine sleeps nobody looks, and the exporter counts silence from its waking.
        asleep = self.random.randrange(5, LOOKS - 10) if self.random.random() < 0.1 else LOOKS
        self.awake = [n for n in range(LOOKS) if not asleep <= n < asleep + 8]

    def play(self) -> Iterator[Look]:
        """All that is planned, in its order, and a look every five seconds."""
        self.plan.sort(key=lambda one: one[0])
        for n in self.awake:
            at = self.start + n * STEP
            while self.plan and self.plan[0][0] <= at:
                self.now, act = self.plan.pop(0)
                act()
            self.now = at
            self.watch.apply({key: one._replace(at=at) for key, one in self.samples.items()})
            self.watch.evaluate()
            self.named.evaluate()
            yield self.look()

    # ── what can happen ────────────────────────────────────────────────────────────────────────────────────────────

    def at(self, seconds: float, act: Callable[..., Any], *given: Any, **named: Any) -> None:
        self.plan.append((self.start + seconds, lambda: act(*given, **named)))

    def moment(self, least: float = 0.0, most: float = STEP * LOOKS) -> float:
        """Between these; mostly at a look, else a quarter of a look away from one."""
        first = math.ceil(least / STEP * 4)
        quarters = self.random.randrange(first, max(first + 1, int(most / STEP * 4)))
        whole = -(-quarters // 4) * 4
        return (whole if self.random.random() < 0.6 else quarters) * STEP / 4

    def create(self, process_id: str, **fields: Any) -> None:
        self.registry.create(decode(json.dumps({"id": process_id, **fields}).encode(), CreateIn))

    def update(self, process_id: str, **fields: Any) -> None:
        process = self.registry.entries[process_id].process
        if process.status.active:  # whoever ended says nothing any more
            with contextlib.suppress(Conflict):
                self.registry.update(process_id, decode(json.dumps(fields).encode(), UpdateIn))

    def end(self, process_id: str, status: Status) -> None:
        if self.registry.entries[process_id].process.status.active:
            self.registry.end(process_id, status, at=self.now, cause="so it was")

    def sample(self, process_id: str, **figures: Any) -> None:
        """From now on its samples say so."""
        before = self.samples.get(process_id, Sample(at=self.now, alive=True))
        self.samples[process_id] = before._replace(**figures)

    def waits(self, process_id: str, ratio: float) -> None:
        """It has waited for the CPU for such a share of the time since the last look."""
        self.sample(process_id, cpu_wait_seconds=(self.samples[process_id].cpu_wait_seconds or 0.0) + ratio * STEP)

    # ── what a sample does not say (headway.registry.neighbours) ────────────────────────────────────────────────────

    def pids(self, _key: str) -> frozenset[int]:
        return frozenset()

    def cpus(self, _key: str) -> frozenset[int] | None:
        return None

    def memory_wait(self, key: str, _at: float) -> float | None:
        return self.stalls.get(key)

    def forget(self, _keys: Sequence[str]) -> None:
        pass

    # ── what is seen ───────────────────────────────────────────────────────────────────────────────────────────────

    def look(self) -> Look:
        look = Look(self.now)
        for process_id, entry in self.registry.entries.items():
            view = self.registry.view(entry)
            for report in view.conditions:
                look.verdicts.add((self.name, process_id, report.condition, SEVERITIES[report.severity]))
                if report.since == self.now and report.severity is not Severity.LOW:
                    look.edges.append(report.condition)
            if entry.process.status in NEWS and entry.process.dismissed_at is None:
                look.verdicts.add((self.name, process_id, NEWS[entry.process.status], "warning"))
            labels = {"id": process_id, "name": view.process.name, "kind": view.process.kind.value}
            hidden = Shown.ENDED if view.process.status.active else Shown.ACTIVE
            self._write(look, labels, view, Scope.PROCESS, hidden)
        for found in self.registry.totals.reports:
            look.verdicts.add((self.name, found.name, found.condition, SEVERITIES[found.severity]))
        for stats in self.registry.totals.names.values():
            self._write(look, {"name": stats.name, "kind": stats.kind.value}, stats, Scope.NAME)
        for metric in metrics_of([self._figures(one) for one in self.schedules]):
            self._add(look, [(one.name, one.labels, one.value) for one in metric.samples])
        settings = self.settings
        for name, value in (
            ("headway_watching_since_timestamp_seconds", self.watch.watching_since),
            ("headway_zombie_threshold_seconds", settings.zombie_after),
            ("headway_failure_ratio_threshold", settings.failure_rate),
            ("headway_failure_runs_threshold", settings.failure_rate_runs),
        ):
            self._add(look, [(name, {}, value)])
        for (name, kind), value in self.registry.totals.failure_rates.items():
            self._add(look, [("headway_name_failure_ratio_threshold", {"name": name, "kind": kind}, value)])
        return look

    def _write(self, look: Look, labels: dict[str, str], source: Any, scope: Scope, hidden: Shown | None = None) -> None:
        for family in self.families:
            if family.scope is not scope or family.shown is hidden:
                continue
            if family.rows is not None:
                rows = family.rows(source)
                self._add(look, [(family.name, {**labels, **dict(zip(family.labels, own, strict=False))}, v) for _, own, v in rows])
            elif family.value is not None and (value := family.read(source)) is not None:
                self._add(look, [(family.name, labels, value)])

    def _add(self, look: Look, rows: Sequence[tuple[str, dict[str, str], float]]) -> None:
        for name, labels, value in rows:
            if name in self.wanted:
                text = "".join([f',{key}="{word}"' for key, word in labels.items() if word])
                number = "+Inf" if value == math.inf else repr(float(value))
                look.lines.append(f'{name}{{job="headway",instance="{self.name}"{text}}} {number} {look.at!r}\n')

    def _figures(self, runs: Runs) -> ServiceFigures:
        said = {"late_at": runs.late_at, "overlapped_at": runs.overlapped_at, "last_run_at": runs.last_run_at}
        return ServiceFigures(
            name=runs.name,
            group="",
            kind=runs.kind,
            status_code=0,
            restarts=0,
            wanted=True,
            port_open=None,
            scheduled=True,
            next_run_at=None,
            missed=0,
            overlapped=0,
            **said,
        )

    def know(self, name: str, usual: float, runs: int) -> None:
        """This name has taken so long that often."""
        self.registry.totals.names[name, Kind.TASK] = NameStats(name=name, kind=Kind.TASK, good_durations=(usual,) * runs)

    def schedule(self, number: int, **changed: Any) -> None:
        self.schedules[number] = replace(self.schedules[number], **changed)
