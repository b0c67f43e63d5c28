"""How long a page of /metrics takes: ours beside client_python's collector giving the very same series, in one run.

    python -m bench.exposition [--running 1000] [--ended 4000] [--names 50] [--rounds 7]

Before each of our pages every running process is told anew with all its volatile figures changed, as a tick of the sampler does.
The target is 60 ms for the whole page at the default sizes; CPU time, all of it in one thread. The bound is the join of lines that
are there already. A table and JSON go to stdout, the JSON to bench/results/ too.
"""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import thread_time
from typing import Any, Final

from bench.harness import Report, parser
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from headway.collector import Collector
from headway.metrics.families import NAME_FAMILIES, PROCESS_FAMILIES
from headway.metrics.family import Family, Number, Shown, Type
from headway.metrics.own import OwnMetrics
from headway.model import (
    Activity,
    Condition,
    ConditionReport,
    Done,
    Failed,
    Kind,
    OSProcess,
    Process,
    Running,
    Severity,
    Spec,
    State,
)
from headway.names import NameStats
from headway.samples import Sample
from headway.view import Limits, View

TARGET_MS: Final = 60.0
START: Final = 1_790_000_000.0
LIMITS: Final = Limits(stuck_after=60, time_sink_ratio=2, cpu_ratio=0.8, memory_ratio=0.7, time_sink_critical_ratio=3)


