"""The families of the host and of services, and the part of the page that has them: read when the page is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from headway.metrics.family import Family, Scope, Type
from headway.metrics.own import OwnMetrics
from headway.metrics.services import ServiceFigures, metrics_of
from headway.metrics.shipping import ShippingFigures, shipping_metrics
from headway.name_gates import NameReport
from headway.sampler.machine import Machine, machine_here

O = Scope.OWN  # noqa: E741
G, C = Type.GAUGE, Type.COUNTER
S, B = "seconds", "bytes"

# fmt: off
HOST_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_host_cpus", type=G, scope=O,
           help="CPUs of the host."),
    Family(name="headway_host_cpu_seconds_total", type=C, scope=O, unit=S,
           help="Time that all CPUs of the host together have worked."),
    Family(name="headway_host_memory_bytes", type=G, scope=O, unit=B,
           help="Memory of the host."),
    Family(name="headway_host_memory_available_bytes", type=G, scope=O, unit=B,
           help="Memory of the host that could be had without swapping."),
    Family(name="headway_host_pressure_waiting_seconds_total", type=C, scope=O, unit=S, labels=("resource",),
           help="Time in which at least one task on the host had to wait for a resource: cpu, memory or io."),
    Family(name="headway_host_pressure_stalled_seconds_total", type=C, scope=O, unit=S, labels=("resource",),
           help="Time in which all tasks on the host that had work to do waited for a resource: memory or io."),
)
# fmt: on
NAME_CONDITION: Final = Family(
    name="headway_name_condition",
    type=G,
    scope=O,
    labels=("name", "kind", "condition"),
    help="1 for each condition of a name that holds: failing (too many of its recent runs ended badly), cron_missed.",
)
NAME_FAILURE_RATIO: Final = Family(
    name="headway_name_failure_ratio_threshold",
    type=G,
    scope=O,
    labels=("name", "kind"),
    help="What headway_failure_ratio_threshold is for names that have one of their own; +Inf where they are not judged.",
)


class HealthMetrics(OwnMetrics):
    """The exporter's own health and the host's figures. A figure that this system does not give has no series."""

    def __init__(self, *, machine: Callable[[], Machine] | None = None, **given: Any) -> None:
        self._machine = machine or machine_here()
        self._services: Callable[[], Sequence[ServiceFigures]] = tuple
        self._names: Callable[[], Sequence[NameReport]] = tuple
        self._failure_rates: Callable[[], Mapping[tuple[str, str], float]] = dict
        self._shipping: Callable[[], ShippingFigures | None] = lambda: None
        super().__init__(**given)

    def watch_services(self, figures: Callable[[], Sequence[ServiceFigures]]) -> None:
        """`figures` is asked for every page."""
        self._services = figures

    def watch_shipping(self, figures: Callable[[], ShippingFigures]) -> None:
        """`figures` is asked for every page."""
        self._shipping = figures

    def watch_names(
        self,
        reports: Callable[[], Sequence[NameReport]],
        failure_rates: Callable[[], Mapping[tuple[str, str], float]] = dict,
    ) -> None:
        """Both are asked for every page; `failure_rates` by name and kind."""
        self._names, self._failure_rates = reports, failure_rates

    def collect(self) -> Iterable[Metric]:
        yield from super().collect()
        if rates := dict(self._failure_rates()):
            yield _metric(NAME_FAILURE_RATIO, {(name, kind): rate for (name, kind), rate in rates.items()})
        if reports := self._names():
            yield _metric(NAME_CONDITION, {(one.name, one.kind.value, one.condition.value): 1 for one in reports})
        yield from metrics_of(self._services())
        yield from shipping_metrics(self._shipping())
        found = self._machine()
        figures = (found.cpus, found.cpu_seconds, found.memory_bytes, found.memory_available_bytes)
        for family, figure in zip(HOST_FAMILIES[:4], figures, strict=True):
            if figure is not None:
                yield _metric(family, {(): figure})
        for family, pressure in zip(HOST_FAMILIES[4:], (found.waiting, found.stalled), strict=True):
            if pressure:
                yield _metric(family, {(resource,): seconds for resource, seconds in pressure.items()})


def _metric(family: Family, values: dict[tuple[str, ...], float]) -> Metric:
    made = CounterMetricFamily if family.type is Type.COUNTER else GaugeMetricFamily
    metric = made(family.metadata_name, family.help, labels=family.labels)
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric
