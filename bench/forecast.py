"""How good the forecast of a time sink is: on replayed runs, how often it was right, and how early.

    python -m bench.forecast [--seeds 40] [--first-seed 3000] [--workers 2]

A run of each kind of bench/eta_traces.py is expected to take as long as the median of five earlier ones; twice that makes it a time
sink. Half of the runs go wrong: from somewhere in the first 70% of their items on they are 1.5 to 6 times as slow, which nobody can
know before. Every 2% of the expected time, until it ends or is a time sink, each forecaster says whether it will become one. What
counts is the first alarm: right if the run did become a time sink; how early is the share of the time from the beginning of the
trouble to the limit that was left. Ours alarms at «likely» (0.5) or «yes» (0.9), and knows this run only, or one earlier run too;
then its probability is the mean of those with the earlier run and without, beside which stands what the earlier run alone says.
Beside it the plain mean of the time per item, and the gate itself, which never alarms before. Brier: the mean square of probability
minus outcome, over the moments since the trouble began (0.25 is what tossing a coin scores). A table and JSON go to stdout, the
JSON to bench/results/ too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Final, NamedTuple

import numpy as np
from bench.eta import updates
from bench.eta_traces import TRACES, Times

from headway.analysis.forecasts import LIKELY, YES
from headway.analysis.numbers import beyond
from headway.estimate import Estimator

RATIO: Final = 2.0
EARLIER: Final = 5
EVERY: Final = 0.02  # of the expected time
BINS: Final = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
# Of «yes» with an earlier run: right nine times of ten.
TARGET_RIGHT: Final = 0.9


BOTH: Final = "headway, 1 earlier run"
BELIEVED: Final = "the earlier run believed"


class Verdict(NamedTuple):
    """Of one forecaster on one run: whether it alarmed, and then what share of the time from trouble to limit was left."""

    alarmed: bool
    early: float


class Outcome(NamedTuple):
    trace: str
    sank: bool
    verdicts: dict[str, Verdict]
    moments: dict[str, list[tuple[float, bool]]]  # probability, whether it became a time sink


def replayed(trace: str, seed: int) -> tuple[Times, float, float, Sequence[float]]:
    """The times of one run, when its trouble begins, how long it is expected to take, and the shape of an earlier one."""
    random = np.random.default_rng(seed)
    earlier = [TRACES[trace](np.random.default_rng(seed + 1_000_000 * (k + 1))) for k in range(EARLIER)]
    before = Estimator(0.0)
    for t, done in updates(earlier[-1]):
        before.add(t, done)
    durations = np.diff(TRACES[trace](random), prepend=0.0)
    trouble = 0.0
    if random.random() < 0.5:
        first = int(len(durations) * random.uniform(0, 0.7))
        trouble = float(durations[:first].sum())
        durations[first:] *= random.uniform(1.5, 6)
    return np.cumsum(durations), trouble, float(np.median([ends[-1] for ends in earlier])), before.shape()


def run(trace: str, seed: int) -> Outcome:
    ends, trouble, expected, shape = replayed(trace, seed)
    limit, total = RATIO * expected, len(ends)
    sank = bool(ends[-1] >= limit)
    ours = {"headway": Estimator(0.0), BELIEVED: Estimator(0.0, shapes=[shape])}
    told = list(updates(ends))
    first: dict[str, float] = {}
    moments: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    place, done, now = 0, 0, EVERY * expected
    while now < min(limit, float(ends[-1])):
        while place < len(told) and told[place][0] <= now:
            t, done = told[place]
            for estimator in ours.values():
                estimator.add(t, done)
            place += 1
        told_now: dict[str, float] = {}
        for name, estimator in ours.items():
            eta, bounds = estimator.eta(now, total), estimator.eta_range(now, total)
            if eta is not None and bounds is not None:
                told_now[name] = beyond(limit - now, eta, *bounds)
        if (alone := ours[BELIEVED].alone(now, total)) is not None and BELIEVED in told_now:
            told_now[BOTH] = (told_now[BELIEVED] + beyond(limit - now, *alone)) / 2
        for name, probability in told_now.items():
            if now >= trouble:
                moments[name].append((probability, sank))
            for word, least in (("likely", LIKELY), ("yes", YES)):
                if probability >= least:
                    first.setdefault(f"{name}: {word}", now)
        if done and now * total / done >= limit:
            first.setdefault("plain mean", now)
        now += EVERY * expected
    names = [f"{name}: {word}" for word in ("likely", "yes") for name in (*ours, BOTH)] + ["plain mean", "the gate alone"]
    verdicts = {
        name: Verdict(name in first, min(1.0, (limit - first.get(name, limit)) / max(limit - trouble, 1e-9))) for name in names
    }
    if sank:
        verdicts["the gate alone"] = Verdict(True, 0.0)
    return Outcome(trace, sank, verdicts, dict(moments))


def summary(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    """By forecaster: of its alarms those that were right, of the time sinks those it foretold, and how early (median, 10%)."""
    table: dict[str, dict[str, float | None]] = {}
    sinks = [outcome for outcome in outcomes if outcome.sank]
    for name in outcomes[0].verdicts:
        alarmed = [outcome for outcome in outcomes if outcome.verdicts[name].alarmed]
        right = [outcome for outcome in alarmed if outcome.sank]
        early = sorted(outcome.verdicts[name].early for outcome in right)
        table[name] = {
            "alarms": len(alarmed),
            "right": len(right) / len(alarmed) if alarmed else None,
            "foretold": len(right) / len(sinks) if sinks else None,
            "early_median": median(early) if early else None,
            "early_p10": early[len(early) // 10] if early else None,
        }
    return table


def calibration(outcomes: Sequence[Outcome], name: str) -> tuple[float, list[tuple[str, int, float, float]]]:
    """The Brier score, and for each range of probabilities how many moments, what was said on average, and what became true."""
    said = [moment for outcome in outcomes for moment in outcome.moments.get(name, ())]
    rows = []
    for low, high in pairwise(BINS):
        inside = [(p, sank) for p, sank in said if low <= p < high or (high == 1.0 and p == 1.0)]
        if inside:
            rows.append((f"{low:.1f} to {high:.1f}", len(inside), fmean(p for p, _ in inside), fmean(sank for _, sank in inside)))
    return fmean((p - sank) ** 2 for p, sank in said), rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.forecast", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description = __doc__
    parser.add_argument("--seeds", type=int, default=40, help="runs of each kind (default 40)")
    parser.add_argument("--first-seed", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)
    asked = [(trace, seed) for seed in range(options.first_seed, options.first_seed + options.seeds) for trace in TRACES]
    with ProcessPoolExecutor(options.workers) as pool:
        outcomes = list(pool.map(run, *zip(*asked, strict=True), chunksize=4))
    table = summary(outcomes)
    sinks = sum(outcome.sank for outcome in outcomes)
    print(f"{len(outcomes)} runs, {sinks} of them became time sinks")
    print(f"{'forecaster':<32}{'alarms':>8}{'right':>8}{'foretold':>10}{'left, median':>14}{'left, 10%':>11}")
    for name, row in table.items():
        cells = [f"{row['alarms']:>8.0f}", *(shown(row[key], width) for key, width in COLUMNS)]
        print(f"{name:<32}" + "".join(cells))
    scores = {}
    for name in ("headway", BOTH, BELIEVED):
        brier, rows = calibration(outcomes, name)
        scores[name] = {"brier": round(brier, 4), "bins": [[word, count, round(p, 3), round(s, 3)] for word, count, p, s in rows]}
        print(f"\n{name}: Brier {brier:.3f}; said, became true:")
        for word, count, p, s in rows:
            print(f"  {word:<12}{count:>7} moments{p:>8.0%}{s:>8.0%}")
    best = table[f"{BOTH}: yes"]
    met = (best["right"] or 0.0) >= TARGET_RIGHT
    print(f"\ntarget for «yes» with one earlier run: right {TARGET_RIGHT:.0%}: {'met' if met else 'MISSED'}")
    result = {
        "benchmark": "forecast",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "seeds": options.seeds,
        "first_seed": options.first_seed,
        "runs": len(outcomes),
        "time_sinks": sinks,
        "target_right": TARGET_RIGHT,
        "met": met,
        "forecasters": {name: {k: None if v is None else round(v, 4) for k, v in row.items()} for name, row in table.items()},
        "calibration": scores,
    }
    text = json.dumps(result, indent=2)
    print(f"\n{text}")
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "forecast.json").write_text(text + "\n")
    return 0 if met else 1


COLUMNS: Final = (("right", 8), ("foretold", 10), ("early_median", 14), ("early_p10", 11))


def shown(value: float | None, width: int) -> str:
    return f"{'-' if value is None else format(value, '.0%'):>{width}}"


if __name__ == "__main__":
    sys.exit(main())
