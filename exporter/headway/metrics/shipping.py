"""The families of what is sent on to Loki, and what fills them. No series while nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from headway.metrics.family import Family, Scope, Type

O = Scope.OWN  # noqa: E741
G, C = Type.GAUGE, Type.COUNTER
# Why an entry was dropped: no room to wait in, Loki refused it for good, the exporter stopped.
REASONS: Final = ("full", "refused", "stopped")

# fmt: off
SHIPPING_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_shipping_up", type=G, scope=O,
           help="Whether Loki took the last request (1 yes, 0 no); absent before the first one."),
    Family(name="headway_shipping_pending", type=G, scope=O,
           help="Lines of output and changes of status that are still to be sent to Loki."),
    Family(name="headway_shipping_delivered_total", type=C, scope=O,
           help="Lines of output and changes of status that Loki took."),
    Family(name="headway_shipping_dropped_total", type=C, scope=O, labels=("reason",),
           help="Those that are not in Loki: no room to wait in (full), refused by it, or the exporter stopped before (stopped)."),
    Family(name="headway_shipping_cut_total", type=C, scope=O,
           help="Lines that were cut because Loki takes no longer ones (loki_line_bytes)."),
    Family(name="headway_shipping_retries_total", type=C, scope=O,
           help="Requests that Loki did not take, and that were sent again."),
)
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippingFigures:
    """`dropped` by reason."""

    up: bool | None
    pending: int
    delivered: int
    retries: int
    cut: int
    dropped: Mapping[str, int]


def shipping_metrics(figures: ShippingFigures | None) -> Iterable[Metric]:
    """Nothing for None: nothing is sent."""
    if figures is None:
        return
    up, pending, delivered, dropped, cut, retries = SHIPPING_FAMILIES
    if figures.up is not None:
        yield GaugeMetricFamily(up.name, up.help, value=int(figures.up))
    yield GaugeMetricFamily(pending.name, pending.help, value=figures.pending)
    yield CounterMetricFamily(delivered.metadata_name, delivered.help, value=figures.delivered)
    lost = CounterMetricFamily(dropped.metadata_name, dropped.help, labels=dropped.labels)
    for reason, count in figures.dropped.items():
        lost.add_metric([reason], count)
    yield lost
    yield CounterMetricFamily(cut.metadata_name, cut.help, value=figures.cut)
    yield CounterMetricFamily(retries.metadata_name, retries.help, value=figures.retries)
