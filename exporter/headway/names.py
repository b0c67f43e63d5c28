"""What is remembered of a name for ever: results, durations and the shape of earlier runs. Pure, bounded, immutable."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import median
from typing import Final

from headway.model import ENDED, Killed, Kind, Process, Status
from headway.own_values import own_values
from headway.used import NOTHING, Used

# Upper bounds of headway_duration_seconds, from a second to a day: a factor of 2 to 3 apart.
DURATION_BUCKETS: Final = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
GOOD_DURATIONS_KEPT: Final = 10
GOOD_DURATIONS_NEEDED: Final = 3
SHAPES_KEPT: Final = 3
PROJECTS_KEPT: Final = 20
OTHER: Final = "other"
RECENT_ENDS_KEPT: Final = 20
OUTCOMES: Final = tuple(s for s in Status if s in ENDED)


@dataclass(frozen=True, slots=True)
class LastRun:
    """When one ended (unix s), how long it took (s), and the numbers of its own that it reported."""

    finished_at: float
    duration: float
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameStats:
    """Totals of one (name, kind). `cost_dollars`: of all that ended, as far as it is known, and `project_costs` by project
    ("" for none; beyond twenty projects "other"). `shapes`: for each of the last good
    runs the seconds at which fixed shares of the work were done (see headway.estimate), newest last. `recent`: when the latest
    runs ended, oldest first, and whether badly; those that somebody ended on purpose are left out, and those that are older than
    the window of the failure rate are forgotten. `bad_since`: since when no run ended well, where the last one ended badly;
    `recovered_at`: when one last ended well after that. `used`: by all processes of the name, those that have not ended as far as
    it was counted. `last_run`: of those that had begun the one that ended last; None of many names together."""

    name: str
    kind: Kind
    finished: Mapping[Status, int] = field(default_factory=dict)
    duration_counts: tuple[int, ...] = (0,) * (len(DURATION_BUCKETS) + 1)
    duration_sum: float = 0.0
    last_success_at: float | None = None
    last_status: Status | None = None
    gate_trips: Mapping[str, int] = field(default_factory=dict)
    good_durations: tuple[float, ...] = ()
    shapes: tuple[tuple[float, ...], ...] = ()
    recent: tuple[tuple[float, bool], ...] = ()
    bad_since: float | None = None
    recovered_at: float | None = None
    cost_dollars: float = 0.0
    project_costs: Mapping[str, float] = field(default_factory=dict)
    used: Used = NOTHING
    last_run: LastRun | None = None

    @property
    def expected_duration(self) -> float | None:
        """Median of the last ten good ends (s); None with fewer than three, which would be a guess."""
        if len(self.good_durations) < GOOD_DURATIONS_NEEDED:
            return None
        return _middle(self.good_durations)

    def with_end(
        self, process: Process, shape: tuple[float, ...] | None = None, cost: float | None = None, used: Used = NOTHING
    ) -> NameStats:
        """These totals and one more ended process. `shape` is kept when the end was good; `cost` in dollars; `used`: what of it was
        not counted before."""
        finished_at, status = process.finished_at, process.status
        if finished_at is None:
            raise ValueError(f"process {process.id} has not ended: {status}")
        counts, total, good, shapes = self.duration_counts, self.duration_sum, self.good_durations, self.shapes
        duration, bad = process.elapsed(finished_at), ended_badly(process)
        last_run = self.last_run
        if duration is not None:
            slot = bisect_left(DURATION_BUCKETS, duration)
            counts = (*counts[:slot], counts[slot] + 1, *counts[slot + 1 :])
            total += duration
            if self.name != OTHER:
                last_run = LastRun(finished_at, duration, own_values(process.metadata))
        if status is Status.DONE:
            if duration is not None:
                good = (*good, duration)[-GOOD_DURATIONS_KEPT:]
            if shape is not None:
                shapes = (*shapes, shape)[-SHAPES_KEPT:]
        return replace(
            self,
            finished={**self.finished, status: self.finished.get(status, 0) + 1},
            duration_counts=counts,
            duration_sum=total,
            last_success_at=finished_at if status is Status.DONE else self.last_success_at,
            last_status=status,
            last_run=last_run,
            good_durations=good,
            shapes=shapes,
            cost_dollars=self.cost_dollars + (cost or 0.0),
            used=self.used if used is NOTHING else self.used + used,
            project_costs=self.project_costs if cost is None else self._with_cost(process.spec.project or "", cost),
            recent=self.recent if bad is None else (*self.recent, (finished_at, bad))[-RECENT_ENDS_KEPT:],
            bad_since=self.bad_since if bad is None else (self.bad_since or finished_at) if bad else None,
            recovered_at=finished_at if bad is False and self.bad_since is not None else self.recovered_at,
        )

    def recovered_by(self, process: Process) -> bool:
        """Whether its end was the first good one after bad ones."""
        return self.recovered_at is not None and self.recovered_at == process.finished_at

    def _with_cost(self, project: str, cost: float) -> Mapping[str, float]:
        full = project not in self.project_costs and len(self.project_costs) >= PROJECTS_KEPT
        name = OTHER if full else project
        return {**self.project_costs, name: self.project_costs.get(name, 0.0) + cost}

    def since(self, at: float) -> NameStats:
        """Without the recent ends that lie before `at` (unix s)."""
        kept = tuple(end for end in self.recent if end[0] > at)
        return self if len(kept) == len(self.recent) else replace(self, recent=kept)

    def with_use(self, used: Used) -> NameStats:
        return replace(self, used=self.used + used)

    def with_gate_trip(self, gate: str) -> NameStats:
        return replace(self, gate_trips={**self.gate_trips, gate: self.gate_trips.get(gate, 0) + 1})


def ended_badly(process: Process) -> bool | None:
    """Whether the end of a run counts against its name; None when somebody ended it on purpose: that says nothing."""
    state = process.state
    if state.status is Status.CANCELLED or (isinstance(state, Killed) and state.requested):
        return None
    return state.status is not Status.DONE


@lru_cache(maxsize=4096)
def _middle(durations: tuple[float, ...]) -> float:
    """It is asked for at every look at every process of the name."""
    return median(durations)
