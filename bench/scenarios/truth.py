"""What a scenario claims to be true: which gate must hold of which of its processes, from when to when, and how severe.

Whatever is not claimed must never be seen: every other condition of every process of a scenario is a false alarm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bench.scenarios.stage import Stage

# Conditions of a process, the two endings that are verdicts of Headway's own, and two conditions of names.
GATES: Final = (
    "stuck",
    "time_sink",
    "bottleneck",
    "overdue",
    "zombie",
    "duplicate",
    "waiting",
    "orphaned",
    "timed_out",
    "failing",
    "cron_missed",
)
RANKS: Final = {"low": 0, "warning": 1, "critical": 2}

# A minute of real life is six seconds here; what sends and samples is scaled alike.
STUCK_AFTER: Final = 6.0
ZOMBIE_AFTER: Final = 4.0
WAITING_AFTER: Final = 6.0
REPORT_INTERVAL: Final = 0.1
SAMPLE_INTERVAL: Final = 0.2
# CPU is read in hundredths of a second, so that scenarios of contention need the interval of real life.
CONTENTION_INTERVAL: Final = 2.0

WITHIN: Final = 3.0  # s, in which a verdict has to come: the machine is busy with all the others
QUIET_WITHIN: Final = 5.0  # s, the same where CPU and I/O have to be seen quiet, which is looked at over windows of 2 s


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """`plus` seconds after something that was marked."""

    mark: str = "started"
    plus: float = 0.0

    def at(self, marks: Mapping[str, Sequence[float]]) -> float | None:
        """None: it has not happened. Of several marks of one name the last counts."""
        return marks[self.mark][-1] + self.plus if marks.get(self.mark) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """`gate` holds of the process `of` (empty: the main one) from `since` to `until` (None: the end of the scenario), and is seen
    `within` so many seconds. A lower severity may come first, within the same time. `says`: what its reason has to match."""

    gate: str
    severity: str
    since: When
    until: When | None = None
    of: str = ""
    within: float = WITHIN
    says: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class May:
    """It can be said of the process in this time and need not: the truth allows both. For moments of transition only."""

    gate: str
    since: When
    until: When | None = None
    of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`play` starts the processes and returns at the end of what is to be judged. `about` is the truth in a sentence; `hard`: why
    it is easily judged wrong. `alone`: nothing else may run meanwhile. `own`: it has an exporter of its own, with these flags;
    `skewed`: whose clock can be set. `beats`: the longest silence (s) between two marks "beat" for which the truth holds; a machine
    that is too busy breaks it."""

    name: str
    about: str
    play: Callable[[Stage], None]
    must: tuple[Must, ...] = ()
    may: tuple[May, ...] = ()
    hard: str = ""
    alone: bool = False
    own: tuple[str, ...] | None = None
    skewed: bool = False
    beats: float | None = None
    seconds: float = 12.0  # about so long, to begin with the longest
    quick: bool = False  # part of the subset that the tests run


@dataclass(slots=True)
class Verdict:
    """Of one scenario. By gate: how many claims held and how many were missed, how many false alarms there were, how many processes
    were rightly not accused. `void`: its truth did not come about, so that there is nothing to judge."""

    held: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    false_alarms: dict[str, int] = field(default_factory=dict)
    silent: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    void: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not self.wrong and not self.void


def stuck(severity: str, mark: str = "silent", *, of: str = "", after: float = STUCK_AFTER, until: When | None = None) -> Must:
    """Stuck since the silence that began at `mark`."""
    within = QUIET_WITHIN if severity == "critical" else WITHIN
    return Must(gate="stuck", severity=severity, since=When(mark=mark, plus=after), until=until, of=of, within=within)
