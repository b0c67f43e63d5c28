"""The families of configured services and schedules, and what fills them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from headway.metrics.family import Family, Scope, Type

O = Scope.OWN  # noqa: E741
G, C = Type.GAUGE, Type.COUNTER

# fmt: off
SERVICE_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_service_status_code", type=G, scope=O, labels=("service", "group"),
           help="Status of a configured service: 0 stopped, 1 starting, 2 running, 3 stopping, 4 error."),
    Family(name="headway_service_restarts_total", type=C, scope=O, labels=("service", "group"),
           help="How often a service was started again by its restart policy."),
    Family(name="headway_service_port_open", type=G, scope=O, labels=("service", "group"),
           help="Whether the port of a service accepts connections (1 yes, 0 no)."),
    Family(name="headway_service_wanted", type=G, scope=O, labels=("service", "group"),
           help="Whether a service is to run (1), or was stopped (0)."),
)
SCHEDULE_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_next_run_timestamp_seconds", type=G, scope=O, unit="seconds", labels=("name", "kind"),
           help="When the schedule of this name is due next (unix time)."),
    Family(name="headway_last_run_timestamp_seconds", type=G, scope=O, unit="seconds", labels=("name", "kind"),
           help="When the schedule of this name last began a run (unix time)."),
    Family(name="headway_missed_runs_total", type=C, scope=O, labels=("name", "kind", "reason"),
           help="Runs that were due and did not begin: late (nothing started them in time) or overlap (one still ran)."),
    Family(name="headway_last_missed_run_timestamp_seconds", type=G, scope=O, unit="seconds", labels=("name", "kind", "reason"),
           help="When a run of this schedule was last found missed, and was not made up at once (unix time), by the same reasons."),
)
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFigures:
    """One service as the page shows it; times in unix seconds, None where there is none. Without `status_code` it is a schedule
    that somebody else keeps."""

    name: str
    group: str
    kind: str
    status_code: int | None
    restarts: int
    wanted: bool
    port_open: bool | None
    scheduled: bool
    next_run_at: float | None
    last_run_at: float | None
    missed: int
    overlapped: int
    late_at: float | None = None
    overlapped_at: float | None = None


def metrics_of(services: Sequence[ServiceFigures]) -> Iterable[Metric]:
    """Families that have no series are left out."""
    gauge, counter = GaugeMetricFamily, CounterMetricFamily
    made = {
        family.name: (counter if family.type is Type.COUNTER else gauge)(family.metadata_name, family.help, labels=family.labels)
        for family in (*SERVICE_FAMILIES, *SCHEDULE_FAMILIES)
    }
    for one in services:
        service, job = (one.name, one.group), (one.name, one.kind)
        if one.status_code is not None:
            made["headway_service_status_code"].add_metric(service, one.status_code)
            made["headway_service_restarts_total"].add_metric(service, one.restarts)
            made["headway_service_wanted"].add_metric(service, int(one.wanted))
        if one.port_open is not None:
            made["headway_service_port_open"].add_metric(service, int(one.port_open))
        if not one.scheduled:
            continue
        if one.next_run_at is not None:
            made["headway_next_run_timestamp_seconds"].add_metric(job, one.next_run_at)
        if one.last_run_at is not None:
            made["headway_last_run_timestamp_seconds"].add_metric(job, one.last_run_at)
        made["headway_missed_runs_total"].add_metric((*job, "late"), one.missed)
        made["headway_missed_runs_total"].add_metric((*job, "overlap"), one.overlapped)
        for reason, at in (("late", one.late_at), ("overlap", one.overlapped_at)):
            if at is not None and one.wanted:
                made["headway_last_missed_run_timestamp_seconds"].add_metric((*job, reason), at)
    return [metric for metric in made.values() if metric.samples]
