"""The dashboards: what is committed is what is generated, follows the rules, and names only what exists."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana.asking import asked

from dashboard_names import NO_LABELS, made_labels, named, used_labels
from dashboards import BOARDS, ROOT, log_panels, overrides, panel_named, panels, queries, recorded, recorded_for_alerts
from headway.metrics.families import FAMILIES
from headway.metrics.family import Type
from headway.model import Condition, Status
from headway.services.phase import Phase
from headway.shipping.entries import Entries
from headway.store.base import LogLine
from records import process

# Released ids: alerts, bookmarks and other dashboards point to them.
PANELS = {
    "headway-overview": {
        1: "Processes",
        2: "Needs attention",
        3: "Active processes",
        4: "Services",
        5: "Scheduled",
        7: "Last lines",
    },
    "headway-active": {1: "Processes"},
    "headway-history": {1: "Runs and how they ended", 2: "Processes"},
    "headway-alerts": {1: "What fires", 2: "What fired when", 3: "Thresholds for all", 4: "Thresholds of active processes"},
    "headway-exporter": {
        **{1: "Now", 2: "Services", 3: "Scrapes", 4: "Samples", 5: "Disk", 6: "Changes stored", 7: "Lost and refused"},
        **{8: "Requests", 9: "Time of requests", 10: "What it uses itself", 11: "Host: CPU", 12: "Host: memory"},
    },
    "headway-trends": {
        **{1: "Runs by result", 2: "Failure rate", 3: "Duration", 4: "Gates tripped", 5: "CPU by kind", 6: "Memory by kind"},
        **{7: "Cost", 8: "Tokens of what runs", 9: "Most failing names", 10: "Slowest names", 11: "Waiting before the start"},
        12: "What names used",
    },
    "headway-process": {
        **{1: "Now", 2: "What it is", 3: "Status", 4: "Gates", 5: "Progress", 6: "Time left", 7: "Rate", 8: "Duration"},
        **{9: "CPU", 10: "Memory", 11: "Storage", 12: "Tree", 14: "Output", 15: "Nested processes"},
    },
}
RUNBOOK_LINKS = {"/user/runbook.txt", "/user/runbook.txt#:~:text=${__data.fields.Alert}"}
PAGES = {"/processes", "/processes/ID", "/processes/ID?cancel", "/history", "/attention", "/services"}
# Labels that Prometheus itself adds, or that mean something to it.
GIVEN_LABELS = {"instance", "job", "le"}
# What Prometheus itself says.
_OF_ALERTS = {"alertname", "alertstate", "severity", "gate", "id", "name", "kind", "service"}
_SCRAPES = ("up", "scrape_duration_seconds", "scrape_samples_scraped")
OF_PROMETHEUS = {"ALERTS": _OF_ALERTS, "ALERTS_FOR_STATE": _OF_ALERTS} | {name: set[str]() for name in _SCRAPES}


def mappings(uid: str) -> Iterator[dict[str, Any]]:
    for panel in panels(uid):
        for properties in overrides(panel).values():
            yield from properties.get("mappings", [])


def defaults(uid: str) -> Iterator[dict[str, Any]]:
    for panel in panels(uid):
        yield from panel["fieldConfig"]["defaults"].get("mappings", [])


def texts(mapping: dict[str, Any]) -> list[str]:
    options = mapping["options"]
    results = options.values() if mapping["type"] == "value" else [options["result"]]
    return [result["text"] for result in results if "text" in result]


# ── the files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_committed_dashboards_are_what_the_generator_writes() -> None:
    ran = subprocess.run([sys.executable, "-m", "grafana.generate", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_uids_and_panel_ids_are_fixed() -> None:
    assert {uid: board["uid"] for uid, board in BOARDS.items()} == {uid: uid for uid in PANELS}
    assert {uid: {p["id"]: p["title"] for p in (*panels(uid), *log_panels(uid))} for uid in BOARDS} == PANELS
    for board in BOARDS.values():
        every = [p["id"] for panel in board["panels"] for p in (panel, *panel.get("panels", ()))]
        assert len(set(every)) == len(every)


def test_what_needs_loki_is_folded_so_that_nothing_is_asked_of_one_that_is_not_there() -> None:
    assert {uid for uid in BOARDS if log_panels(uid)} == {"headway-overview", "headway-process"}
    for uid, board in BOARDS.items():
        rows = [panel for panel in board["panels"] if panel["type"] == "row"]
        assert [one for row in rows for one in row["panels"]] == log_panels(uid) and all(row["collapsed"] for row in rows)
        for panel in log_panels(uid):
            assert panel["datasource"] == {"type": "loki", "uid": "${logs}"} == panel["targets"][0]["datasource"]
            assert "docs/logs.md" in panel["fieldConfig"]["defaults"]["noValue"] and "Without Loki" in panel["description"]
            assert next(v for v in board["templating"]["list"] if v["name"] == "logs")["current"]["value"] == "loki"


def test_logs_are_asked_for_by_the_labels_that_are_sent() -> None:
    made = Entries("host", 10, 1000)
    sent = made.line(process("p1"), LogLine("p1", 1, 0.0, "x"), 0.0)
    for uid in ("headway-overview", "headway-process"):
        for target in (target for panel in log_panels(uid) for target in panel["targets"]):
            selector = re.match(r"\{(.*?)\}", target["expr"])
            assert selector is not None
            asked_for = dict(re.findall(r'(\w+)="([^"]*)"', selector[1]))
            assert asked_for and asked_for.items() <= dict(sent.labels).items()
            assert re.search(r'\| id="|\.id\}', target["expr"]) and "id" in sent.metadata


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_do_not_overlap_and_fill_the_grid(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for place in (p["gridPos"] for p in panels(uid)):
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("uid", BOARDS)
def test_dashboards_follow_the_rules_of_linters(uid: str) -> None:
    board = BOARDS[uid]
    assert board["description"] and board["tags"] == ["headway"] and board["refresh"] in ("2s", "30s")
    assert board["refresh"] in board["timepicker"]["refresh_intervals"]
    variables = {v["name"]: v for v in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    for panel in panels(uid):
        assert panel["title"] and panel["description"].endswith(".") and panel["fieldConfig"]["defaults"]["noValue"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"])


def test_every_number_has_a_unit_or_a_text_of_its_own() -> None:
    for panel in (p for uid in BOARDS for p in panels(uid)):
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"]
            continue
        named = panel["transformations"][-1]["options"]["renameByName"]
        for source, title in named.items():
            properties = overrides(panel)[title]
            if source.startswith("Value") and not properties.get("custom.hidden"):
                assert "unit" in properties or "mappings" in properties, title


def test_the_empty_text_of_a_table_stays_out_of_its_empty_cells() -> None:
    for panel in (p for uid in BOARDS for p in panels(uid) if p["type"] == "table"):
        assert {properties["noValue"] for properties in overrides(panel).values()} == {""}


def test_hidden_columns_are_hidden_in_old_and_new_grafana() -> None:
    for panel in (p for uid in BOARDS for p in panels(uid) if p["type"] == "table"):
        for properties in overrides(panel).values():
            assert bool(properties.get("custom.hidden")) is bool(properties.get("custom.hideFrom", {}).get("viz"))


# ── the looks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_status_has_a_picture() -> None:
    symbols = overrides(panel_named("headway-overview", "Active processes"))[" "]["mappings"][0]["options"]
    codes = {str(code) for code in (status.code for status in Status)}
    assert codes <= symbols.keys()
    assert len({symbols[code]["text"] for code in codes}) == len(codes)


def test_whatever_names_one_status_names_them_all() -> None:
    found = [m for uid in BOARDS for m in (*mappings(uid), *defaults(uid)) if m["type"] == "value" and "11" in m["options"]]
    assert len(found) >= 6
    for mapping in found:
        assert {str(code) for code in (status.code for status in Status)} <= mapping["options"].keys()


def test_every_phase_of_a_service_has_a_word() -> None:
    (mapping,) = overrides(panel_named("headway-overview", "Services"))["services"]["mappings"]
    assert {key: result["text"].lower() for key, result in mapping["options"].items()} == {str(p.code): p.value for p in Phase}


def test_every_condition_has_a_coloured_flag() -> None:
    patterns = [m["options"] for m in overrides(panel_named("headway-overview", "Active processes"))["Flags"]["mappings"]]
    for condition in Condition:
        flag = condition.value.replace("_", " ")
        assert [p["result"]["color"] for p in patterns if re.fullmatch(p["pattern"], flag)], flag


@pytest.mark.parametrize("uid", BOARDS)
def test_pictures_are_well_formed(uid: str) -> None:
    pictures = {text for mapping in mappings(uid) for text in texts(mapping) if text.startswith("data:")}
    assert len(pictures) > len(Status) or uid not in ("headway-overview", "headway-active")
    for picture in pictures:
        kind, _, document = picture.partition(",")
        assert kind == "data:image/svg+xml" and "#" not in document  # a bare # would end the URI
        root = ElementTree.fromstring(urllib.parse.unquote(document))
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("height") == "24"


def test_cells_without_a_picture_stay_empty() -> None:
    bars = overrides(panel_named("headway-overview", "Active processes"))["Progress"]["mappings"]
    nothing = {m["options"]["match"]: m["options"]["result"]["text"] for m in bars if m["type"] == "special"}
    assert nothing.keys() == {"null", "empty"} and all("%3C/svg%3E" in picture for picture in nothing.values())


def test_each_share_has_one_bar_and_what_is_unknown_has_none() -> None:
    bars = overrides(panel_named("headway-active", "Processes"))["Progress"]["mappings"]
    ranges = [m["options"] for m in bars if m["type"] == "range"]
    for share in (0.0, 0.004, 0.0125, 0.5, 0.9874, 0.999, 1.0):
        (found,) = (r["result"]["text"] for r in ranges if r["from"] <= share <= r["to"])
        drawn = re.search(r"width='([\d.]+)%25'", found)
        assert drawn and float(drawn[1]) == pytest.approx(100 * share, abs=1.3)
    assert {m["options"]["match"] for m in bars if m["type"] == "special"} == {"null", "empty"}


def links() -> Iterator[str]:
    """Where the links of dashboards, panels and cells lead to."""
    for board in BOARDS.values():
        yield from (link["url"] for link in board["links"] if link["type"] == "link")
    for uid in BOARDS:
        for panel in (*panels(uid), *log_panels(uid)):
            yield from (link["url"] for properties in overrides(panel).values() for link in properties.get("links", []))


def test_links_lead_to_pages_dashboards_and_headings_that_exist() -> None:
    found = set(links())
    assert len(found) > 5
    for url in found:
        if url.startswith("/d/"):
            path, _, query = url.removeprefix("/d/").partition("?")
            names = {v["name"] for v in BOARDS[path]["templating"]["list"]}
            given = [part.partition("=")[0] for part in query.split("&") if part]
            assert {name.removeprefix("var-") for name in given if name.startswith("var-")} <= names, url
            continue
        base, page = re.fullmatch(r"\$\{([\w.]+):raw\}(/.*)", url).groups()  # type: ignore[union-attr]
        if base == "prometheus_url":
            assert page in RUNBOOK_LINKS
            continue
        assert base in ("exporter_url", "__data.fields.external_url")
        assert page.replace("${__data.fields.id}", "ID").replace("${id}", "ID") in PAGES


def test_every_dashboard_leads_to_the_others() -> None:
    for board in BOARDS.values():
        assert [link["tags"] for link in board["links"] if link["type"] == "dashboards"] == [["headway"]]


def test_every_alert_has_the_heading_that_the_dashboards_link_to() -> None:
    headings = re.findall("^## (.+)$", (ROOT / "prometheus" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    for path in (ROOT / "prometheus" / "rules").glob("*.yml"):
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        assert {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule} <= set(headings)


@pytest.mark.parametrize("uid", BOARDS)
def test_rates_follow_the_zoom(uid: str) -> None:
    for one in asked(uid, BOARDS[uid]):
        assert not re.search(r"\b(?:rate|irate)\([^$]*\[(?!\$__rate_interval)", one.expr), one


# ── what the queries name ───────────────────────────────────────────────────────────────────────────────────────────

SERIES = {f.name + s for f in FAMILIES for s in (("_bucket", "_sum", "_count") if f.type is Type.HISTOGRAM else ("",))}


def labels_of(name: str) -> set[str]:
    """The labels of a family of the exporter; of a recorded series those of what it is made from, and what the rule makes."""
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    if rule := (recorded() | recorded_for_alerts()).get(name):
        return made_labels(rule) | {label for source in named(rule) for label in labels_of(source)}
    return {
        label for f in FAMILIES if f.name == re.sub("_(bucket|sum|count)$", "", name) or f.name == name for label in f.all_labels
    }


@pytest.mark.parametrize(("record", "expr"), recorded().items())
def test_rules_read_what_exists(record: str, expr: str) -> None:
    names = named(expr)
    assert names <= SERIES | recorded().keys() | recorded_for_alerts().keys() | OF_PROMETHEUS.keys() and record not in names
    known = {label for name in names for label in labels_of(name)} | GIVEN_LABELS | NO_LABELS | made_labels(expr)
    assert used_labels(expr) <= known, used_labels(expr) - known


@pytest.mark.parametrize(("uid", "ref", "expr"), queries())
def test_every_metric_and_label_exists(uid: str, ref: str, expr: str) -> None:
    names = named(expr)
    assert names and names <= SERIES | recorded().keys() | OF_PROMETHEUS.keys(), names - SERIES - recorded().keys()
    known = {label for name in names for label in labels_of(name)} | GIVEN_LABELS | NO_LABELS | made_labels(expr)
    assert used_labels(expr) <= known, used_labels(expr) - known


def test_variables_ask_for_what_exists() -> None:
    for variable in (v for board in BOARDS.values() for v in board["templating"]["list"] if v["type"] == "query"):
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
        assert label in next(f.all_labels for f in FAMILIES if f.name == metric)
