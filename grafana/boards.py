"""What all dashboards share: the variables, the refresh, the links, and how panels are placed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from grafana.facts import BUILD, FIRING
from grafana.look import GREY
from grafana.tables import SOURCE

# The exporter says itself where its pages are (setting external_url), so that a changed port needs nothing here.
EXPORTER: Final = "${exporter_url:raw}"
PAGE: Final = "${__data.fields.external_url:raw}/processes/${__data.fields.id}"
# Grafana's own page of one process; ids are unique everywhere, so it needs no instance.
PROCESS: Final = "/d/headway-process?var-id=${__data.fields.id}"
# Prometheus serves it.
RUNBOOK: Final = "${prometheus_url:raw}/user/runbook.txt"
INTERVALS: Final = ["2s", "5s", "30s", "1m", "5m"]


@dataclass(frozen=True, slots=True)
class Place(Builder[dashboard.Panel]):
    """A panel with its fixed id and its place on the grid, which is 24 wide."""

    id: int
    x: int
    y: int
    w: int
    h: int
    panel: Builder[dashboard.Panel]

    def build(self) -> dashboard.Panel:
        built = self.panel.build()
        built.id_val = self.id
        built.grid_pos = dashboard.GridPos(x=self.x, y=self.y, w=self.w, h=self.h)
        return built


def source() -> build.DatasourceVariable:
    """Which Prometheus; the provisioned one unless another is chosen."""
    chosen = dashboard.VariableOption(text="Prometheus", value="prometheus", selected=True)
    return build.DatasourceVariable("datasource").type("prometheus").label("Data source").current(chosen)


def exporter_url() -> build.QueryVariable:
    """Where the exporter's own pages are; with several exporters each row links to its own."""
    default = "http://127.0.0.1:14323"
    return (
        build.QueryVariable("exporter_url")
        .label("Exporter")
        .description("Where the exporter's own pages are: its setting external_url")
        .datasource(SOURCE)
        .query(f"label_values({BUILD}, external_url)")
        .current(dashboard.VariableOption(text=default, value=default, selected=True))
        .refresh(dashboard.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .hide(dashboard.VariableHide.HIDE_VARIABLE)
    )


def prometheus_url() -> build.ConstantVariable:
    """Where a browser finds Prometheus, which serves the runbook."""
    return build.ConstantVariable("prometheus_url").label("Prometheus").value("http://127.0.0.1:9090")


def page(title: str, path: str, tooltip: str, at: str = EXPORTER) -> build.DashboardLink:
    """A link to a page of the exporter's own, unless it says where else."""
    link = build.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(at + path)
    return link.tooltip(tooltip).icon("external link").target_blank(True)


def alerts() -> build.AnnotationQuery:
    """What fires, drawn over every graph."""
    return (
        build.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color(GREY)
        .expr(FIRING)
        .step("10s")
        .title_format("{{alertname}}")
        .text_format("{{name}} {{id}}")
        .tag_keys("severity,gate")
    )


def choice(name: str, metric: str) -> build.QueryVariable:
    """A filter by a label of the metric: several values, or all, which is preset."""
    return (
        build.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value("(?s:.*)")  # a name may have line breaks
        .current(dashboard.VariableOption(text=["All"], value=["$__all"], selected=True))
    )


def others() -> build.DashboardLink:
    """The other dashboards, for the same time."""
    link = build.DashboardLink("Headway").type(dashboard.DashboardLinkType.DASHBOARDS).tags(["headway"])
    return link.as_dropdown(True).keep_time(True).tooltip("The other dashboards")


def board(
    uid: str,
    title: str,
    description: str,
    refresh: str,
    since: str,
    places: Iterable[Place],
    rows: Iterable[build.Row] = (),
    variables: Iterable[Builder[dashboard.VariableModel]] = (),
    links: Iterable[build.DashboardLink] = (),
) -> dashboard.Dashboard:
    """A dashboard. `uid` and the ids of the panels are never changed once released: links and alerts point to them."""
    made = (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["headway"])
        .readonly()
        .refresh(refresh)
        .time(since, "now")
        .timezone("browser")
        .timepicker(build.TimePicker().refresh_intervals(INTERVALS))
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(source())
        .with_variable(exporter_url())
        .annotation(alerts())
        .link(others())
    )
    for variable in variables:
        made.with_variable(variable)
    for link in links or (
        page("All processes", "/processes", "The live list with logs, trees and cancelling"),
        page("History", "/history", "What ended, and how"),
    ):
        made.link(link)
    for place in places:
        made.with_panel(place)
    for row in rows:
        made.with_row(row)
    return made.build()
