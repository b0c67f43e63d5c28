"""The exporter's own health, exposed through client_python from a registry of its own.

The figures are kept as plain numbers, because counting a request must cost next to nothing; client_python sees them when a page
is asked for. Nothing here is a client_python metric object, so there are no `_created` series either.
"""

from __future__ import annotations

import logging
import platform
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as write_text
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest as write_openmetrics

from headway.metrics.family import Family, Type
from headway.metrics.own_families import OWN_FAMILIES
from headway.metrics.page import Format
from headway.settings import Settings
from headway.version import VERSION

_log = logging.getLogger(__name__)

_DECLARED: Final = {family.name: family for family in OWN_FAMILIES}
# From a quick pass over a few processes to one that eats the whole sample interval.
_SAMPLE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_RENDER_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# From an update in memory to a creation that waits for a slow disk.
_REQUEST_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
ACTIONS: Final = (
    *("cancel", "cleanup", "dismiss", "kill", "kill_scope", "pause", "restart", "resume", "retry", "sign_in", "sign_out"),
    *("start", "stop", "track"),
)
OUTCOMES: Final = ("done", "failed", "refused")


class StandingFigures(Protocol):
    """What is read of an integration (see headway.polling.poller)."""

    @property
    def up(self) -> bool | None: ...
    @property
    def succeeded_at(self) -> float | None: ...


class WriterFigures(Protocol):
    """What is read of the store's writer (see headway.store.writer); None and absent figures have no series."""

    @property
    def commits_total(self) -> int: ...
    @property
    def commit_groups_total(self) -> int: ...
    @property
    def commit_failures_total(self) -> int: ...
    @property
    def last_commit_seconds(self) -> float | None: ...
    @property
    def pending(self) -> int: ...
    @property
    def dropped_lines_total(self) -> int: ...


class AnnouncerFigures(Protocol):
    @property
    def pending(self) -> int: ...
    @property
    def delivered(self) -> int: ...
    @property
    def given_up(self) -> int: ...


class SamplerFigures(Protocol):
    @property
    def errors_total(self) -> int: ...


class Tally:
    """A histogram as numbers: observations per bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and cumulative count, as client_python wants them."""
        return list(zip((*map(str, self.bounds), "+Inf"), accumulate(self.counts), strict=True))


