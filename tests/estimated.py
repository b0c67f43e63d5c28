"""Jobs whose progress an estimator is told."""

from __future__ import annotations

import math
from collections.abc import Iterable

from headway.estimate import Estimator

START = 1_790_000_000.0


def job(durations: Iterable[float], shapes: Iterable[tuple[float, ...]] = (), until: float = math.inf) -> tuple[Estimator, float]:
    """An estimator that saw items of these durations end, as far as `until` seconds; and the seconds until the last one it saw."""
    estimator, t, seen = Estimator(START, shapes=tuple(shapes)), 0.0, 0.0
    for done, duration in enumerate(durations, 1):
        t += duration
        if t > until:
            break
        estimator.add(START + t, done)
        seen = t
    return estimator, seen


def known(value: float | None) -> float:
    assert value is not None
    return value


def shape_of(durations: Iterable[float]) -> tuple[float, ...]:
    return job(durations)[0].shape()


SLOW_END = [0.1] * 900 + [2.0] * 100  # 90 s, then 200 s
