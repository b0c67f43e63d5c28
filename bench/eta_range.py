"""Fits the range of the time left (headway/forecast.py), and says how well it does on kinds of runs that it was not fitted to.

    python -m bench.eta_range [--seeds 15] [--first-seed 5000]

The logs of a range's bounds are straight lines over what an estimator knows while a run goes on: how much is ahead, how much equal
parts differed, how wrong it would have been before, how few updates there were, and how much an earlier run is believed. Their
factors are the quantile regression (Koenker and Bassett 1978) of log(true / said) at 90% and, mirrored, at 10%: over the made-up
runs of bench/eta_traces.py and the recorded ones, as they were and ten times as slow, asked at nine points of progress and at nine
moments in time; each kind and each job counts the same. No factor is negative.

It prints the factors that were fitted beside those in use, and for every kind and job the share of the ranges that held the truth
and their median width (upper end divided by lower one): with the factors in use, and with factors fitted to all kinds but this one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from math import exp, log
from typing import Any, Final, NamedTuple

import numpy as np
from bench.eta import ASKED_EVERY, POINTS, SLOWER, updates
from bench.eta_traces import TRACES, Times
from bench.recording import read
from numpy.typing import NDArray

from headway import forecast
from headway.estimate import Estimator
from headway.forecast import Parts

Floats = NDArray[np.float64]

LOW: Final = {
    "LOW_AHEAD": forecast.LOW_AHEAD,
    "DEPARTED": forecast.DEPARTED,
    "LOW_SPREAD": forecast.LOW_SPREAD,
    "KNOWN_LOW": forecast.KNOWN_LOW,
    "KNOWN_LOW_SPREAD": forecast.KNOWN_LOW_SPREAD,
    "KNOWN_LOW_FEW": forecast.KNOWN_LOW_FEW,
}
HIGH: Final = {
    "HIGH": forecast.HIGH,
    "HIGH_REST": forecast.HIGH_REST,
    "HIGH_ERROR": forecast.HIGH_ERROR,
    "HIGH_FEW": forecast.HIGH_FEW,
    "KNOWN_HIGH": forecast.KNOWN_HIGH,
    "KNOWN_HIGH_SPREAD": forecast.KNOWN_HIGH_SPREAD,
    "KNOWN_HIGH_FEW": forecast.KNOWN_HIGH_FEW,
}
QUANTILE: Final = 0.9
STEPS: Final = 3000  # of gradient descent
SMOOTH: Final = 0.02  # logs within which a miss counts by halves, so that there is a gradient


class Row(NamedTuple):
    """One answer: of which kind of run, with an earlier run or without, log(true / said), and what each factor is multiplied by."""

    kind: str
    knowing: bool
    off: float
    low: list[float]
    high: list[float]


def columns(
    work: Parts, error: float, spread: float, known: float | None, apart: float, few: float
) -> tuple[list[float], list[float]]:
    """What stands beside the factors LOW and HIGH in forecast._margins."""
    done, ahead = len(work.ends) - 1, work.ahead
    k = known or 0.0
    more, without = log(1 + ahead / done), 1 - k
    low = [without * more, 0.0 if known is None else without * more, without * spread, k, k * apart, k * few]
    return low, [without, without * ahead / (done + ahead), without * error, without * few, k, k * apart, k * few]


def rows_of(kind: str, earlier: Times, ends: Times) -> Iterator[Row]:
    """Of one run, without and with the earlier one."""
    before, total, whole = Estimator(0.0), len(ends), float(ends[-1])
    for t, done in updates(earlier):
        before.add(t, done)
    told: list[Any] = []
    margins = forecast._margins

    def noted(*known: Any) -> tuple[float, float]:
        told[:] = known
        return margins(*known)

    forecast._margins = noted  # type: ignore[assignment]
    try:
        for shapes in ((), (before.shape(),)):
            estimator, asked, told[:] = Estimator(0.0, shapes=shapes), 0.0, []
            points, moments = [p * total for p in POINTS], [p * whole for p in POINTS]

            def answer(t: float, estimator: Estimator = estimator, knowing: bool = bool(shapes)) -> Iterator[Row]:
                said = estimator.eta(t, total)
                if said and told and whole > t:
                    yield Row(kind, knowing, log((whole - t) / said), *columns(*told))

            for t, done in updates(ends):
                while moments and moments[0] < t:
                    yield from answer(moments.pop(0))
                estimator.add(t, done)
                if t - asked >= ASKED_EVERY:
                    asked = t
                    estimator.eta(t, total)
                while points and done >= points[0]:
                    points.pop(0)
                    yield from answer(t)
    finally:
        forecast._margins = margins


def gathered(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for kind, trace in TRACES.items():
        for seed in seeds:
            earlier, ends = (trace(np.random.default_rng(s)) for s in (seed + 1_000_000, seed))
            rows += rows_of(kind, earlier, ends)
    for job, runs in read().items():
        for n, run in enumerate(runs):
            for slower in (1.0, SLOWER):
                rows += rows_of(f"{job} (recorded)", slower * np.array(runs[n - 1]), slower * np.array(run))
    return rows


def fitted(known: Floats, off: Floats, weights: Floats) -> Floats:
    """The factors, none negative, with the least mean pinball loss at QUANTILE: Adam (Kingma and Ba 2015) on a smoothed loss."""
    scale = np.maximum(1e-9, np.sqrt((known**2 * weights[:, None]).sum(0) / weights.sum()))
    x, w = known / scale, weights / weights.sum()
    b = np.full(x.shape[1], 0.1)
    first, second = np.zeros_like(b), np.zeros_like(b)
    for step in range(1, STEPS + 1):
        miss = np.clip((off - x @ b) / SMOOTH, -50, 50)
        slope = -(w * (QUANTILE - 1 / (1 + np.exp(miss)))) @ x
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        rate = 0.02 if step < STEPS / 2 else 0.004 if step < STEPS * 0.8 else 0.0008
        b = np.maximum(0.0, b - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8))
    result: Floats = b / scale
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.eta_range", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description = __doc__
    parser.add_argument("--seeds", type=int, default=15, help="made-up runs of each kind (default 15)")
    parser.add_argument("--first-seed", type=int, default=5000)
    options = parser.parse_args(arguments)
    rows = gathered(range(options.first_seed, options.first_seed + options.seeds))
    kinds, knowing = np.array([row.kind for row in rows]), np.array([row.knowing for row in rows])
    off = np.array([row.off for row in rows])
    low, high = np.array([row.low for row in rows]), np.array([row.high for row in rows])
    weights = np.zeros(len(rows))
    for kind in dict.fromkeys(kinds):
        for of in (True, False):
            here = (kinds == kind) & (knowing == of)
            weights[here] = 1 / max(1, here.sum())
    for names, known, side in ((LOW, low, -off), (HIGH, high, off)):
        for (name, used), best in zip(names.items(), fitted(known, side, weights), strict=True):
            print(f"{name:<20} in use {used:5.2f}   fitted {best:5.2f}")
    used_low, used_high = np.array(list(LOW.values())), np.array(list(HIGH.values()))
    print(f"\n{'held the truth, median width':<30}{'in use':>16}{'1 earlier run':>16}{'fitted to others':>20}{'1 earlier run':>16}")
    table = []
    for kind in dict.fromkeys(kinds):
        others = kinds != kind
        apart = (
            fitted(low[others], -off[others], weights[others]),
            fitted(high[others], off[others], weights[others]),
        )
        cells = []
        for factors in ((used_low, used_high), apart):
            for of in (False, True):
                here = (kinds == kind) & (knowing == of)
                below, above = (np.minimum(forecast.WIDEST, x[here] @ b) for x, b in zip((low, high), factors, strict=True))
                cells.append((float(((-below <= off[here]) & (off[here] <= above)).mean()), exp(float(np.median(below + above)))))
        table.append((kind, cells))
        print(
            f"{kind:<30}" + "".join(f"{f'{held:.0%} {wide:6.2f}':>{20 if n == 2 else 16}}" for n, (held, wide) in enumerate(cells))
        )
    for word, recorded in (("made up", False), ("recorded", True)):
        of_these = [cells for kind, cells in table if kind.endswith("(recorded)") == recorded]
        mean = np.mean(np.array(of_these), axis=0)
        print(
            f"{f'mean, {word}':<30}"
            + "".join(f"{f'{held:.0%} {wide:6.2f}':>{20 if n == 2 else 16}}" for n, (held, wide) in enumerate(mean))
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