class OwnMetrics:
    """What the exporter knows of itself. `observe_…` may be called from one thread each, at any rate; `page` from any thread.

    A figure that cannot be read now (a store that is away) has no series on that page; the page itself never fails for it.
    """

    def __init__(self, *, external_url: str = "", grafana_url: str = "", version: str = VERSION, proc: str = "/proc") -> None:
        """`external_url`, `grafana_url`: how people reach the exporter and dashboards; links in alerts come from these labels."""
        self._version = version
        self.external_url = external_url
        self.grafana_url = grafana_url
        self._figures: dict[str, Callable[[], float | None]] = {}
        self._samples = Tally(_SAMPLE_BUCKETS)
        self._renders = Tally(_RENDER_BUCKETS)
        self._durations: dict[str, Tally] = {}
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._discovered: Callable[[], Mapping[str, int]] = dict
        self._integrations: Callable[[], Mapping[str, tuple[StandingFigures, int]]] = dict
        # From the start at 0: a counter that is born at 1 has not increased.
        self._actions = {(action, outcome): 0 for action in ACTIONS for outcome in OUTCOMES}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(proc=proc, registry=self._registry)

    # ── what the app tells ─────────────────────────────────────────────────────────────────────────────────────────

    def watch_store(self, writer: WriterFigures, *, size_bytes: Callable[[], int], up: Callable[[], bool]) -> None:
        """`size_bytes` and `up` are asked for every page: they must be quick and not wait for the disk."""
        self._figures |= {
            "headway_store_commits_total": lambda: writer.commits_total,
            "headway_store_commit_groups_total": lambda: writer.commit_groups_total,
            "headway_store_commit_failures_total": lambda: writer.commit_failures_total,
            "headway_store_commit_duration_seconds": lambda: writer.last_commit_seconds,
            "headway_store_pending": lambda: writer.pending,
            "headway_store_dropped_lines_total": lambda: writer.dropped_lines_total,
            "headway_store_size_bytes": size_bytes,
            "headway_store_up": lambda: int(up()),
        }

    def watch_sampler(self, sampler: SamplerFigures) -> None:
        self._figures["headway_sample_errors_total"] = lambda: sampler.errors_total

    def watch_settings(self, settings: Settings) -> None:
        """The thresholds that are the same for all: rules take them from here."""
        self._figures |= {
            "headway_sample_interval_seconds": lambda: settings.sample_interval,
            "headway_zombie_threshold_seconds": lambda: settings.zombie_after,
            "headway_failure_ratio_threshold": lambda: settings.failure_rate,
            "headway_failure_runs_threshold": lambda: settings.failure_rate_runs,
            "headway_memory_foresight_seconds": lambda: settings.memory_foresight,
        }

    def watch_since(self, since: Callable[[], float]) -> None:
        self._figures["headway_watching_since_timestamp_seconds"] = since

    def watch_integrations(self, standings: Callable[[], Mapping[str, tuple[StandingFigures, int]]]) -> None:
        """`standings`: how each does, and how many of its processes are active."""
        self._integrations = standings

    def watch_discovery(self, counts: Callable[[], Mapping[str, int]], seconds: Callable[[], float | None]) -> None:
        """`counts`: by rule. Both are asked for every page."""
        self._discovered = counts
        self._figures["headway_discovery_duration_seconds"] = seconds

    def watch_announcer(self, announcer: AnnouncerFigures) -> None:
        self._figures["headway_announcements_pending"] = lambda: announcer.pending
        self._figures["headway_announcements_delivered_total"] = lambda: announcer.delivered
        self._figures["headway_announcements_given_up_total"] = lambda: announcer.given_up

    def watch_stream(self, subscribers: Callable[[], int]) -> None:
        self._figures["headway_stream_subscribers"] = subscribers

    def watch_series(self, series: Callable[[], int]) -> None:
        self._figures["headway_collector_series"] = series

    def observe_sample(self, seconds: float) -> None:
        self._samples.observe(seconds)

    def observe_render(self, seconds: float) -> None:
        self._renders.observe(seconds)

    def observe_request(self, method: str, route: str, code: int, seconds: float) -> None:
        """`route` is the pattern (`/api/processes/{id}`), never a path; whoever has none says "other"."""
        if method not in _METHODS:
            method = OTHER
        self._requests[method, route, code] += 1
        tally = self._durations.get(method)
        if tally is None:
            tally = self._durations[method] = Tally(_REQUEST_BUCKETS)
        tally.observe(seconds)

    def count_action(self, action: str, outcome: str) -> None:
        """One of ACTIONS came to one of OUTCOMES."""
        self._actions[action, outcome] += 1

    # ── what client_python asks ────────────────────────────────────────────────────────────────────────────────────

    def page(self, format: Format) -> bytes:
        """The families of the scope `own` as text; in OpenMetrics with the mark of the end."""
        if format is Format.OPENMETRICS:
            return bytes(write_openmetrics(self._registry))  # type: ignore[no-untyped-call]
        return write_text(self._registry)

    def collect(self) -> Iterable[Metric]:
        """For client_python's registry."""
        build = InfoMetricFamily("headway_build", _DECLARED["headway_build_info"].help)
        about = {
            "version": self._version,
            "python": platform.python_version(),
            "external_url": self.external_url,
            "grafana_url": self.grafana_url,
        }
        build.add_metric([], about)
        yield build
        yield self._histogram("headway_sample_duration_seconds", {(): self._samples})
        yield self._histogram("headway_collector_render_duration_seconds", {(): self._renders})
        yield self._histogram("headway_http_request_duration_seconds", {(m,): t for m, t in list(self._durations.items())})
        yield _counts(
            _DECLARED["headway_http_requests_total"],
            (((method, route, str(code)), count) for (method, route, code), count in list(self._requests.items())),
        )
        yield _counts(_DECLARED["headway_control_actions_total"], self._actions.items())
        if discovered := self._discovered():
            family = _DECLARED["headway_discovered_processes"]
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for rule, count in discovered.items():
                metric.add_metric([rule], count)
            yield metric
        yield from self._of_integrations()
        for name, read in self._figures.items():
            value = _ask(name, read)
            if value is not None:
                yield _single(_DECLARED[name], value)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are declared in the table, and the registry need not read every figure to learn them."""
        return ()

    def _of_integrations(self) -> Iterable[Metric]:
        standings = self._integrations()
        values: dict[str, Callable[[StandingFigures, int], float | None]] = {
            "headway_integration_up": lambda standing, _: standing.up,
            "headway_integration_processes": lambda _, active: active,
            "headway_integration_last_success_timestamp_seconds": lambda standing, _: standing.succeeded_at,
        }
        for name, value in values.items() if standings else ():
            family = _DECLARED[name]
            metric = GaugeMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
            for integration, (standing, active) in standings.items():
                if (found := value(standing, active)) is not None:
                    metric.add_metric([integration], float(found))
            yield metric

    def _histogram(self, name: str, tallies: dict[tuple[str, ...], Tally]) -> Metric:
        family = _DECLARED[name]
        metric = HistogramMetricFamily(name, family.help, labels=family.labels, unit=family.unit)
        for key, tally in tallies.items():
            metric.add_metric(key, tally.buckets(), tally.sum)
        return metric


def _ask(name: str, read: Callable[[], float | None]) -> float | None:
    try:
        return read()
    except Exception:  # whatever ails the part that is asked, the page must say how the others are
        _log.debug("%s cannot be read now", name, exc_info=True)
        return None


def _counts(family: Family, counts: Iterable[tuple[Sequence[str], int]]) -> Metric:
    metric = CounterMetricFamily(family.metadata_name, family.help, labels=family.labels)
    for key, count in list(counts):
        metric.add_metric(key, count)
    return metric


def _single(family: Family, value: float) -> Metric:
    if family.type is Type.COUNTER:
        return CounterMetricFamily(family.metadata_name, family.help, value=value, unit=family.unit)
    return GaugeMetricFamily(family.name, family.help, value=value, unit=family.unit)
