"""The corpus of truth: real processes of which it is known what must be said of them, and what never."""

from __future__ import annotations

from typing import Final

from bench.scenarios import (
    asking,
    clocks,
    contention,
    durations,
    endings,
    failures,
    hangs,
    healthy,
    memory,
    restarts,
    schedules,
    twins,
)
from bench.scenarios.truth import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (
    *healthy.SCENARIOS,
    *hangs.SCENARIOS,
    *asking.SCENARIOS,
    *durations.SCENARIOS,
    *endings.SCENARIOS,
    *twins.SCENARIOS,
    *failures.SCENARIOS,
    *restarts.SCENARIOS,
    *clocks.SCENARIOS,
    *schedules.SCENARIOS,
    *contention.SCENARIOS,
    *memory.SCENARIOS,
)
