"""The dashboard of one process: where it is, how it got there, what it uses, and how that compares to its earlier runs."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, statetimeline, table
from grafana_foundation_sdk.models import dashboard

from grafana import facts as f
from grafana.boards import PAGE, PROCESS, RUNBOOK, Place, board, page, prometheus_url
from grafana.figures import figures
from grafana.graphs import Config, colour, dashes, graph, mapped, timeline
from grafana.logs import folded, logs_source, output
from grafana.look import AMBER, BLUE, CONDITION, GREY, STATUS, STATUS_WORDS, SYMBOLS, words
from grafana.promql import ON, either, keyed, says
from grafana.tables import CENTER, HIDDEN, IMAGE, SOURCE, Column, properties, rows
from headway.model import Condition

UID: Final = "headway-process"
THIS: Final = '{id="$id"}'
NOT_SEEN: Final = "This process has no series in this time. Choose another id above, or a longer time"
NOT_SAMPLED: Final = "No OS process of it was sampled in this time. Report its pid, or choose a longer time"
NO_RATE: Final = "It has not said how far it is. Report progress: headway report progress, or Reporter.update()"
LABELS: Final = ("user", "project", "task", "attempt", "agent", "group", "parent_id", "pid")
RESULT_LOOK: Final[Config] = {"custom.minWidth": 160, "custom.inspect": True}
HIDDEN_STATE: Final = "transparent"


def one(family: str) -> str:
    return f"{family}{THIS}"


def chosen() -> builders.QueryVariable:
    return (
        builders.QueryVariable("id")
        .label("Process")
        .description("The id of the process; names and dashboards link to it")
        .datasource(SOURCE)
        .query(f"label_values({f.INFO}, id)")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_DESC)
    )


def facts() -> table.Panel:
    """What it is and belongs to."""
    who = f"{one(f.CODE)} * {ON} group_left ({', '.join(LABELS)}) {one(f.INFO)} * {f.ADDRESS}"
    result = f'label_join({one(f.RESULT)}, "result", "", "text")'
    symbol = Column(
        title=" ",
        expr=keyed(who, "id", "name", "kind", "external_url", *LABELS),
        width=50,
        config=IMAGE | CENTER | {"mappings": [SYMBOLS]},
    )
    links = {"Log, tree and metadata": PAGE, "Cancel": PAGE + "?cancel"}
    columns = [
        symbol,
        Column(title="Process", label="name", links=links, config={"custom.minWidth": 160}),
        Column(title="Kind", label="kind", width=90),
        *(Column(title=label.removesuffix("_id").capitalize(), label=label, width=90) for label in LABELS[:6]),
        Column(title="Parent", label="parent_id", width=110, links={"The parent": f"/d/{UID}?var-id=${{__data.fields.Parent}}"}),
        Column(title="Pid", label="pid", width=80),
        Column(
            title="Result", expr=keyed(result, "result"), label="result", config={"custom.minWidth": 160, "custom.inspect": True}
        ),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("What it is", columns, sort=" ")
        .no_value(NOT_SEEN)
        .description(
            "Who it is, what it belongs to, and what came of it. The name opens its page with the log, the tree and all metadata, "
            "where it can be cancelled, too."
        )
    )


def nested() -> table.Panel:
    """Its parent, its children and theirs."""
    children = f'{f.CHILD}{{parent_id="$id"}}'
    theirs = f'({f.CHILD} and on (instance, parent_id) label_join({children}, "parent_id", "", "id"))'
    above = f'label_join({f.CHILD}{{id="$id"}}, "id", "", "parent_id")'
    places = " or ".join(
        (says("↑ parent", above, "place"), says("↳ child", children, "place"), says("↳↳ child of a child", theirs, "place"))
    )
    family = f"max by (instance, id, place) ({places})"
    who = f"{f.CODE} * {ON} group_left (place) {family} * {f.ADDRESS}"
    links = {"Log, tree and metadata": PAGE, "Graphs": PROCESS}
    percent: Config = {"unit": "percentunit", "decimals": 0}
    columns = [
        Column(
            title=" ",
            expr=keyed(who, "id", "name", "kind", "place", "external_url"),
            width=50,
            config=IMAGE | CENTER | {"mappings": [SYMBOLS]},
        ),
        Column(title="Place", label="place", width=150),
        Column(title="Process", label="name", links=links, config={"custom.minWidth": 160}),
        Column(title="Kind", label="kind", width=90),
        Column(title="Progress", expr=keyed(f"{f.RATIO} and {ON} {family}"), width=80, config=percent),
        Column(title="Started", expr=keyed(f"1000 * {f.START} and {ON} {family}"), width=120, config={"unit": "dateTimeFromNow"}),
        Column(
            title="Result", expr=keyed(f'label_join({f.RESULT} and {ON} {family}, "result", "", "text")', "result"), label="result"
        ),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("Nested processes", columns, sort="Place", descending=True)
        .no_value("It has neither a parent nor children that are listed. Nested ones are reported with parent_id")
        .description(
            "The process it belongs to, those that belong to it, and theirs. The OS processes of its tree are on its page, which a "
            "name opens."
        )
    )


def now() -> stat.Panel:
    running = f"{either(one(f.FINISH), f'time() + 0 * {one(f.START)}')} - {ON} {one(f.START)}"
    return figures(
        "Now",
        "Its status, how much is done, how long it has run, how long it will take still (within what range, in eight of ten "
        "cases), on which day and by when, on how many earlier runs what is expected of it rests, and the tokens and the cost that "
        "its metadata tell of.",
        NOT_SEEN,
        (
            ("Status", one(f.CODE), {"mappings": [STATUS_WORDS]}),
            ("Progress", one(f.RATIO), {"unit": "percentunit", "decimals": 0}),
            ("Elapsed", running, {"unit": "dthms"}),
            ("Time left", one(f.ETA), {"unit": "dthms"}),
            ("At least", one(f.ETA_LOW), {"unit": "dthms"}),
            ("At most", one(f.ETA_HIGH), {"unit": "dthms"}),
            ("Done by", f"1000 * {one(f.ETA_AT)}", {"unit": "time:ddd HH:mm"}),
            ("Expected", one(f.EXPECTED), {"unit": "dthms"}),
            ("Earlier runs", one(f.EXPECTED_RUNS), {"unit": "none"}),
            ("Tokens", f"sum({one(f.TOKENS)})", {"unit": "short"}),
            ("Cost", one(f.OWN_COST), {"unit": "currencyUSD"}),
        ),
        many=True,
    )


def states() -> statetimeline.Panel:
    """Its status over time."""
    looks = {status.code: (words(status), look.colour) for status, look in STATUS.items()}
    description = "Its status over the time that is shown: when it waited, ran, stood still and ended, and how."
    return timeline("Status", description, [(one(f.CODE), "status")], [mapped(looks)], NOT_SEEN)


def gates() -> statetimeline.Panel:
    """A row per condition, coloured while it holds."""
    panel = timeline(
        "Gates",
        "Which conditions held when: red while it was stuck, amber while it waited for a person, was slow or in the way. The page "
        "of the process says why; the runbook, above, says what to do.",
        [(one(f.CONDITION), "{{condition}}")],
        [mapped({0: ("no", HIDDEN_STATE), 1: ("holds", GREY)})],
        "It has ended or was not seen: conditions are those of active processes. Choose a longer time",
    )
    for condition in Condition:
        colours = {0: ("no", HIDDEN_STATE), 1: ("holds", CONDITION[condition].colour)}
        panel.override_by_name(condition.value, properties({"mappings": [mapped(colours)]}))
    return panel


def time_left() -> list[tuple[str, str]]:
    """The estimate, and its range."""
    return [(one(f.ETA), "time left"), (one(f.ETA_LOW), "at least"), (one(f.ETA_HIGH), "at most")]


def duration_lines() -> list[tuple[str, str]]:
    """Its own time against what it should take and what runs of the name took."""
    # The same at every point, so it is worked out once.
    of_name = f"sum by (le) ({f.by_name(f.DURATION)} @ end() and on (instance, name, kind) {one(f.INFO)} @ end())"
    running = f"{either(one(f.FINISH), f'time() + 0 * {one(f.START)}')} - {ON} {one(f.START)}"
    return [
        (running, "this run"),
        (one(f.EXPECTED), "expected"),
        (one(f.TIMEOUT), "time limit"),
        (f"histogram_quantile(0.5, {of_name})", "half of all runs"),
        (f"histogram_quantile(0.95, {of_name})", "95% of all runs"),
    ]


def process() -> dashboard.Dashboard:
    rate = "[$__rate_interval]"
    memory_limit = f"{one(f.MEMORY)} / {ON} ({one(f.MEMORY_RATIO)} > 0) * {ON} {one(f.MEMORY_LIMIT)}"
    limit = dashes() | colour(AMBER)
    return board(
        UID,
        "Headway / One process",
        "Where one process is, how it got there, when it will be done, what it uses, and how that compares to its earlier runs.",
        refresh="2s",
        since="now-30m",
        variables=(chosen(), prometheus_url(), logs_source()),
        rows=(folded(13, 49, "Output, from Loki (without one: Log and tree, above)", Place(14, 0, 50, 24, 16, output())),),
        links=(
            page("Log and tree", "/processes/${id}", "The page of this process: its log, tree and metadata"),
            page("Runbook", "", "What each alert means, and what to do", RUNBOOK),
            page("Cancel", "/processes/${id}?cancel", "Asks first"),
        ),
        places=(
            Place(1, 0, 0, 24, 5, now()),
            Place(2, 0, 5, 24, 3, facts()),
            Place(3, 0, 8, 12, 3, states()),
            Place(4, 12, 8, 12, 6, gates()),
            Place(
                5,
                0,
                11,
                12,
                7,
                graph(
                    "Progress",
                    "How much of it was done when. A flat line is a process that got no further.",
                    "percentunit",
                    [(one(f.RATIO), "done")],
                    {"done": colour(BLUE)},
                    empty=NO_RATE,
                ),
            ),
            Place(
                6,
                12,
                14,
                12,
                7,
                graph(
                    "Time left",
                    "How long it will take still, and the range that holds in eight of ten cases: a wide one says that nobody "
                    "knows yet. There is none where the process gives its own estimate.",
                    "dthms",
                    time_left(),
                    {"time left": colour(BLUE), "at least": dashes() | colour(GREY), "at most": dashes() | colour(GREY)},
                    empty=NO_RATE,
                ),
            ),
            Place(
                7,
                0,
                18,
                12,
                7,
                graph(
                    "Rate",
                    "Items that it gets done in a second.",
                    "cps",
                    [(one(f.RATE), "items per second")],
                    {"items per second": colour(BLUE)},
                    empty=NO_RATE,
                ),
            ),
            Place(
                8,
                12,
                21,
                12,
                7,
                graph(
                    "Duration",
                    "How long it has run, against what is expected, its time limit, and how long half and 95% of all runs of its "
                    "name took.",
                    "dthms",
                    duration_lines(),
                    {
                        "this run": colour(BLUE),
                        "expected": dashes() | colour(GREY),
                        "time limit": limit,
                        "half of all runs": colour(GREY),
                        "95% of all runs": colour("#b0b0b0"),
                    },
                    empty=NOT_SEEN,
                    points=100,
                ),
            ),
            Place(
                9,
                0,
                25,
                12,
                7,
                graph(
                    "CPU",
                    "CPU of its whole tree (100% is one core), from where on it can be a bottleneck, and for how much of the time "
                    "its threads were ready to run and had no CPU.",
                    "percentunit",
                    [(one(f.CPU), "used"), (one(f.CPU_LIMIT), "limit"), (f"rate({one(f.CPU_WAIT)}{rate})", "waiting")],
                    {"used": colour(BLUE), "limit": limit, "waiting": colour(GREY)},
                    empty=NOT_SAMPLED,
                ),
            ),
            Place(
                10,
                12,
                28,
                12,
                7,
                graph(
                    "Memory",
                    "Resident memory of its whole tree, and from where on it can be a bottleneck.",
                    "bytes",
                    [(one(f.MEMORY), "resident"), (memory_limit, "limit")],
                    {"resident": colour(BLUE), "limit": limit},
                    empty=NOT_SAMPLED,
                ),
            ),
            Place(
                11,
                0,
                32,
                12,
                7,
                graph(
                    "Storage",
                    "Bytes that its tree caused to be read from and written to storage in a second.",
                    "Bps",
                    [(f"rate({one(f.READ)}{rate})", "read"), (f"rate({one(f.WRITTEN)}{rate})", "written")],
                    {"read": colour(GREY), "written": colour(BLUE)},
                    empty=NOT_SAMPLED,
                ),
            ),
            Place(15, 0, 42, 24, 7, nested()),
            Place(
                12,
                12,
                35,
                12,
                7,
                graph(
                    "Tree",
                    "OS processes, threads and open files of its tree. What grows without end is a leak.",
                    "none",
                    [(one(f.OS_PROCESSES), "processes"), (one(f.THREADS), "threads"), (one(f.FILES), "open files")],
                    {"processes": colour(BLUE), "threads": colour(GREY), "open files": colour("#b0b0b0")},
                    empty=NOT_SAMPLED,
                ),
            ),
        ),
    )
