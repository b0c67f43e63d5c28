"""What is counted over many processes: by name, by status, by project. It outlasts them, and is bounded for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from headway.model import Process, Status
from headway.name_gates import NameReport
from headway.names import OTHER, NameStats
from headway.registry.outcome import NameKey

PROJECTS: Final = 100


class Totals:
    """Owned by the registry; event-loop thread only. Of at most `max_names` names; what comes later
    counts as :data:`headway.names.OTHER`.

    `reports` and `failure_rates` are of the last look at the names (headway.registry.named): the latter those of names with a
    threshold of their own, infinite where the gate is off. `project_costs` is what ended, in dollars; kept with the names. `ends`
    counts since the start, with those that could not be stored.
    """

    def __init__(self, max_names: int) -> None:
        self.names: dict[NameKey, NameStats] = {}
        self.reports: tuple[NameReport, ...] = ()
        self.failure_rates: dict[NameKey, float] = {}
        self.by_status: dict[Status, int] = dict.fromkeys(Status, 0)
        self.project_costs: dict[str, float] = {}
        self.ends = 0
        self._max_names = max_names
        self._changed: set[NameKey] = set()

    def load(self, names: Iterable[NameStats], by_status: Mapping[Status, int]) -> None:
        """Takes over what the store kept."""
        self.names = {(stats.name, stats.kind): stats for stats in names}
        self._changed = set(self.names)
        for stats in self.names.values():
            for project, dollars in stats.project_costs.items():
                self.spent(project, dollars)
        self.by_status.update(by_status)

    # ── names ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def key_of(self, process: Process) -> NameKey:
        """Under which name it counts."""
        key = (process.name, process.kind)
        if key in self.names or len(self.names) < self._max_names:
            return key
        return (OTHER, process.kind)

    def of(self, process: Process) -> NameStats | None:
        """Totals of its name; None for a name over the limit, whose totals are mixed with others."""
        spec = process.spec
        return self.names.get((spec.name, spec.kind))

    def put(self, key: NameKey, stats: NameStats | None) -> None:
        """The totals of a name as they are from now on; None: there are none. :meth:`say` tells of it."""
        if stats is None:
            self.names.pop(key, None)
        else:
            self.names[key] = stats

    def say(self, key: NameKey) -> None:
        """They are among the next :meth:`news`."""
        self._changed.add(key)

    def news(self) -> list[NameStats]:
        """Totals of names that changed since the last call."""
        changed = [self.names[key] for key in self._changed if key in self.names]
        self._changed.clear()
        return changed

    def forget_ends(self, before: float) -> None:
        """Recent ends that lie so far back (unix s) do not count any more; the store hears of it with the next end of the name."""
        for key, stats in self.names.items():
            if stats.recent and stats.recent[0][0] <= before:
                self.names[key] = stats.since(before)
                self.say(key)

    # ── statuses and money ─────────────────────────────────────────────────────────────────────────────────────────

    def count(self, before: Status | None, after: Status | None) -> None:
        """One process changed its status; None: it was not there, or it is gone."""
        if before is not None:
            self.by_status[before] -= 1
        if after is not None:
            self.by_status[after] += 1
            self.ends += after.ended

    def set_counts(self, by_status: Mapping[Status, int]) -> None:
        """What the store counted after it forgot old ones."""
        self.by_status = {status: by_status.get(status, 0) for status in Status}

    def spent(self, project: str | None, dollars: float) -> None:
        """A change that cannot be stored is not taken back here: a counter that falls would count everything anew."""
        name = project or ""
        if name not in self.project_costs and len(self.project_costs) >= PROJECTS:
            name = OTHER
        self.project_costs[name] = self.project_costs.get(name, 0.0) + dollars
