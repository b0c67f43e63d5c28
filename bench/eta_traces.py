"""Ten kinds of jobs, made up: each function draws the times (s) at which the items of one run were done.

The numbers differ from seed to seed as they do from run to run of one job; what makes the kind stays.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Final, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Times: TypeAlias = NDArray[np.float64]
ITEMS: Final = 2000


def _durations(random: Generator, items: int, mean: float, spread: float) -> Times:
    """Log-normal durations; `spread` is the standard deviation of their logs."""
    return random.lognormal(log(mean) - spread**2 / 2, spread, items)


def constant(random: Generator) -> Times:
    """Nothing but noise."""
    return np.cumsum(_durations(random, ITEMS, 0.3, 0.2))


def slow_start(random: Generator) -> Times:
    """Some 25 s until the first item, then caches that fill: seven times as slow at first."""
    filling = 1 + 6 * np.exp(-np.arange(ITEMS) / (0.05 * ITEMS))
    return random.uniform(10, 40) + np.cumsum(_durations(random, ITEMS, 0.25, 0.2) * filling)


def drift_slower(random: Generator) -> Times:
    """The last items take three times as long as the first."""
    return np.cumsum(_durations(random, ITEMS, 0.15, 0.2) * np.linspace(1, 3, ITEMS))


def drift_faster(random: Generator) -> Times:
    """The first items take three times as long as the last."""
    return np.cumsum(_durations(random, ITEMS, 0.15, 0.2) * np.linspace(3, 1, ITEMS))


def heavy_tail(random: Generator) -> Times:
    """A few items take most of the time (Pareto, 1.5)."""
    return np.cumsum((random.pareto(1.5, 300) + 1) * 0.7)


def bursty(random: Generator) -> Times:
    """Two paces that alternate, one five times the other, each for some 40 s."""
    durations, pace, left = [], float(random.choice([0.1, 0.5])), random.exponential(40)
    for _ in range(ITEMS):
        durations.append(pace * random.lognormal(0, 0.2))
        left -= durations[-1]
        if left < 0:
            pace, left = 0.6 - pace, random.exponential(40)
    return np.cumsum(durations)


def stalls(random: Generator) -> Times:
    """Three times it hangs for 30 to 120 s."""
    durations = _durations(random, ITEMS, 0.25, 0.2)
    for k in random.integers(0, ITEMS, 3):
        durations[k] += random.uniform(30, 120)
    return np.cumsum(durations)


def two_phase_slower(random: Generator) -> Times:
    """Somewhere in the middle it becomes three times as slow."""
    durations = _durations(random, ITEMS, 0.15, 0.2)
    durations[int(ITEMS * random.uniform(0.4, 0.7)) :] *= 3
    return np.cumsum(durations)


def two_phase_faster(random: Generator) -> Times:
    """Somewhere before the middle it becomes three times as fast."""
    durations = _durations(random, ITEMS, 0.15, 0.2)
    durations[: int(ITEMS * random.uniform(0.3, 0.6))] *= 3
    return np.cumsum(durations)


def few_items(random: Generator) -> Times:
    """Twenty items of half a minute."""
    return np.cumsum(_durations(random, 20, 30, 0.4))


TRACES: Final[dict[str, Callable[[Generator], Times]]] = {
    f.__name__: f
    for f in (
        constant,
        slow_start,
        drift_slower,
        drift_faster,
        heavy_tail,
        bursty,
        stalls,
        two_phase_slower,
        two_phase_faster,
        few_items,
    )
}
