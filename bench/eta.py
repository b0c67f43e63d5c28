"""How good the time left is: ours beside tqdm, rich and the plain mean on the same runs, made up and real ones, and what it costs.

    python -m bench.eta [--seeds 200] [--first-seed 1000] [--workers 2]

Every run is told at 1 Hz (seconds, items done), only when something was done. At nine points, 10% to 90% of the items, each
estimator says how long the rest takes; the error is |said - true| / true, at most 10, and 1 where nothing is said. Ours is asked
every two seconds as well, as Prometheus does, because it keeps what it worked out for a while. A quarter of the made-up runs is
told once more as resumed, the first half being done before; then come the real runs of bench/recordings, as they were and ten times
as slow, because most of them are short.

Of our range (10% to 90%) it says in how many cases it held the true end, at these points and at nine moments that are equally far
apart in time, and its median width: the upper end divided by the lower one.

Targets for the mean over the ten kinds of made-up runs (bench/eta_traces.py): at most tqdm's without, at most 0.7 of tqdm's with
one earlier run (another seed); at most 15 µs for rate, time left and range of a process at a scrape. A table and JSON go to stdout,
the JSON to bench/results/ too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import count
from pathlib import Path
from statistics import fmean, median
from time import process_time
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from bench.eta_traces import TRACES, Times
from bench.recording import FOLDER, read
from rich.progress import Progress
from tqdm import tqdm

from headway.estimate import Estimator
from headway.forecast import PARTS, USUAL_PARTS, Parts, forecast

SLOWER: Final = 10.0  # the recorded runs are replayed so much slower, too
POINTS: Final = tuple(k / 10 for k in range(1, 10))
WORST_ERROR: Final = 10.0
NO_ESTIMATE: Final = 1.0
ASKED_EVERY: Final = 2.0  # s, a scrape interval
TARGETS: Final = {"headway": 1.0, "headway, 1 earlier run": 0.7}  # of tqdm's error
TARGET_MICROSECONDS: Final = 15.0

tqdm.monitor_interval = 0  # no thread that refreshes


class Peer(Protocol):
    def told(self, t: float, done: int) -> None: ...

    def left(self, t: float) -> float | None: ...


class PlainMean:
    def __init__(self, total: int, initial: int = 0) -> None:
        self.total, self.initial, self.done = total, initial, initial

    def told(self, t: float, done: int) -> None:
        self.done = done

    def left(self, t: float) -> float | None:
        done = self.done - self.initial
        return t * (self.total - self.done) / done if done else None


class Tqdm:
    """The real one with its defaults and a clock of ours; it draws nothing."""

    class _Bar(tqdm):  # type: ignore[type-arg]
        _time: Callable[[], float]

        def display(self, *_: object, **__: object) -> None:
            pass

        def close(self) -> None:
            pass

    def __init__(self, total: int, initial: int = 0) -> None:
        self.t = 0.0
        self.bar = self._Bar(total=total, initial=initial, file=sys.stderr, leave=False)
        self.bar._time = lambda: self.t
        self.bar.start_t = self.bar.last_print_t = 0.0

    def told(self, t: float, done: int) -> None:
        self.t = t
        self.bar.update(done - self.bar.n)

    def left(self, t: float) -> float | None:
        known = self.bar.format_dict
        rate = known["rate"] or ((known["n"] - known["initial"]) / t if t else None)  # as tqdm.format_meter has it
        return (known["total"] - known["n"]) / rate if rate else None


class Rich:
    """The real one with its defaults (the last 30 s, at most 1000 updates) and a clock of ours."""

    def __init__(self, total: int, initial: int = 0) -> None:
        self.t = 0.0
        self.progress = Progress(get_time=lambda: self.t, auto_refresh=False, disable=True)
        self.task = self.progress.add_task("", total=total, completed=initial)

    def told(self, t: float, done: int) -> None:
        self.t = t
        self.progress.update(self.task, completed=done)

    def left(self, t: float) -> float | None:
        return self.progress.tasks[0].time_remaining


class Span(NamedTuple):
    """One of our ranges: whether the truth was within it, and its upper end divided by its lower."""

    held: bool
    width: float


class Ours:
    def __init__(self, total: int, initial: int = 0, shapes: Sequence[Sequence[float]] = ()) -> None:
        self.estimator, self.total, self.asked = Estimator(0.0, initial or None, shapes), total, 0.0

    def told(self, t: float, done: int) -> None:
        self.estimator.add(t, done)
        if t - self.asked >= ASKED_EVERY:
            self.asked = t
            self.left(t)

    def left(self, t: float) -> float | None:
        return self.estimator.eta(t, self.total)

    def span(self, t: float, truth: float) -> list[Span]:
        """None where nothing is known."""
        bounds = self.estimator.eta_range(t, self.total)
        return [] if bounds is None else [Span(bounds[0] <= truth <= bounds[1], bounds[1] / max(bounds[0], 1e-9))]


def updates(ends: Times) -> Iterator[tuple[float, int]]:
    """(s, items done) at each full second at which there is something new, then at the end."""
    seconds = np.arange(1.0, ends[-1])
    done = np.searchsorted(ends, seconds, side="right")
    news = np.flatnonzero(np.diff(done, prepend=0))
    yield from zip(seconds[news].tolist(), done[news].tolist(), strict=True)
    yield float(ends[-1]), len(ends)


class Outcome(NamedTuple):
    """Of one run: the error of each estimator at each point, our ranges there, and at moments equally far apart in time."""

    kind: str
    errors: dict[str, list[float]]
    spans: dict[str, list[Span]]
    in_time: dict[str, list[Span]]


def run(trace: str, seed: int, resumed: bool = False) -> Outcome:
    """A made-up run and an earlier one. `resumed`: its first half was done before, at another time."""
    earlier, ends = (TRACES[trace](np.random.default_rng(s)) for s in (seed + 1_000_000, seed))
    return replay(trace, earlier, ends, len(ends) // 2 if resumed else 0)


def replay(kind: str, earlier_ends: Times, ends: Times, initial: int = 0) -> Outcome:
    """Tells all estimators of a run, of which `initial` items were done before."""
    earlier = Ours(len(earlier_ends))
    for t, done in updates(earlier_ends):
        earlier.estimator.add(t, done)
    total, shape = len(ends), earlier.estimator.shape()
    if initial:
        ends = ends[initial:] - ends[initial - 1]
    ours = {"headway": Ours(total, initial), "headway, 1 earlier run": Ours(total, initial, [shape])}
    peers: dict[str, Peer] = {"tqdm": Tqdm(total, initial), "rich": Rich(total, initial), "plain mean": PlainMean(total, initial)}
    all_: dict[str, Peer] = {**ours, **peers}
    result = Outcome(kind, defaultdict(list), defaultdict(list), defaultdict(list))
    points, moments = [initial + p * len(ends) for p in POINTS], [p * float(ends[-1]) for p in POINTS]
    for t, since in updates(ends):
        done = initial + since
        while moments and moments[0] < t:
            moment = moments.pop(0)
            for name, own in ours.items():
                result.in_time[name] += own.span(moment, float(ends[-1]) - moment)
        for estimator in all_.values():
            estimator.told(t, done)
        truth = float(ends[-1]) - t
        while points and done >= points[0] and truth > 0:
            points.pop(0)
            for name, estimator in all_.items():
                said = estimator.left(t)
                result.errors[name].append(NO_ESTIMATE if said is None else min(WORST_ERROR, abs(said - truth) / truth))
            for name, own in ours.items():
                result.spans[name] += own.span(t, truth)
    return result


Judged = dict[str, dict[str, float]]


class Judgement(NamedTuple):
    """By kind of run, then by estimator: mean error, share of our ranges that held the truth, and their median width."""

    errors: Judged
    held: Judged
    widths: Judged
    held_in_time: Judged


def recorded(folder: Path, slower: float = 1.0) -> Judgement:
    """Of real jobs (bench.recording): each run, with the one before it as the earlier run, the first with the last."""
    outcomes = []
    for job, runs in read(folder).items():
        assert len(runs) > 1, f"{job}: one run has no earlier one"
        outcomes += [replay(job, slower * np.array(runs[n - 1]), slower * np.array(ends)) for n, ends in enumerate(runs)]
    return summed_up(outcomes)


def summed_up(outcomes: Iterable[Outcome]) -> Judgement:
    errors: dict[str, dict[str, list[float]]] = {}
    spans: dict[str, dict[str, list[Span]]] = {}
    in_time: dict[str, dict[str, list[Span]]] = {}
    for outcome in outcomes:
        for name, found in outcome.errors.items():
            errors.setdefault(outcome.kind, defaultdict(list))[name] += found
        for all_of, of_run in ((spans, outcome.spans), (in_time, outcome.in_time)):
            for name, ranges in of_run.items():
                all_of.setdefault(outcome.kind, defaultdict(list))[name] += ranges
    return Judgement(
        {kind: {name: fmean(found) for name, found in of.items()} for kind, of in errors.items()},
        {kind: {name: fmean(span.held for span in found) for name, found in of.items()} for kind, of in spans.items()},
        {kind: {name: median(span.width for span in found) for name, found in of.items()} for kind, of in spans.items()},
        {kind: {name: fmean(span.held for span in found) for name, found in of.items()} for kind, of in in_time.items()},
    )


def judge(seeds: Sequence[int], workers: int, resumed: bool = False) -> Judgement:
    with ProcessPoolExecutor(workers) as pool:
        try:
            waiting = [pool.submit(run, trace, seed, resumed) for trace in TRACES for seed in seeds]
            for _ in tqdm(as_completed(waiting), total=len(waiting), unit="run", disable=None):
                pass
            return summed_up(future.result() for future in waiting)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def means(judged: Judged) -> dict[str, float]:
    """Over the kinds of runs, each counting the same."""
    return {name: fmean(of[name] for of in judged.values()) for name in next(iter(judged.values()))}


def show(title: str, judged: Judgement) -> None:
    errors, held, widths, in_time = judged
    names, mean = list(means(errors)), means(errors)
    print(f"{title:<26}" + "".join(f"{name:>24}" for name in names))
    for kind, of in (*errors.items(), ("mean", mean)):
        print(f"  {kind:<24}" + "".join(f"{of[name]:>24.1%}" for name in names))
    print(f"  {'of tqdm':<24}" + "".join(f"{mean[name] / mean['tqdm']:>24.2f}" for name in names))
    print(f"  {'target':<24}" + "".join(f"{TARGETS.get(name, ''):>24}" for name in names))
    print("  truth within the range, its median width")
    for kind, of in (*held.items(), ("mean", means(held))):
        wide = widths.get(kind) or means(widths)
        print(f"  {kind:<24}" + "".join(f"{f'{share:.0%} {wide[name]:6.2f}':>24}" for name, share in of.items()))
    print(f"  {'at moments in time':<24}" + "".join(f"{f'{share:.0%}       ':>24}" for share in means(in_time).values()) + "\n")


def as_json(judged: Judgement) -> dict[str, Any]:
    errors, held, widths, in_time = judged
    mean = means(errors)
    return {
        "mean_error": {name: round(share, 4) for name, share in mean.items()},
        "of_tqdm": {name: round(share / mean["tqdm"], 3) for name, share in mean.items()},
        "error": {kind: {name: round(share, 4) for name, share in of.items()} for kind, of in errors.items()},
        "range_coverage": {name: round(share, 3) for name, share in means(held).items()},
        "range_width": {name: round(width, 2) for name, width in means(widths).items()},
        "range_coverage_in_time": {name: round(share, 3) for name, share in means(in_time).items()},
        "coverage": {kind: {name: round(share, 3) for name, share in of.items()} for kind, of in held.items()},
        "width": {kind: {name: round(width, 2) for name, width in of.items()} for kind, of in widths.items()},
    }


# ── cost ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Running:
    """A run of one kind after another, each told at 1 Hz, beginning somewhere in the first."""

    def __init__(self, n: int, history: bool, offset: float) -> None:
        self.random, self.trace = np.random.default_rng(n), list(TRACES.values())[n % len(TRACES)]
        self.shapes: list[Sequence[float]] = []
        if history:
            before = Estimator(0.0)
            for t, done in updates(self.trace(self.random)):
                before.add(t, done)
            self.shapes.append(before.shape())
        self.offset = offset
        self._begin(0)
        for now in range(1, int(self.random.uniform(0, len(self.counts)))):
            self.estimator.add(now + self.offset, self.counts[now])
            self.started -= 1
        self.asked(0.0)

    def _begin(self, now: int) -> None:
        ends = self.trace(self.random)
        self.started, self.total = now, len(ends)
        self.counts = np.searchsorted(ends, np.arange(ends[-1]), side="right").tolist()
        self.estimator = Estimator(self.offset, shapes=self.shapes)

    def told(self, now: int) -> None:
        if now - self.started >= len(self.counts):
            self._begin(now)
        self.estimator.add(now - self.started + self.offset, self.counts[now - self.started])

    def asked(self, now: float) -> None:
        at = now - self.started
        self.estimator.figures(at, self.total)


def at_scrapes(seconds: int, count: int, history: bool) -> tuple[float, float]:
    """Microseconds of processor time for rate, time left and range of a process at a scrape while `count` of them are told at
    1 Hz: on average and at the worst scrape. New runs take the place of those that end, so that every age occurs."""
    running = [Running(n, history, n / count / 2) for n in range(count)]
    scrapes = []
    for now in range(1, seconds + 1):
        for process in running:
            process.told(now)
        if now % ASKED_EVERY == 0:
            started = process_time()
            for process in running:
                process.asked(now + 0.6)
            scrapes.append((process_time() - started) / count * 1e6)
    return fmean(scrapes), max(scrapes)


def each_call() -> dict[str, float]:
    """Microseconds of one call."""
    estimator = Estimator(0.0)
    for k in range(1, 1001):
        estimator.add(float(k), k)
    estimator.eta(1000.5, 2000)
    paces = np.random.default_rng(1).lognormal(0, 0.2, PARTS)
    parts = Parts([0.0, *np.cumsum(paces).tolist()], 9.0)
    fewer = Parts(parts.ends[: USUAL_PARTS + 1], 9.0)
    telling, seconds = Estimator(0.0), count(1)

    def tell() -> None:
        second = next(seconds)
        telling.add(float(second), second)

    moments = (1000.0 + k / 1e6 for k in count(1))
    told, moment = Estimator(0.0), count(1)

    def tell_and_ask() -> None:
        second = next(moment)
        told.add(float(second), second)
        told.figures(float(second), 1e9)

    calls: dict[str, Callable[[], object]] = {
        "add": tell,
        "figures, nothing new": lambda: estimator.figures(next(moments), 2000),
        "add and figures": tell_and_ask,
        "forecast": partial(forecast, parts, PARTS),
        "forecast, 1 earlier run": partial(forecast, fewer, PARTS, fewer),
    }
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(15):
        for name, call in calls.items():
            started = process_time()
            for _ in range(200):
                call()
            took[name].append((process_time() - started) / 200 * 1e6)
    return {name: round(min(found), 2) for name, found in took.items()}


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.eta", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description = __doc__
    parser.add_argument("--seeds", type=int, default=200, help="runs of each kind (default 200)")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=int, default=120, help="length of the time that is scraped (default 120)")
    parser.add_argument("--running", type=int, default=1000, help="processes that are scraped (default 1000)")
    parser.add_argument("--recordings", type=Path, default=FOLDER, help="folder of recorded runs (bench.recording)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)

    seeds = range(options.first_seed, options.first_seed + options.seeds)
    made_up = judge(seeds, options.workers)
    halves = judge(seeds[: max(1, len(seeds) // 4)], options.workers, resumed=True)
    real, slower = recorded(options.recordings), recorded(options.recordings, SLOWER)
    calls = each_call()
    scrape = {
        n: at_scrapes(options.seconds, options.running, history)
        for n, history in (("headway", False), ("headway, 1 earlier run", True))
    }
    show("mean error, made-up runs", made_up)
    show("the same, resumed at half", halves)
    show("recorded runs", real)
    show(f"the same, {SLOWER:.0f} times as slow", slower)
    print("µs of one call: " + ", ".join(f"{name} {spent:.2f}" for name, spent in calls.items()))
    print(f"µs for each of {options.running} processes at a scrape (target {TARGET_MICROSECONDS:.0f}): mean, worst scrape")
    for name, (usual, worst) in scrape.items():
        print(f"  {name:<22}{usual:>8.1f}{worst:>8.1f}")
    result = {
        "benchmark": "eta",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "cpus": os.cpu_count(),
        "seeds": options.seeds,
        "first_seed": options.first_seed,
        "targets_of_tqdm": TARGETS,
        **as_json(made_up),
        "resumed": as_json(halves),
        "recorded": as_json(real),
        "recorded_slower": as_json(slower),
        "running": options.running,
        "call_microseconds": calls,
        "target_scrape_microseconds": TARGET_MICROSECONDS,
        "scrape_microseconds": {name: round(spent[0], 2) for name, spent in scrape.items()},
        "worst_scrape_microseconds": {name: round(spent[1], 2) for name, spent in scrape.items()},
    }
    print(json.dumps(result))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "eta.json").write_text(json.dumps(result, indent=1) + "\n")
    mean = means(made_up.errors)
    good = all(mean[name] / mean["tqdm"] <= target for name, target in TARGETS.items())
    return 0 if good and all(spent[0] <= TARGET_MICROSECONDS for spent in scrape.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
