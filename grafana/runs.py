"""Two dashboards with the same filters: what is active now, and what was seen in a time that is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import statetimeline, table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from grafana import facts as f
from grafana.boards import PAGE, PROCESS, Place, board, choice
from grafana.graphs import mapped, timeline
from grafana.look import FLAGS, GREY, STATUS, STATUS_WORDS, SYMBOLS, Config, words
from grafana.promql import BY, ON, keyed
from grafana.tables import CENTER, HIDDEN, IMAGE, LEFT, RIGHT, TEXT, Column, rows
from headway.model import Status

ACTIVE_UID: Final = "headway-active"
HISTORY_UID: Final = "headway-history"
MOST_ROWS: Final = 200
# Of a timeline over hours: each costs a look at every process.
POINTS: Final = 75
FILTERS: Final = ("kind", "project", "task", "agent", "name")
CHOSEN: Final = f.INFO + "{" + ", ".join(f'{label}=~"${label}"' for label in FILTERS) + "}"
LINKS: Final = {"Log, tree and metadata": PAGE, "Graphs": PROCESS}
NOTHING_ACTIVE: Final = "Nothing that the filters above let through is active. Choose All, or look into the history"
NOTHING_SEEN: Final = "Nothing that the filters above let through was seen in this time. Choose All, or a longer time"
PERCENT: Final[Config] = {"unit": "percentunit", "decimals": 0, **RIGHT}
CLOCK: Final[Config] = {"unit": "dthms", **RIGHT}
BYTES: Final[Config] = {"unit": "bytes", "decimals": 0, **RIGHT}
RESULT_LOOK: Final[Config] = {"custom.minWidth": 160, "custom.inspect": True}
COUNT: Final[Config] = {"unit": "none", **RIGHT}


def filters() -> list[Builder[dashboard.VariableModel]]:
    return [choice(label, f.INFO) for label in FILTERS]


def statuses(name: str, options: Sequence[tuple[str, str]]) -> builders.CustomVariable:
    """A choice of comparisons with the code of a status."""
    preset = dashboard.VariableOption(text=options[0][0], value=options[0][1], selected=True)
    listed = ",".join(f"{text} : {value}" for text, value in options)
    return builders.CustomVariable(name).label("Status").values(listed).current(preset)


def across(title: str, uid: str, tooltip: str) -> builders.DashboardLink:
    """To the other of the two, with the filters."""
    link = builders.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(f"/d/{uid}")
    return link.include_vars(True).icon("dashboard").tooltip(tooltip)


# ── active ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def active_table() -> table.Panel:
    """The first column says which rows there are, so the others need no filter: Grafana drops what has no partner."""
    chosen = ", ".join(f'{label}=~"${label}"' for label in FILTERS)
    wanted = f"topk({MOST_ROWS}, {f.TITLE}{{{chosen}}} and {ON} ({f.LISTED_CODE} $status)) * {f.ADDRESS}"
    # Drawn by Grafana itself: a picture for each row, as in the Overview, is too dear for all of them.
    gauge: Config = {"custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}, "min": 0, "max": 1}
    grey: Config = {"color": {"mode": "fixed", "fixedColor": GREY}}
    flags = f'label_join({f.HELD}, "flag", "", "condition")'
    columns = [
        Column(title="order", expr=keyed(wanted, "id", "title", "kind", "external_url"), config=HIDDEN),
        Column(title=" ", expr=keyed(f.LISTED_CODE), width=50, config=IMAGE | CENTER | {"mappings": [SYMBOLS]}),
        Column(title="Process", label="title", links=LINKS, config={"custom.minWidth": 190}),
        Column(title="Kind", label="kind", width=90),
        Column(title="Progress", expr=keyed(f.RATIO), width=150, config=PERCENT | gauge | grey),
        Column(title="Done", expr=keyed(f.DONE), width=80, config=RIGHT | {"unit": "short"}),
        Column(title="Time left", expr=keyed(f.ETA), width=84, config=CLOCK),
        Column(title="Started", expr=keyed(f"1000 * {f.START}"), width=120, config=RIGHT | {"unit": "dateTimeFromNow"}),
        Column(title="Flags", expr=keyed(flags, "flag"), label="flag", width=150, many=True, config=TEXT | {"mappings": FLAGS}),
        Column(title="CPU", expr=keyed(f.CPU), width=56, config=PERCENT),
        Column(title="Memory", expr=keyed(f.MEMORY), width=78, config=BYTES),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("Processes", columns, sort="order")
        .no_value(NOTHING_ACTIVE)
        .description(
            f"Every process that the filters let through, {MOST_ROWS} at most, what failed or is stuck first, a child (↳) with its "
            "parent. CPU: 100% is one core. A name opens its log, tree and metadata, or its graphs."
        )
    )


def active() -> dashboard.Dashboard:
    options = [
        ("Active", f"< {Status.DONE.code}"),
        ("All that is listed", "> 0"),
        *((words(status), f"== {status.code}") for status in Status),
    ]
    return board(
        ACTIVE_UID,
        "Headway / Active",
        "Everything that runs or waits now, by kind, status, project, task, agent and name.",
        refresh="2s",
        since="now-15m",
        variables=(statuses("status", options), *filters()),
        links=(across("History", HISTORY_UID, "What was seen earlier, with the same filters"),),
        places=(Place(1, 0, 0, 24, 26, active_table()),),
    )


# ── history ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def last(metric: str, at: str = "") -> str:
    """What is now, else the last value in the time that is shown. Nobody reads every sample of hours for that: whoever has ended is
    shown for half an hour after it, so a look every ten minutes finds it."""
    return f"({metric}{at} or last_over_time({metric}[$__range:10m]{at}))"


def seen(metric: str, at: str = "") -> str:
    return f"max {BY} ({last(metric, at)})"


def matching(at: str = "") -> str:
    """Processes of the filters that were active in the time that is shown; failed ones have series long after their end."""
    ended_before = f"{seen(f.FINISH, at)} < $__from / 1000"
    return f"({last(CHOSEN, at)} and {ON} ({seen(f.CODE, at)} $outcome) unless {ON} {ended_before})"


def history_table() -> table.Panel:
    moment: Config = {"unit": "dateTimeAsLocal", **LEFT}
    who = keyed(f"{matching()} * {f.ADDRESS}", "id", "name", "kind", "project", "external_url")
    took = f"{seen(f.FINISH)} - {ON} {seen(f.START)}"
    result = f'label_join({last(f.RESULT)}, "result", "", "text")'
    columns = [
        Column(title="row", expr=who, config=HIDDEN),
        Column(title="Process", label="name", links=LINKS, config={"custom.minWidth": 180}),
        Column(title="Kind", label="kind", width=90),
        Column(title="Project", label="project", width=100),
        Column(title="Status", expr=keyed(seen(f.CODE)), width=90, config=TEXT | LEFT | {"mappings": [STATUS_WORDS]}),
        Column(title="%", expr=keyed(seen(f.RATIO)), width=52, config=PERCENT),
        Column(title="Duration", expr=keyed(took), width=90, config=CLOCK),
        Column(title="Started", expr=keyed(f"1000 * {seen(f.START)}"), width=160, config=moment),
        Column(title="Ended", expr=keyed(f"1000 * {seen(f.FINISH)}"), width=160, config=moment),
        Column(title="Exit", expr=keyed(seen(f.EXIT_CODE)), width=60, config=COUNT),
        Column(title="Result", expr=keyed(result, "result"), label="result", config=RESULT_LOOK),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("Processes", columns, sort="Started")
        .no_value(NOTHING_SEEN)
        .description(
            "Everything that was active in the time that is shown and that the filters let through, the newest first: how it "
            "ended, how long it took and what it achieved. A name opens its log, tree and metadata, or its graphs."
        )
    )


def history_timeline() -> statetimeline.Panel:
    looks = {status.code: (words(status), look.colour) for status, look in STATUS.items()}
    # What does not change from point to point is worked out once, and each point costs one match.
    outcome = f"({seen(f.CODE, ' @ end()')} and {ON} {matching(' @ end()')})"
    only = ", ".join(f'{label}=~"${label}"' for label in ("kind", "name"))
    active = f"0 * (min_over_time({f.CODE}{{{only}}}[$__rate_interval]) < {Status.DONE.code})"
    by_name = f"max by (name) ({active} + {ON} group_left () {outcome})"
    return timeline(
        "Runs and how they ended",
        "A row per name, a bar per run in the colour of its outcome, which is known from the beginning of the bar: red failed, "
        "grey was done, blue still runs.",
        [(by_name, "{{name}}")],
        [mapped(looks)],
        NOTHING_SEEN,
    ).max_data_points(POINTS)


def history() -> dashboard.Dashboard:
    done, cancelled = Status.DONE.code, Status.CANCELLED.code
    options = [
        ("All", "> 0"),
        ("Ended", f">= {done}"),
        ("Ended badly", f"> {done} != {cancelled}"),
        *((words(status), f"== {status.code}") for status in Status),
    ]
    return board(
        HISTORY_UID,
        "Headway / History",
        "What was seen in a time that is chosen, by kind, outcome, project, task, agent and name. The exporter's own history page "
        "reaches further back, and has the logs.",
        refresh="30s",
        since="now-3h",
        variables=(statuses("outcome", options), *filters()),
        links=(across("Active", ACTIVE_UID, "What runs now, with the same filters"),),
        places=(Place(1, 0, 0, 24, 10, history_timeline()), Place(2, 0, 10, 24, 20, history_table())),
    )