class World:
    """Processes with every family: `tick` gives the running ones with new figures."""

    def __init__(self, running: int, ended: int, names: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START + 3600
        self.made = running + ended
        self.names = [f"Job number {n}" for n in range(names)]
        self.running = [self._view(n, Running(START + n)) for n in range(running)]
        states: list[State] = [Done(START, START + 900, 0), Failed(START, START + 700, 1, None, "Connection refused")]
        self.ended = [self._view(running + n, states[n % 5 == 0]) for n in range(ended)]
        self.stats = {name: NameStats(name=name, kind=Kind.PIPELINE) for name in self.names}
        for view in self.ended:
            self.stats[view.process.name] = self.stats[view.process.name].with_end(view.process)

    def _view(self, n: int, state: State) -> View:
        spec = Spec(
            name=self.names[n % len(self.names)],
            kind=Kind.PIPELINE,
            created_at=START + n / 7,
            user="otto",
            project=f"project-{n % 9}",
            task=f"task-{n % 40}",
            attempt="1",
            agent="claude" if n % 3 else None,
            group="nightly",
            parent_id=f"01977f3e-0000-7000-8000-{n // 10:012d}" if n % 10 else None,
            os_process=OSProcess(1000 + n, START + n / 7),
            timeout=7200,
        )
        activity = Activity(updated_at=START, current=0, total=9_999, unit="rows", summary="412 rows kept, 13 merged")
        process = Process(
            id=f"01977f3e-4a5b-7c6d-8e9f-{n:012d}",
            spec=spec,
            state=state,
            activity=activity,
            metadata={"tokens": {"input": 15_000 + n, "output": 900 + n}, "cost_dollars": n / 97, "model": "m-1"},
        )
        return self._moved(View(process=process, now=self.now, limits=LIMITS))

    def _moved(self, view: View) -> View:
        draw = self.random.random
        process = view.process
        activity = replace(
            process.activity,
            updated_at=self.now - draw(),
            current=draw() * 9_999,
            last_output_at=self.now - draw() * 9,
            last_progress_at=self.now - draw() * 9,
        )
        process = replace(process, activity=activity)
        if process.status.ended:
            return replace(view, process=process)
        sample = Sample(
            at=self.now,
            alive=True,
            cpu_seconds=draw() * 1e4,
            cpu_ratio=draw(),
            cpu_wait_seconds=draw() * 100,
            major_faults=int(draw() * 1000),
            resident_bytes=int(draw() * 1e9),
            memory_ratio=draw(),
            io_read_bytes=int(draw() * 1e10),
            io_written_bytes=int(draw() * 1e10),
            threads=int(draw() * 40),
            open_fds=int(draw() * 90),
            os_processes=int(draw() * 9) + 1,
        )
        report = ConditionReport(self.random.choice(list(Condition)), Severity.WARNING, self.now, "no output for 75 s")
        return View(
            process=process,
            now=self.now,
            limits=LIMITS,
            rate=draw() * 9,
            eta=draw() * 900,
            expected_duration=1800.5,
            expected_runs=10,
            sample=sample,
            conditions=(report,),
            blocked_by=("01977f3e-4a5b-7c6d-8e9f-000000000001",),
        )

    def end(self) -> View:
        """One more that is done."""
        self.made += 1
        return self._view(self.made, Done(START, self.now, 0))

    def tick(self) -> list[View]:
        self.now += 2
        self.running = [self._moved(view) for view in self.running]
        return self.running


class Peer:
    """client_python's way: a custom collector that makes metric families from the same table at every page."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        world = self.world
        processes: list[tuple[dict[str, str], View]] = [
            ({"id": view.process.id, "name": view.process.name, "kind": view.process.kind.value}, view)
            for view in (*world.running, *world.ended)
        ]
        for family in PROCESS_FAMILIES:
            shown = {Shown.ALWAYS: (True, False), Shown.ACTIVE: (True,), Shown.ENDED: (False,)}[family.shown]
            yield _metric(family, [(own, view) for own, view in processes if view.process.status.active in shown])
        for family in NAME_FAMILIES:
            yield _metric(family, [({"name": s.name, "kind": s.kind.value}, s) for s in world.stats.values()])

    def page(self) -> bytes:
        return generate_latest(self.registry)


def _metric(family: Family, things: Sequence[tuple[dict[str, str], Any]]) -> Metric:
    kind = family.type.value if family.type is not Type.INFO else "gauge"
    metric = Metric(family.metadata_name if family.type is Type.COUNTER else family.name, family.help, kind)
    for own, thing in things:
        if family.value is not None:
            value = family.read(thing)
            if value is not None:
                metric.add_sample(family.name, own, value)
        elif family.rows is not None:
            for suffix, extra, number in family.rows(thing):
                given = {key: text for key, text in zip(family.labels, extra, strict=False) if text}
                metric.add_sample(family.name + suffix, {**own, **given}, number)
    return metric


def series(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], Number]:
    """Every series of a page that describes a process or a name."""
    found = {}
    ours = tuple(family.name for family in (*PROCESS_FAMILIES, *NAME_FAMILIES))
    for metric in text_string_to_metric_families(page.decode()):
        for sample in metric.samples:
            if sample.name.startswith(ours) and "_dropped_" not in sample.name and sample.name != "headway_processes":
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def filled(world: World) -> Collector:
    collector = Collector(OwnMetrics())
    for view in (*world.running, *world.ended):
        collector.put(view)
    for stats in world.stats.values():
        collector.put_name(stats)
    return collector


def timed(rounds: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[float]:
    """Milliseconds of CPU of each round, so that neighbours on the machine count little; `before` is not counted."""
    took = []
    for _ in range(rounds):
        before()
        started = thread_time()
        work()
        took.append((thread_time() - started) * 1000)
    return took


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__, rounds=7)
    flags.add_argument("--running", type=int, default=1000)
    flags.add_argument("--ended", type=int, default=4000)
    flags.add_argument("--names", type=int, default=50)
    flags.add_argument("--seed", type=int, default=1)
    options = flags.parse_args(arguments)

    small = World(12, 30, 5, options.seed)
    collector, peer = filled(small), Peer(small)
    collector.page()
    for view in small.tick():
        collector.put(view)
    if series(collector.page()[0]) != series(peer.page()):
        print("the pages differ: nothing to compare", file=sys.stderr)
        return 1

    world = World(options.running, options.ended, options.names, options.seed)
    collector, peer = filled(world), Peer(world)
    plain, _, _ = collector.page()
    zipped, _, _ = collector.page(None, "gzip")

    def tell() -> None:
        for view in world.running:
            collector.put(view)

    def tick() -> None:
        world.tick()
        tell()

    def tick_and_end() -> None:
        tick()
        collector.remove(world.ended.pop(0).process.id)
        world.ended.append(world.end())
        collector.put(world.ended[-1])

    report = Report("exposition", f"A page of /metrics: {options.running} running, {options.ended} ended, all volatile figures new")
    ready = plain.split(b"\n")
    for _ in range(options.rounds):
        report.add("tell the collector of every running process", "ms", *timed(1, tell, world.tick))
        report.add("page after a tick", "ms", *timed(1, collector.page, tick))
        report.add("page after a tick, gzip", "ms", *timed(1, lambda: collector.page(None, "gzip"), tick), target=TARGET_MS)
        report.add("page after a tick and an end, gzip", "ms", *timed(1, lambda: collector.page(None, "gzip"), tick_and_end))
        openmetrics = timed(1, lambda: collector.page("application/openmetrics-text", "gzip"), tick)
        report.add("page after a tick, OpenMetrics, gzip", "ms", *openmetrics)
        report.add("page again, gzip", "ms", *timed(1, lambda: collector.page(None, "gzip")))
        report.add("first page of all, gzip", "ms", *timed(1, lambda: filled(world).page(None, "gzip")))
        report.add("client_python: page", "ms", *timed(1, peer.page), of="peer")
        packed = timed(1, lambda: gzip.compress(peer.page()))
        report.add("client_python: page, gzip as its own app does it", "ms", *packed, of="peer")
        report.add("joining lines that are written already", "ms", *timed(1, lambda: b"\n".join(ready)), of="bound")
    report.facts |= {"lines": plain.count(b"\n"), "bytes": len(plain), "gzip_bytes": len(zipped)}
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
