"""Tables with a row per process: each column is declared once, with the query that gives it, its title and its looks.

A query gives one row per key; Grafana joins them by key, so a process without a total, a rate or a CPU value has an empty cell.
One column's query, as a rule the first's, says which rows there are and carries the labels that belong to the whole row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import prometheus, table
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models import prometheus as model

from grafana.look import Config

SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
LEFT: Final[Config] = {"custom.align": "left"}
RIGHT: Final[Config] = {"custom.align": "right"}
CENTER: Final[Config] = {"custom.align": "center"}
IMAGE: Final[Config] = {"custom.cellOptions": {"type": "image"}}
TEXT: Final[Config] = {"custom.cellOptions": {"type": "color-text"}}
PILLS: Final[Config] = {"custom.cellOptions": {"type": "pill"}}
# The first is what Grafana 12.2 reads, the second what later ones do.
HIDDEN: Final[Config] = {"custom.hidden": True, "custom.hideFrom": {"viz": True, "legend": False, "tooltip": False}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`expr`: its query; without one it is a label of the leading column's. `label`: the label that is shown; without one it is the
    number. `copy`: shows the number of the column with this title again. `width` in px, 0 = what is left. `many`: several rows per
    key become one text `a, b`. `links`: title → URL."""

    title: str
    expr: str = ""
    label: str = ""
    copy: str = ""
    width: int = 0
    many: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    config: Config = field(default_factory=dict)

    @property
    def ref(self) -> str:
        return self.title.strip().lower().replace(" ", "_").replace("%", "percent") or "symbol"

    def source(self, alone: bool) -> str:
        """The name of its field before it gets its title. Grafana calls a number `Value #ref`, or `Value` if the query is alone."""
        if self.copy:
            return f"{self.copy} again"
        if self.label:
            return f"{self.label} (allValues)" if self.many else self.label
        return "Value" if alone else f"Value #{self.ref}"


def instant(ref: str, expr: str, legend: str = "") -> prometheus.Dataquery:
    """A query of the present: rows with a legend are series, rows without one a table."""
    form = model.PromQueryFormat.TIME_SERIES if legend else model.PromQueryFormat.TABLE
    return prometheus.Dataquery().ref_id(ref).expr(expr).datasource(SOURCE).legend_format(legend).format(form).instant()


def step(kind: str, ref: str = "", **options: Any) -> dashboard.DataTransformerConfig:
    only = dashboard.MatcherConfig(id_val="byRefId", options=ref) if ref else None
    return dashboard.DataTransformerConfig(id_val=kind, options=options, filter_val=only)


def properties(config: Mapping[str, Any]) -> list[dashboard.DynamicConfigValue]:
    return [dashboard.DynamicConfigValue(id_val=key, value=value) for key, value in config.items()]


def look(column: Column) -> Config:
    config: Config = {"noValue": ""}  # else Grafana writes the panel's sentence for an empty table into every empty cell
    if column.width:
        config["custom.width"] = column.width
    if column.links:
        config["links"] = [{"title": title, "url": url, "targetBlank": True} for title, url in column.links.items()]
    return config | column.config


def rows(
    title: str, columns: Sequence[Column], sort: str, key: str = "key", descending: bool = True, lead: str = ""
) -> table.Panel:
    """A table of the columns, sorted by the column `sort`, with the rows of the query of the column `lead`, else of the first."""
    panel = table.Panel().title(title).datasource(SOURCE).cell_height(common.TableCellHeight.SM)
    queries = [c for c in columns if c.expr]
    alone = len(queries) == 1
    for column in queries:
        panel.with_target(instant(column.ref, column.expr))
    for column in columns:
        if column.many:
            grouped = {
                key: {"operation": "groupby", "aggregations": []},
                column.label: {"operation": "aggregate", "aggregations": ["allValues"]},
            }
            panel.with_transformation(step("groupBy", column.ref, fields=grouped))
            joined = [{"targetField": column.source(alone), "destinationType": "string", "joinWith": ", "}]
            panel.with_transformation(step("convertFieldType", conversions=joined))
    sources = {c.title: c.source(alone) for c in columns}
    if not alone:
        panel.with_transformation(step("joinByField", byField=key, mode="outer"))
        leading = next(c for c in queries if lead in ("", c.title))
        present = {"fieldName": leading.source(alone), "config": {"id": "isNotNull", "options": {}}}
        panel.with_transformation(step("filterByValue", type="include", match="all", filters=[present]))
    for column in columns:
        if column.copy:
            reduced = {"reducer": "lastNotNull", "include": [sources[column.copy]]}  # of one field: itself, and nothing of nothing
            panel.with_transformation(step("calculateField", mode="reduceRow", reduce=reduced, alias=column.source(alone)))
    panel.with_transformation(step("sortBy", sort=[{"field": sources[sort], "desc": descending}]))
    names = list(sources.values())
    panel.with_transformation(
        step(
            "organize",
            includeByName=dict.fromkeys(names, True),
            indexByName={name: i for i, name in enumerate(names)},
            renameByName={source: title for title, source in sources.items() if source != title},
        )
    )
    for column in columns:
        panel.override_by_name(column.title, properties(look(column)))
    return panel
