"""The panels of what is to run always, and of what is to run at set times."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import common

from grafana import facts as f
from grafana.boards import EXPORTER
from grafana.look import PHASE, STATUS_WORDS, Config, values, words
from grafana.tables import LEFT, RIGHT, SOURCE, TEXT, Column, instant, properties, rows

_ON: Final = "on (instance, service)"
NO_SERVICE: Final = "No service is configured. Describe one under services: in headway.yaml (docs/services.md)"
NO_SCHEDULE: Final = "Nothing is scheduled. Give a service in headway.yaml a schedule, such as schedule: '0 3 * * *'"


def services() -> stat.Panel:
    """A badge for each: what it is called, whether it runs, how often it had to be started again."""
    often = f'count_values by (instance, service) ("times", {f.RESTARTS} > 0)'
    often = f'label_replace({often}, "more", " · restarted $1×", "times", "(.+)")'
    badges = f"{f.SERVICE} * {_ON} group_left (more) {often} or {_ON} {f.SERVICE}"
    panel = (
        stat.Panel()
        .title("Services")
        .description(
            "The configured services: stopped, starting, running, stopping, or in error, and how often each was started again by "
            "its restart policy. A click opens their page, which says why."
        )
        .datasource(SOURCE)
        .unit("none")
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .wide_layout(False)
        .text(build.VizTextDisplayOptions().title_size(13).value_size(18))
        .no_value(NO_SERVICE)
        .with_target(instant("services", badges, "{{service}}{{more}}"))
    )
    badge = {str(phase.code): {"text": words(phase), "color": colour} for phase, colour in PHASE.items()}
    links = [{"title": "Services", "url": EXPORTER + "/services", "targetBlank": True}]
    return panel.override_by_query("services", properties({"mappings": [values(badge)], "links": links}))


def of_name(expr: str, *labels: str) -> str:
    """Rows (key, …labels) of an expression that has instance, kind and name."""
    return f'max by ({", ".join(("key", *labels))}) (label_join({expr}, "key", " ", "instance", "kind", "name"))'


def schedules() -> table.Panel:
    moment: Config = {"unit": "dateTimeFromNow", **LEFT}
    scheduled = f"on (instance, name, kind) {f.NEXT_RUN}"
    columns = [
        Column(
            title="Next run",
            expr=of_name(f"1000 * {f.NEXT_RUN}", "name"),
            width=110,
            config=moment,
        ),
        Column(title="Scheduled", label="name", config={"custom.minWidth": 140}, links={"Services": EXPORTER + "/services"}),
        Column(
            title="Last result",
            expr=of_name(f"{f.LAST_STATUS} and {scheduled}"),
            width=100,
            config=TEXT | LEFT | {"mappings": [STATUS_WORDS]},
        ),
        Column(title="Last run", expr=of_name(f"1000 * ({f.LAST_RUN} and {scheduled})"), width=110, config=moment),
        Column(title="Missed", expr=of_name(f"sum without (reason) ({f.MISSED}) > 0"), width=70, config=RIGHT | {"unit": "none"}),
    ]
    return (
        rows("Scheduled", columns, sort="Next run", descending=False)
        .no_value(NO_SCHEDULE)
        .description(
            "What runs at set times: when it is due next, how its last run ended and when that began, and how many were missed "
            "because nothing started them in time or the one before still went on."
        )
    )
