"""The dashboard of trends: results, durations, gates, use of the machine and cost over hours and days."""

from __future__ import annotations

from functools import partial
from typing import Final

from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.models import dashboard

from grafana import facts as f
from grafana import graphs
from grafana.boards import Place, board, choice
from grafana.graphs import colour
from grafana.look import BLUE, CONDITION, GREY, RED, STATUS, Config
from grafana.promql import if_chosen, unless_chosen
from grafana.services import of_name
from grafana.tables import LEFT, RIGHT, Column, rows
from headway.model import Kind, Status

UID: Final = "headway-trends"
WHICH: Final = 'kind=~"$kind", name=~"$name"'
ENDED: Final = f"{f.by_name(f.FINISHED)}{{{WHICH}}}"
GOOD: Final = f"{Status.DONE.value}|{Status.CANCELLED.value}"
IS_BAD: Final = f'outcome!~"{GOOD}"'
BAD: Final = f"{f.by_name(f.FINISHED)}{{{WHICH}, {IS_BAD}}}"
WINDOW: Final = "1h"
NOTHING_ENDED: Final = "Nothing that the filters let through ended in this time. Choose a longer one, or start something: make demo"
NOTHING_RAN: Final = "Nothing that the filters let through ran in this time. Choose a longer one, or start something: make demo"
NOTHING_TRIPPED: Final = "No gate tripped in this time: nothing was stuck, too slow or in the way"
NO_COST: Final = "Nothing told what it cost in this time. Report metadata.cost_dollars, or metadata.tokens"
# Over hours and days, of what is recorded twice a minute.
graph: Final = partial(graphs.graph, points=120, interval="1m")
# No red: here it means failure.
KINDS: Final[dict[str, Config]] = {
    Kind.PIPELINE.value: colour(BLUE),
    Kind.SUBAGENT.value: colour("#a38bd6"),
    Kind.TASK.value: colour(GREY),
    Kind.CRON.value: colour("#4fa3a0"),
    Kind.DAEMON.value: colour("#5f6b7a"),
}


def summed(family: str, label: str, how: str, which: str = "") -> str:
    """Rows (label) of a counter, with `how` done to it, of the names that are chosen; of all of them there is a sum already. `how`:
    {} is the counter."""
    more = f", {which}" if which else ""
    everything = f"{f.of_all(family)}{{{unless_chosen('kind', 'name')}{more}}}"
    chosen = f"{f.by_name(family)}{{{WHICH}, {if_chosen('kind', 'name')}{more}}}"
    by = f"by ({label}) " if label else ""
    return " or ".join(f"sum {by}({how.format(counter)})" for counter in (everything, chosen))


def quantile(share: float) -> str:
    return f"histogram_quantile({share}, {summed(f.DURATION, 'le', f'increase({{}}[{WINDOW}])')})"


def quantile_of_name(share: float) -> str:
    grown = f"increase({f.by_name(f.DURATION)}{{{WHICH}}}[$__range])"
    return f"histogram_quantile({share}, sum by (instance, kind, name, le) ({grown}))"


# Exact, where increase() would guess what happened between two windows: these are a few samples long. What was not there before
# counts from when it was first seen.
GROWN: Final = "{0} - ({0} offset $__interval or min_over_time({0}[$__interval]))"


def of_names() -> list[Column]:
    """What a row per name begins with."""
    runs = of_name(f"round({grown_of_name(ENDED)}) > 0", "name", "kind")
    return [
        Column(title="Runs", expr=runs, width=70, config=RIGHT | {"unit": "none"}),
        Column(title="Name", label="name", config={"custom.minWidth": 160}),
        Column(title="Kind", label="kind", width=90),
    ]


