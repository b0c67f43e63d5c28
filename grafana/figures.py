"""Panels of a few numbers side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models import common

from grafana.look import Config
from grafana.tables import SOURCE, instant, properties

PLAIN: Final[Config] = {"mode": "absolute", "steps": [{"color": "text", "value": None}]}
# Name, query, properties.
Figure = tuple[str, str, Config]


def figures(title: str, description: str, empty: str, shown: Iterable[Figure], *, many: bool = False) -> stat.Panel:
    """Without colours, unless a figure has thresholds or mappings of its own. `many`: too many for one row of a narrow screen."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("none")
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.AUTO if many else common.VizOrientation.VERTICAL)
        .wide_layout(False)
        .text(build.VizTextDisplayOptions().title_size(13).value_size(20 if many else 26))
        .no_value(empty)
    )
    for name, expr, look in shown:
        ref = name.lower().replace(" ", "_")
        panel.with_target(instant(ref, expr, name))
        panel.override_by_query(ref, properties({"thresholds": PLAIN} | look))
    return panel
