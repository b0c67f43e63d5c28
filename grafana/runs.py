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
from grafana.look import FLAG_TEXTS, RATIO_BARS, STATUS, STATUS_WORDS, SYMBOLS, Config, words
from grafana.promql import ON, if_chosen, keyed, unless_chosen
from grafana.recording import titled
from grafana.tables import CENTER, HIDDEN, IMAGE, LEFT, RIGHT, TEXT, Column, rows
from headway.model import Status

ACTIVE_UID: Final = "headway-active"
HISTORY_UID: Final = "headway-history"
SEEN_ROWS: Final = 500  # of the history, whose page of the exporter has the rest
# Of a timeline over hours: each costs a look at every process.
POINTS: Final = 36
FILTERS: Final = ("kind", "project", "task", "agent", "name")
CHOSEN: Final = ", ".join(f'{label}=~"${label}"' for label in FILTERS)
# Of what every family has, and so what a column can be asked for.
_OF_EACH: Final = ", ".join(f'{label}=~"${label}"' for label in ("kind", "name"))
LINKS: Final = {"Log, tree and metadata": PAGE, "Graphs": PROCESS}
NOTHING_ACTIVE: Final = "Nothing that the filters above let through is active. Choose All, or look into the history"
NOTHING_SEEN: Final = "Nothing that the filters above let through was seen in this time. Choose All, or a longer time"
PERCENT: Final[Config] = {"unit": "percentunit", "decimals": 0, **RIGHT}
CLOCK: Final[Config] = {"unit": "dthms", **RIGHT}
BYTES: Final[Config] = {"unit": "bytes", "decimals": 0, **RIGHT}
RESULT_LOOK: Final[Config] = {"custom.minWidth": 160, "custom.inspect": True}


def filters() -> list[Builder[dashboard.VariableModel]]:
    return [choice(label, f.INFO) for label in FILTERS]


# Matches nothing at all as well: see `unless_chosen`.
USUAL: Final = f"({f.ACTIVE})?"
ANY: Final = "[0-9]+"


def statuses(name: str, options: Sequence[tuple[str, str]]) -> builders.CustomVariable:
    """A choice of patterns of the code of a status."""
    preset = dashboard.VariableOption(text=options[0][0], value=options[0][1], selected=True)
    listed = ",".join(f"{text} : {value}" for text, value in options)
    return builders.CustomVariable(name).label("Status").values(listed).current(preset)


def across(title: str, uid: str, tooltip: str) -> builders.DashboardLink:
    """To the other of the two, with the filters."""
    link = builders.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(f"/d/{uid}")
    return link.include_vars(True).icon("dashboard").tooltip(tooltip)


# ── active ──────────────────────────────────────────────────────────────────────────────────────────────────────────


_UNLESS: Final = unless_chosen("status", *FILTERS)
_IF: Final = if_chosen("status", *FILTERS)
_FOUND: Final = f'topk({f.ACTIVE_ROWS}, {f.ROW}{{code=~"$status", {CHOSEN}, {_IF}}})'
# As long as nothing is chosen above, the rules know which rows there are.
ROWS: Final = f"({f.TOP_ACTIVE}{{{_UNLESS}}} or {_FOUND})"


def column(family: str) -> str:
    return keyed(f"{family}{{{_OF_EACH}}} and {ON} {ROWS}")


def chosen_rows() -> str:
    """Rows (instance, id, kind, code, title, external_url) whose value is their order."""
    return f"{f.TOP_ACTIVE}{{{_UNLESS}}} or {titled(_FOUND)}"


def started() -> str:
    """In ms. The rules carry it, as it does not change."""
    return keyed(f"1000 * ({f.ACTIVE_START}{{{_UNLESS}}} or {f.START}{{{_OF_EACH}, {_IF}}} and {ON} {_FOUND})")


