"""What Loki knows, where there is one: the output of a process, and the last line of each. Both stand in a row that is folded until
somebody opens it, so that nothing is asked of a Loki that is not there."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import logs, loki, table
from grafana_foundation_sdk.models import common, dashboard

from grafana.boards import PROCESS, Place
from grafana.look import Config
from grafana.tables import HIDDEN, properties, step
from headway.shipping.entries import JOB

SOURCE: Final = common.DataSourceRef(type_val="loki", uid="${logs}")
NO_LOKI: Final = "No lines. Start Loki, set loki_url (docs/logs.md), or choose a longer time. The exporter's page has the last ones"
LINES: Final = 1000
# Every stream of the exporter, as headway.shipping.entries makes them.
STREAMS: Final = f'{{job="{JOB}"}}'
OUTPUT: Final = f'{{job="{JOB}", source="output"}}'


def logs_source() -> build.DatasourceVariable:
    """Which Loki; the provisioned one unless another is chosen."""
    chosen = dashboard.VariableOption(text="Loki", value="loki", selected=True)
    return build.DatasourceVariable("logs").type("loki").label("Logs").current(chosen)


def lines(expr: str) -> loki.Dataquery:
    return loki.Dataquery().ref_id("lines").expr(expr).datasource(SOURCE).query_type("range").max_lines(LINES)


def folded(number: int, y: int, title: str, place: Place) -> build.Row:
    """A row with one panel, asked for nothing until it is opened."""
    row = build.Row(title).id(number).collapsed(True).grid_pos(dashboard.GridPos(x=0, y=y, w=24, h=1))
    return row.with_panel(place)


def output() -> logs.Panel:
    """Everything that the chosen process said, and how its status changed."""
    return (
        logs.Panel()
        .title("Output")
        .description(
            "What it wrote and how its status changed, as Loki has it: the newest first, the last "
            f"{LINES:,} lines of the time that is shown. Without Loki its page has the last lines: Log and tree, above."
        )
        .datasource(SOURCE)
        .with_target(lines(f'{STREAMS} | id="${{id}}"'))
        .no_value(NO_LOKI)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .dedup_strategy(common.LogsDedupStrategy.NONE)
        .sort_order(common.LogsSortOrder.DESCENDING)
    )


def last_lines() -> table.Panel:
    """A row for each process that wrote something lately."""
    wide: Config = {"custom.minWidth": 240, "custom.inspect": True}
    groups = {
        "process": {"operation": "groupby", "aggregations": []},
        "name": {"operation": "groupby", "aggregations": []},
        "Line": {"operation": "aggregate", "aggregations": ["first"]},
        "Time": {"operation": "aggregate", "aggregations": ["first"]},
    }
    names = {"name": "Process", "Line (first)": "Last line", "Time (first)": "When", "process": "id"}
    looks: dict[str, Config] = {
        "Process": {"custom.width": 220, "links": [{"title": "Graphs and output", "url": PROCESS, "targetBlank": True}]},
        "Last line": wide,
        "When": {"custom.width": 140, "unit": "dateTimeFromNow"},
        "id": HIDDEN,
    }
    panel = (
        table.Panel()
        .title("Last lines")
        .description(
            f"What each process said last, of the newest {LINES:,} lines that Loki has for the time that is shown: one that talks "
            "much can hide others. Without Loki the exporter's page has them: All processes, above."
        )
        .datasource(SOURCE)
        .cell_height(common.TableCellHeight.SM)
        # The frame has an id of its own, of the line.
        .with_target(lines(f"{OUTPUT} | label_format process=`{{{{.id}}}}`"))
        .no_value(NO_LOKI)
        .with_transformation(step("extractFields", source="labels", format="json", replace=False))
        .with_transformation(step("sortBy", sort=[{"field": "Time", "desc": True}]))
        .with_transformation(step("groupBy", fields=groups))
        .with_transformation(step("organize", indexByName={name: i for i, name in enumerate(names)}, renameByName=names))
    )
    for title, look in looks.items():
        panel.override_by_name(title, properties({"noValue": ""} | look))
    return panel
