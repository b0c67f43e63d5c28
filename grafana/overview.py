"""The Overview dashboard: how many, what needs attention, and every process that is active or has just ended."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import common, dashboard

from grafana import cells as q
from grafana import facts as f
from grafana.boards import EXPORTER, PAGE, PROCESS, Place, board
from grafana.facts import top
from grafana.logs import folded, last_lines, logs_source
from grafana.look import AMBER, BARS, CONDITION, FAILED_ROW, FLAGS, RED, STATUS, SYMBOLS, Config, between, svg, values
from grafana.problems import severity_of
from grafana.promql import keyed
from grafana.services import schedules, services
from grafana.tables import CENTER, HIDDEN, IMAGE, LEFT, PILLS, RIGHT, SOURCE, Column, instant, properties, rows
from headway.model import Condition, Status

UID: Final = "headway-overview"
PROBLEM_ROWS: Final = 50
NO_EXPORTER: Final = "No exporter is scraped. Start one with: make up"
NOTHING_WRONG: Final = "Nothing needs attention"
NOTHING_TRACKED: Final = (
    "Nothing runs, and nothing ended in the last 30 minutes. Track something:  "
    "from headway import track; for x in track(items, name='My job'): …   or:  make demo"
)
LINKS: Final = {"Log, tree and metadata": PAGE, "Graphs": PROCESS}
PLAIN: Final[Config] = {"color": "text", "value": None}


def counts() -> stat.Panel:
    """The numbers of the mission in one panel. A number has a colour only when it is not 0."""
    panel = (
        stat.Panel()
        .title("Processes")
        .description(
            "How many processes Headway shows now: active ones, done ones for 30 minutes, failed ones until they are dismissed. "
            "Failed counts killed, timed out and vanished ones too. A click opens the exporter's own page."
        )
        .datasource(SOURCE)
        .unit("none")
        .decimals(0)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.VERTICAL)
        .wide_layout(False)
        .text(build.VizTextDisplayOptions().title_size(13).value_size(32))
        .no_value(NO_EXPORTER)
    )
    for title, vector, colour, path in (
        ("Total", f"sum({f.STATUS_COUNT})", "text", "/processes"),
        ("Running", f'sum({f.STATUS_COUNT}{{code="{Status.RUNNING.code}"}})', "text", "/processes"),
        ("Completed", f'sum({f.STATUS_COUNT}{{code="{Status.DONE.code}"}})', "text", "/history"),
        ("Failed", f"count({f.BAD_CODE})", RED, "/attention"),
        ("Waiting", f"count({f.WAITING})", AMBER, "/attention"),
        ("Time sinks", f"count({f.SINK})", AMBER, "/attention"),
        ("Bottlenecks", f"count({f.NECK})", AMBER, "/attention"),
        ("Stuck", f"count({f.STUCK})", RED, "/attention"),
        ("Zombies", f"count({f.ZOMBIE})", AMBER, "/attention"),
    ):
        ref = title.lower().replace(" ", "_")
        # 0 only while an exporter is there to say so; without one the panel says what to do.
        panel.with_target(instant(ref, f"{vector} or 0 * count({f.BUILD})", title))
        coloured = {"mode": "absolute", "steps": [PLAIN, {"color": colour, "value": 1}]}
        links = [{"title": title, "url": EXPORTER + path, "targetBlank": True}]
        panel.override_by_query(ref, properties({"thresholds": coloured, "links": links}))
    return panel


def attention() -> table.Panel:
    """What is wrong, as sentences, the worst first."""
    symbols = {severity_of(9, s): STATUS[s] for s in (Status.FAILED, Status.KILLED, Status.TIMED_OUT, Status.ORPHANED)}
    ranks = (Condition.DUPLICATE, Condition.ZOMBIE, Condition.BOTTLENECK, Condition.TIME_SINK, Condition.OVERDUE)
    symbols |= {severity_of(rank, c): CONDITION[c] for rank, c in enumerate(ranks, 1)}
    symbols |= {severity_of(rank, c): CONDITION[c] for rank, c in ((7, Condition.STUCK), (8, Condition.WAITING))}
    pictures = values({severity: {"text": svg(look.symbol)} for severity, look in symbols.items()})
    columns = [
        Column(title=" ", label="severity", width=50, config=IMAGE | CENTER | {"mappings": [pictures]}),
        Column(title="Process", label="name", width=220, links=LINKS),
        Column(title="What", label="text", config={"custom.minWidth": 240, "custom.inspect": True}),
        Column(
            title="Since",
            expr=f"sort_desc(topk({PROBLEM_ROWS}, {f.PROBLEM}))",
            width=140,
            config=LEFT | {"unit": "dateTimeFromNow", "mappings": [between(0, 0, text="now")]},
        ),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("Needs attention", columns, sort=" ")
        .show_header(False)
        .no_value(NOTHING_WRONG)
        .description(
            "What went wrong or is about to, the worst first, with the reason and since when. Red: it failed or is stuck. Amber: "
            "it waits for a person, is slow or in the way. A failed one stays until it is dismissed on its page; a click opens it."
        )
    )


def processes() -> table.Panel:
    """The Active processes widget."""
    failed_row = {"mode": "absolute", "steps": [{"color": "transparent", "value": None}, {"color": FAILED_ROW, "value": 1}]}
    tone = {"type": "color-background", "mode": "basic", "applyToRow": True}
    pills = PILLS | {"mappings": FLAGS}
    percent: Config = {"unit": "percentunit", "decimals": 0, **RIGHT}
    columns = [
        Column(title="order", expr=keyed(f.TOP_TITLE, "id", "title", "external_url"), config=HIDDEN),
        Column(title=" ", expr=keyed(q.SYMBOL), width=50, config=IMAGE | CENTER | {"mappings": [SYMBOLS]}),
        Column(title="Process", label="title", links=LINKS, config={"custom.minWidth": 190}),
        Column(title="Progress", expr=keyed(q.BAR, "bar"), label="bar", width=126, config=IMAGE | {"mappings": BARS}),
        Column(title="%", expr=keyed(q.RATIO), width=52, config=percent),
        Column(title="Time left", expr=keyed(q.LEFT_OR_AGO, "text"), label="text", width=104, config=RIGHT),
        # As far as here it is seen on 800 px.
        Column(title="Flags", expr=keyed(q.FLAGS, "flag"), label="flag", width=150, many=True, config=pills),
        Column(title="Items", expr=keyed(q.ITEMS, "items"), label="items", width=138),
        Column(title="Elapsed", expr=keyed(q.ELAPSED), width=80, config=RIGHT | {"unit": "dthms"}),
        Column(title="Rate", expr=keyed(q.per_time(), "rate"), label="rate", width=82, config=RIGHT),
        Column(title="CPU", expr=keyed(top(f.CPU)), width=56, config=percent),
        Column(title="Memory", expr=keyed(top(f.MEMORY)), width=78, config=RIGHT | {"unit": "bytes", "decimals": 0}),
        Column(
            title="Cancel",
            expr=keyed(q.ACTIVE),
            width=66,
            links={"Cancel": PAGE + "?cancel"},
            config=CENTER | {"mappings": [between(0, Status.DONE.code - 1, text="Cancel")]},
        ),
        Column(
            title="Result",
            expr=keyed(q.ENDINGS, "result"),
            label="result",
            config={"custom.minWidth": 180, "custom.inspect": True},
        ),
        Column(
            title="tone",
            expr=keyed(f"0 * {f.BAD_CODE} + 1"),
            config=HIDDEN | {"custom.cellOptions": tone, "color": {"mode": "thresholds"}, "thresholds": failed_row},
        ),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("Active processes", columns, sort="order")
        .no_value(NOTHING_TRACKED)
        .description(
            f"What runs, waits or has just ended: the {f.FAILED_ROWS} latest that failed, then the {f.SHOWN_ROWS} others that "
            "matter most, a child (↳) with its parent. Time left of an ended one says how long ago that was. CPU: 100% is one "
            "core; CPU and memory are of the whole process tree. Done ones fade and leave after 30 minutes, failed ones stay until "
            "dismissed. A name opens its log, tree and metadata, or its graphs; Cancel asks first."
        )
    )


def overview() -> dashboard.Dashboard:
    return board(
        UID,
        "Headway / Overview",
        "What runs in the background, how far along it is, when it will be done, and what needs attention.",
        refresh="2s",
        since="now-15m",
        places=(
            Place(1, 0, 0, 24, 3, counts()),
            Place(2, 0, 3, 24, 6, attention()),
            Place(4, 0, 9, 12, 4, services()),
            Place(5, 12, 9, 12, 4, schedules()),
            Place(3, 0, 13, 24, 24, processes()),
        ),
        variables=(logs_source(),),
        rows=(folded(6, 37, "Last lines, from Loki", Place(7, 0, 38, 24, 12, last_lines())),),
    )
