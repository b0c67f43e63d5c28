"""Graphs over time, and timelines of states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import prometheus, statetimeline, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import prometheus as model

from grafana.tables import SOURCE, properties

Config = dict[str, Any]
# One line: its query and its name, in which {{label}} is a label.
Line = tuple[str, str]
EMPTY: Final = "Nothing was recorded in this time. Choose a longer one, or track something: make demo"


def ranged(ref: str, expr: str, legend: str) -> prometheus.Dataquery:
    form = model.PromQueryFormat.TIME_SERIES
    return prometheus.Dataquery().ref_id(ref).expr(expr).datasource(SOURCE).legend_format(legend).format(form).range()


def legend() -> build.VizLegendOptions:
    shown = build.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.LIST)
    return shown.placement(common.LegendPlacement.BOTTOM)


def dashes() -> Config:
    """For limits, which are no measurement."""
    return {"custom.lineStyle": {"fill": "dash", "dash": [6, 6]}}


def colour(text: str) -> Config:
    return {"color": {"mode": "fixed", "fixedColor": text}}


def graph(
    title: str,
    description: str,
    unit: str,
    lines: Sequence[Line],
    looks: Mapping[str, Config],
    *,
    stack: bool = False,
    bars: bool = False,
    empty: str = EMPTY,
    points: int | None = None,
    interval: str = "",
) -> timeseries.Panel:
    """`looks`: name of a line → its properties. Bars count what happened, lines show what is. `points`: so many at most, where each
    is dear. `interval`: how far they are apart at least."""
    options = build.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .no_value(empty)
        .show_points(common.VisibilityMode.NEVER)
        .legend(legend())
        .tooltip(options)
        .line_width(0 if bars else 1)
        .fill_opacity(80 if bars else 18 if stack else 0)
    )
    if bars:
        panel.draw_style(common.GraphDrawStyle.BARS).max_data_points(60)
    elif points is not None:
        panel.max_data_points(points)
    if interval:
        panel.interval(interval)
    if stack:
        panel.stacking(build.StackingConfig().mode(common.StackingMode.NORMAL))
    for ref, (expr, name) in zip("ABCDEFGH", lines, strict=False):
        panel.with_target(ranged(ref, expr, name))
    for name, look in looks.items():
        panel.override_by_name(name, properties(look))
    return panel


def timeline(
    title: str, description: str, lines: Sequence[Line], mappings: Sequence[dashboard.ValueMapping], empty: str = EMPTY
) -> statetimeline.Panel:
    """A row per series, a bar per state in the colour that its mapping says."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("none")
        .no_value(empty)
        .mappings(list(mappings))
        .per_page(20)
        .row_height(0.6)
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .fill_opacity(90)
        .line_width(0)
        .legend(legend().show_legend(False))
    )
    for ref, (expr, name) in zip("ABCDEFGH", lines, strict=False):
        panel.with_target(ranged(ref, expr, name))
    return panel


def mapped(results: Mapping[int, tuple[str, str]]) -> dashboard.ValueMap:
    """Number → text and colour."""
    made = {
        str(number): dashboard.ValueMappingResult(text=text, color=colour, index=index)
        for index, (number, (text, colour)) in enumerate(results.items())
    }
    return dashboard.ValueMap(options=made)