def active_table() -> table.Panel:
    """The first column says which rows there are, so the others need no filter: Grafana drops what has no partner."""
    flags = f'label_replace(label_join({f.HELD}, "flag", "", "condition"), "flag", "$1 $2", "flag", "(.+)_(.+)")'
    columns = [
        Column(title="order", expr=keyed(chosen_rows(), "id", "title", "kind", "code", "external_url"), config=HIDDEN),
        Column(title=" ", label="code", width=50, config=IMAGE | CENTER | {"mappings": [SYMBOLS]}),
        Column(title="Process", label="title", links=LINKS, config={"custom.minWidth": 190}),
        Column(title="Progress", expr=column(f.RATIO), width=126, config=IMAGE | {"mappings": RATIO_BARS}),
        Column(title="%", copy="Progress", width=52, config=PERCENT),
        Column(title="Time left", expr=column(f.ETA), width=84, config=CLOCK),
        Column(
            title="Flags", expr=keyed(flags, "flag"), label="flag", width=150, many=True, config=TEXT | {"mappings": FLAG_TEXTS}
        ),
        # As far as here it is seen on 800 px.
        Column(title="Kind", label="kind", width=90),
        Column(title="Done", expr=column(f.DONE), width=80, config=RIGHT | {"unit": "short"}),
        Column(title="Started", expr=started(), width=120, config=RIGHT | {"unit": "dateTimeFromNow"}),
        Column(title="CPU", expr=column(f.CPU), width=56, config=PERCENT),
        Column(title="Memory", expr=column(f.MEMORY), width=78, config=BYTES),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("Processes", columns, sort="order")
        .no_value(NOTHING_ACTIVE)
        .description(
            f"Every process that the filters let through, {f.ACTIVE_ROWS} at most, what failed or is stuck first, a child (↳) "
            "with its parent. CPU: 100% is one core. A name opens its log, tree and metadata, or its graphs."
        )
    )


def active() -> dashboard.Dashboard:
    options = [
        ("Active", USUAL),
        ("All that is listed", ANY),
        *((words(status), str(status.code)) for status in Status),
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
    """Its last value in the time that is shown."""
    return f"last_over_time({metric}[$__range]{at})"


# A label that is made once, where it is recorded, and not for each refresh.
ON_KEY: Final = "on (key)"


def seen(at: str = "") -> str:
    """Processes that the filters let through and that were recorded in the time that is shown. The value is that of the rule: when
    each began (ms), and in the last two digits its status."""
    which = f'code=~"$outcome", {CHOSEN}'
    active = f'{f.SEEN}{{code=~"{f.ACTIVE}", {which}}}{at}'
    return f'({active} or {ON_KEY} last_over_time({f.SEEN}{{code=~"{f.ENDED}", {which}}}[$__range]{at}))'


def matching() -> str:
    """Those that were active in that time: what failed earlier is recorded anew when the exporter was away for long."""
    return f"({seen()} unless {ON_KEY} {last(f.SEEN_FINISH)} < $__from)"


def history_table() -> table.Panel:
    moment: Config = {"unit": "dateTimeAsLocal", **LEFT}
    columns = [
        Column(title="Process", label="name", links=LINKS, config={"custom.minWidth": 180}),
        Column(title="Kind", label="kind", width=90),
        Column(title="Project", label="project", width=100),
        Column(title="Status", label="code", width=90, config=TEXT | LEFT | {"mappings": [STATUS_WORDS]}),
        Column(title="%", expr=last(f.SEEN_RATIO), width=52, config=PERCENT),
        Column(title="Duration", expr=last(f.SEEN_TOOK), width=90, config=CLOCK),
        Column(title="Started", expr=f"topk({SEEN_ROWS}, {matching()})", width=180, config=moment),
        Column(title="Ended", expr=last(f.SEEN_FINISH), width=180, config=moment),
        Column(title="Exit", label="exit", width=60, config=RIGHT),
        Column(title="Result", label="result", config=RESULT_LOOK),
        Column(title="id", label="id", config=HIDDEN),
        Column(title="external_url", label="external_url", config=HIDDEN),
    ]
    return (
        rows("Processes", columns, sort="Started", lead="Started")
        .no_value(NOTHING_SEEN)
        .description(
            "What was active in the time that is shown and what the filters let through, the newest first, the last "
            f"{SEEN_ROWS}: how it ended, how long it took and what it achieved, half a minute late at most. One that waits shows "
            "since when. A name opens its log, tree and metadata, or its graphs."
        )
    )


def history_timeline() -> statetimeline.Panel:
    looks = {status.code: (words(status), look.colour) for status, look in STATUS.items()}
    # What does not change from point to point is worked out once, and each point costs one match.
    at = " @ end()"
    by_name = f"max by (name) ({seen(at)} % 100 and {ON_KEY} max_over_time({f.WAS_ACTIVE}[$__rate_interval]))"
    return (
        timeline(
            "Runs and how they ended",
            "A row per name, a bar per run in the colour of its outcome, which is known from the beginning of the bar: red failed, "
            "grey was done, blue still runs.",
            [(by_name, "{{name}}")],
            [mapped(looks)],
            NOTHING_SEEN,
        )
        .max_data_points(POINTS)
        .interval("1m")
    )


def history() -> dashboard.Dashboard:
    good = (Status.DONE, Status.CANCELLED)
    options = [
        ("All", ANY),
        ("Ended", f.ENDED),
        ("Ended badly", f.codes(lambda status: status.ended and status not in good)),
        *((words(status), str(status.code)) for status in Status),
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