def failing() -> table.Panel:
    rate = of_name(f"{grown_of_name(BAD)} / ({grown_of_name(ENDED)} > 0)")
    success = f"1000 * {f.LAST_SUCCESS}{{{WHICH}}}"
    gauge: Config = {"custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}, "min": 0, "max": 1}
    share = gauge | {"unit": "percentunit", "decimals": 0, "color": {"mode": "fixed", "fixedColor": GREY}}
    columns = [
        *of_names(),
        Column(title="Failures", expr=rate, width=170, config=share),
        Column(title="Last success", expr=of_name(success), width=140, config=LEFT | {"unit": "dateTimeFromNow"}),
    ]
    description = "Names by the share of their runs in this time that ended badly, the worst first."
    return rows("Most failing names", columns, sort="Failures").no_value(NOTHING_ENDED).description(description)


def slowest() -> table.Panel:
    clock: Config = RIGHT | {"unit": "dthms"}
    columns = [
        *of_names(),
        Column(title="Half within", expr=of_name(f"{quantile_of_name(0.5)} > 0"), width=100, config=clock),
        Column(title="95% within", expr=of_name(f"{quantile_of_name(0.95)} > 0"), width=100, config=clock),
    ]
    description = "Names by the time within which 95% of their runs ended, the slowest first."
    return rows("Slowest names", columns, sort="95% within").no_value(NOTHING_ENDED).description(description)


def hungriest() -> table.Panel:
    def used(family: str) -> str:
        return grown_of_name(f"{f.by_name(family)}{{{WHICH}}}")

    cpu, tokens = used(f.CPU_USED), used(f.TOKENS_USED)
    amount: Config = RIGHT | {"decimals": 1}
    columns = [
        Column(
            title="CPU time",
            expr=of_name(f"({cpu} > 0 or 0 * ({tokens} > 0))", "name", "kind"),
            width=110,
            config=amount | {"unit": "s"},
        ),
        Column(title="Name", label="name", config={"custom.minWidth": 160}),
        Column(title="Kind", label="kind", width=110),
        Column(title="Read", expr=of_name(used(f.READ_BY_NAME)), width=120, config=amount | {"unit": "bytes"}),
        Column(title="Written", expr=of_name(used(f.WRITTEN_BY_NAME)), width=120, config=amount | {"unit": "bytes"}),
        Column(title="Tokens", expr=of_name(f"{tokens} > 0"), width=120, config=amount | {"unit": "short"}),
        Column(
            title="Cost", expr=of_name(f"{used(f.COST)} > 0"), width=120, config=amount | {"unit": "currencyUSD", "decimals": 2}
        ),
    ]
    description = (
        "What the processes of each name used in this time, those that run and those that ended: CPU time, storage, tokens; and "
        "what those cost that ended. The most CPU time first."
    )
    return rows("What names used", columns, sort="CPU time").no_value(NOTHING_RAN).description(description)


def grown_of_name(counter: str) -> str:
    return f"sum by (instance, kind, name) (increase({counter}[$__range]))"


def outcomes() -> timeseries.Panel:
    looks = {status.value: colour(STATUS[status].colour) for status in Status if status.ended}
    return graph(
        "Runs by result",
        "How many runs ended, by how they ended. Grey was done; red failed, was killed, ran out of time or vanished.",
        "none",
        [(f"({summed(f.FINISHED, 'outcome', GROWN)}) > 0", "{{outcome}}")],
        looks,
        stack=True,
        bars=True,
        empty=NOTHING_ENDED,
    )


def trips() -> timeseries.Panel:
    looks = {condition.value: colour(look.colour) for condition, look in CONDITION.items()}
    return graph(
        "Gates tripped",
        "How often a condition began to hold, by gate: red is stuck, amber is slow or in the way.",
        "none",
        [(f"({summed(f.TRIPS, 'gate', GROWN)}) > 0", "{{gate}}")],
        looks,
        stack=True,
        bars=True,
        empty=NOTHING_TRIPPED,
    )


def trends() -> dashboard.Dashboard:
    ended, bad = (f"({summed(f.FINISHED, '', f'increase({{}}[{WINDOW}])', which)})" for which in ("", IS_BAD))
    spent = f"{f.by_name(f.COST)}{{{WHICH}}}"
    return board(
        UID,
        "Headway / Trends",
        "How runs ended, how long they took, what tripped, and what they used and cost, over hours and days.",
        refresh="30s",
        since="now-6h",
        variables=(choice("kind", f.FINISHED), choice("name", f.FINISHED)),
        places=(
            Place(1, 0, 0, 12, 8, outcomes()),
            Place(
                2,
                12,
                0,
                12,
                8,
                graph(
                    "Failure rate",
                    "Share of the runs of the last hour that ended badly: failed, killed, out of time or vanished.",
                    "percentunit",
                    [(f"{bad} / ({ended} > 0)", "failed")],
                    {"failed": colour(RED)},
                    empty=NOTHING_ENDED,
                ),
            ),
            Place(
                3,
                0,
                8,
                12,
                8,
                graph(
                    "Duration",
                    "Within which time half, and 95%, of the runs of the last hour ended.",
                    "dthms",
                    [(quantile(0.5), "half"), (quantile(0.95), "95%")],
                    {"half": colour(GREY), "95%": colour(BLUE)},
                    empty=NOTHING_ENDED,
                ),
            ),
            Place(4, 12, 8, 12, 8, trips()),
            Place(
                5,
                0,
                16,
                12,
                8,
                graph(
                    "CPU by kind",
                    "CPU of all trees, by kind of work; 100% is one core.",
                    "percentunit",
                    [(f"sum by (kind) ({f.by_name(f.CPU)}{{{WHICH}}})", "{{kind}}")],
                    KINDS,
                    stack=True,
                    empty=NOTHING_RAN,
                ),
            ),
            Place(
                6,
                12,
                16,
                12,
                8,
                graph(
                    "Memory by kind",
                    "Resident memory of all trees, by kind of work.",
                    "bytes",
                    [(f"sum by (kind) ({f.by_name(f.MEMORY)}{{{WHICH}}})", "{{kind}}")],
                    KINDS,
                    stack=True,
                    empty=NOTHING_RAN,
                ),
            ),
            Place(
                7,
                0,
                24,
                12,
                8,
                graph(
                    "Cost",
                    "What runs cost, by kind, counted when they end, as far as they tell or the prices of their tokens say.",
                    "currencyUSD",
                    [(f"sum by (kind) (clamp_min({GROWN.format(spent)}, 0))", "{{kind}}")],
                    KINDS,
                    stack=True,
                    empty=NO_COST,
                ),
            ),
            Place(
                8,
                12,
                24,
                12,
                8,
                graph(
                    "Tokens of what runs",
                    "Tokens that the active processes say they have used so far.",
                    "short",
                    [(f"sum by (direction) ({f.by_name(f.TOKENS)}{{{WHICH}}})", "{{direction}}")],
                    {"input": colour(GREY), "output": colour(BLUE)},
                    stack=True,
                    empty=NO_COST,
                ),
            ),
            Place(
                11,
                0,
                32,
                24,
                7,
                graph(
                    "Waiting before the start",
                    "For how long those that are listed waited between being made known and starting, by kind: the average of "
                    "what their names have.",
                    "dthms",
                    [(f"avg by (kind) ({f.WAITED}{{{WHICH}}})", "{{kind}}")],
                    KINDS,
                    empty=NOTHING_RAN,
                ),
            ),
            Place(
                9,
                0,
                39,
                12,
                10,
                failing(),
            ),
            Place(
                10,
                12,
                39,
                12,
                10,
                slowest(),
            ),
            Place(12, 0, 49, 24, 10, hungriest()),
        ),
    )
