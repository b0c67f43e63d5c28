"""The dashboard of alerts and gates: what fires, for how long, and the thresholds in force."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import stat, statetimeline, table
from grafana_foundation_sdk.models import dashboard

from grafana import facts as f
from grafana.boards import PAGE, PROCESS, RUNBOOK, Place, board, choice, prometheus_url
from grafana.figures import figures
from grafana.graphs import mapped, timeline
from grafana.look import AMBER, BLUE, GREY, RED, Config, values
from grafana.promql import keyed
from grafana.tables import HIDDEN, LEFT, RIGHT, TEXT, Column, rows

LINKS: Final = {"Log, tree and metadata": PAGE, "Graphs": PROCESS}
UID: Final = "headway-alerts"
HEADING: Final = RUNBOOK + "#:~:text=${__data.fields.Alert}"
QUIET: Final = "No alert fires. What is watched, and from when on, is below"
# Of an alert about a process, a name, a service and an exporter.
SUBJECT: Final = ("instance", "id", "name", "kind", "service", "alertname", "severity", "gate")
_LOOKS: Final = {"critical": RED, "warning": AMBER, "info": BLUE}
SEVERITY: Final = values({name: {"text": name, "color": colour} for name, colour in _LOOKS.items()})


def firing() -> table.Panel:
    """ALERTS_FOR_STATE tells since when; it has the labels of the alert without its state."""
    since = f"1000 * max by ({', '.join(SUBJECT)}) ({f.FOR_STATE} and ignoring (alertstate) {f.FIRING})"
    keyed_alert = f'max by (key, alertname, severity, name, service, instance, id) (label_join({since}, "key", " ", {labels()}))'
    columns = [
        Column(title="Since", expr=keyed_alert, width=130, config=LEFT | {"unit": "dateTimeFromNow"}),
        Column(title="Severity", label="severity", width=90, config=TEXT | {"mappings": [SEVERITY]}),
        Column(title="Alert", label="alertname", width=270, links={"What to do": HEADING}),
        Column(title="Process or name", label="name", links={"Graphs": PROCESS}, config={"custom.minWidth": 160}),
        Column(title="Service", label="service", width=120),
        Column(title="Exporter", label="instance", width=170),
        Column(title="id", label="id", config=HIDDEN),
    ]
    return (
        rows("What fires", columns, sort="Since")
        .no_value(QUIET)
        .description(
            "Every alert of Headway that fires now, the latest first, and since when its condition holds. An alert opens its "
            "heading in the runbook, which says what to do; a process opens its graphs."
        )
    )


def labels() -> str:
    return ", ".join(f'"{label}"' for label in SUBJECT)


def when() -> statetimeline.Panel:
    severities = {1: ("fires", GREY), 2: ("warning", AMBER), 3: ("critical", RED)}
    graded = " or ".join(
        f"{rank} * max by (alertname, name, service) ({f.firing_as(severity)})"
        for rank, severity in ((3, "critical"), (2, "warning"), (1, "info"))
    )
    return timeline(
        "What fired when",
        "A row per alert and what it was about, a bar while it fired: red critical, amber a warning, grey for your information.",
        [(graded, "{{alertname}} {{name}}{{service}}")],
        [mapped(severities)],
        "No alert fired in this time. Choose a longer one to see earlier ones",
    )


def limits() -> table.Panel:
    """Thresholds of each active process."""
    share: Config = RIGHT | {"unit": "percentunit", "decimals": 0}
    times: Config = RIGHT | {"unit": "suffix:×", "decimals": 1}
    clock: Config = RIGHT | {"unit": "dthms"}
    chosen = '{kind=~"$kind"}'
    rows_of = f'{f.ROW}{{code=~"{f.ACTIVE}", kind=~"$kind"}}'
    who = keyed(f"{rows_of} * {f.ADDRESS}", "id", "name", "kind", "external_url")
    columns = [
        Column(title="Time sink from", expr=keyed(f"{f.SINK_RATIO}{chosen}"), width=130, config=times),
        Column(title="Critical from", expr=keyed(f"{f.SINK_CRITICAL}{chosen}"), width=110, config=times),
        Column(title="Not before", expr=keyed(f"{f.SINK_AFTER}{chosen}"), width=100, config=clock),
        Column(title="Expected", expr=keyed(f"{f.EXPECTED}{chosen}"), width=100, config=clock),
        Column(title="Stuck after", expr=keyed(f"{f.STUCK_LIMIT}{chosen}"), width=100, config=clock),
        Column(title="Waiting after", expr=keyed(f"{f.WAITING_LIMIT}{chosen}"), width=110, config=clock),
        Column(title="Time limit", expr=keyed(f"{f.TIMEOUT}{chosen}"), width=100, config=clock),
        Column(title="CPU from", expr=keyed(f"{f.CPU_LIMIT}{chosen}"), width=90, config=share),
        Column(title="Memory from", expr=keyed(f"{f.MEMORY_LIMIT}{chosen}"), width=120, config=share),
    ]
    first = [
        Column(title="row", expr=who, config=HIDDEN | {"unit": "none"}),
        Column(
            title="Process",
            label="name",
            links={"Log, tree and metadata": PAGE, "Graphs": PROCESS},
            config={"custom.minWidth": 160},
        ),
        Column(title="Kind", label="kind", width=90),
    ]
    hidden = [Column(title=title, label=title, config=HIDDEN) for title in ("id", "external_url")]
    return (
        rows("Thresholds of active processes", [*first, *columns, *hidden], sort="row")
        .no_value("Nothing is active. Thresholds are set in headway.yaml, for all, by kind and by name (docs/settings.md)")
        .description(
            "From where on each active process counts as stuck, slow or in the way, as the rules of the alerts read it. An empty "
            "cell is a gate that is off, or an expectation that nobody has yet. Change them in headway.yaml, or with the process."
        )
    )


def everywhere() -> stat.Panel:
    return figures(
        "Thresholds for all",
        "The thresholds that are the same for all: after which time a zombie counts, from which share of how many recent runs a "
        "name is failing, how far ahead the end of the memory is foreseen, and how often OS processes are read.",
        "No exporter is scraped. Start one with: make up",
        (
            ("Zombie after", f"max({f.ZOMBIE_LIMIT})", {"unit": "dthms"}),
            ("Failing from", f"max({f.FAILURE_LIMIT})", {"unit": "percentunit", "decimals": 0}),
            ("Of runs", f"max({f.FAILURE_RUNS})", {"unit": "none"}),
            ("Memory foreseen", f"max({f.FORESIGHT})", {"unit": "dthms"}),
            ("Read every", f"max({f.SAMPLE_INTERVAL})", {"unit": "s"}),
        ),
    )


def alerts() -> dashboard.Dashboard:
    return board(
        UID,
        "Headway / Alerts and gates",
        "What fires, since when, what fired earlier, and the thresholds in force.",
        refresh="30s",
        since="now-3h",
        variables=(choice("kind", f.INFO), prometheus_url()),
        places=(
            Place(1, 0, 0, 24, 8, firing()),
            Place(2, 0, 8, 24, 9, when()),
            Place(3, 0, 17, 24, 3, everywhere()),
            Place(4, 0, 20, 24, 12, limits()),
        ),
    )
