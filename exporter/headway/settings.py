"""The settings: one table from which configuration file, environment, flags, defaults and docs/settings.md come.

The table is the body of :class:`Settings`; :data:`SETTINGS` is derived from it. `python -m headway.settings` prints
docs/settings.md. Where values come from is in :mod:`headway.configuration`.
"""

# ruff: noqa: RUF009 (the rows of the table are calls that make a dataclass field each, as dataclasses.field itself)
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

from headway.costs import Price
from headway.datadir import default_data_dir
from headway.forms import (
    ADDRESS,
    FILE,
    HOSTS,
    PATH,
    URL,
    URL_OR_NONE,
    AnyForm,
    Form,
    boolean,
    choice,
    count,
    duration,
    optional,
    ratio,
    size,
    split_address,
    text,
)
from headway.model import Kind, Thresholds
from headway.view import TIME_SINK_AFTER, Limits, critical_ratio

T = TypeVar("T")
Anonymous = Literal["auto", "none", "viewer", "reporter"]
LogLevel = Literal["debug", "info", "warning", "error"]
ENVIRONMENT_PREFIX: Final = "HEADWAY_"
NAME_MAX: Final = 200


# Names of which the thresholds in force are kept.
KEPT_LIMITS: Final = 2000


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` is text as a user would write it, or words in parentheses when it depends on the machine."""

    name: str
    group: str
    form: AnyForm
    default: str
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Limits for processes of a kind, or whose name matches a pattern (`*`, `?`, `[…]`, case counts). `values` holds only what
    the rule sets (:data:`RULE_FORMS`); None switches that gate off."""

    values: Mapping[str, float | None]
    kind: Kind | None = None
    name: str | None = None

    def matches(self, kind: Kind, name: str) -> bool:
        return (self.kind is None or self.kind is kind) and (self.name is None or fnmatchcase(name, self.name))


THRESHOLD_FORMS: Final[Mapping[str, Form[float]]] = {
    "stuck_after": duration(least=1),
    "time_sink_ratio": ratio(above=1),
    "time_sink_after": duration(),
    "cpu_ratio": ratio(),
    "memory_ratio": ratio(most=1),
    "waiting_after": duration(),
}
# A process may set those for itself; a rule may set this one, too, which judges a name.
RULE_FORMS: Final[Mapping[str, Form[float]]] = {**THRESHOLD_FORMS, "failure_rate": ratio(most=1)}
# Daemons are idle by nature: silence says nothing about them.
DEFAULT_RULES: Final = (ThresholdRule({"stuck_after": None}, kind=Kind.DAEMON),)


def _setting(default: T, form: Form[T] | Form[str], group: str, help: str) -> T:
    row = {"form": form, "group": group, "help": help, "default": form.write(default)}  # type: ignore[arg-type]
    return field(default=default, metadata={"setting": row})


def _computed(factory: Any, words: str, form: AnyForm, group: str, help: str) -> Any:
    row = {"form": form, "group": group, "help": help, "default": f"({words})"}
    return field(default_factory=factory, metadata={"setting": row})


_ADDRESSES, _ACCESS, _GATES, _ENDS, _KEPT, _LIMITS, _LOKI, _OWN = (
    "Addresses",
    "Access",
    "Gates",
    "Watching and ending",
    "What is kept",
    "Limits",
    "Logs in Loki",
    "The exporter itself",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The effective configuration. Durations are seconds, sizes bytes."""

    listen: str = _setting(
        "127.0.0.1:14323",
        ADDRESS,
        _ADDRESSES,
        "Where the exporter listens. Beyond loopback every call needs a key. Port 0 lets the system choose a free one.",
    )
    external_url: str = _computed(
        str,
        "http://LISTEN",
        URL,
        _ADDRESSES,
        "How others reach the exporter; links in alerts, dashboards and pages are built from it. With TLS https by default.",
    )
    grafana_url: str | None = _setting(
        "http://127.0.0.1:3000",
        URL_OR_NONE,
        _ADDRESSES,
        "Where Grafana is, for links; none where there is none: they lead to the exporter's own pages then.",
    )
    prometheus_url: str = _setting("http://127.0.0.1:9090", URL, _ADDRESSES, "Where Prometheus is, for links and trends.")
    alertmanager_url: str | None = _setting(
        "http://127.0.0.1:9093",
        URL_OR_NONE,
        _ADDRESSES,
        "Where Alertmanager is: it is told what ended (docs/announcements.md), and pages link to it; none: nobody is told.",
    )
    alerting_secrets: Path = _setting(
        Path("alerting/secrets"),
        PATH,
        _ACCESS,
        "Folder of the secret files that switch on receivers of alerts; the exporter itself speaks to whom Alertmanager cannot.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        HOSTS,
        _ACCESS,
        "Host names, beside loopback ones, that a request may name; guards against DNS rebinding. Compose sets exporter.",
    )
    anonymous: Anonymous = _setting(
        "auto",
        choice(*get_args(Anonymous)),
        _ACCESS,
        "What a caller on loopback may do without a key; auto is reporter while only the first-start key exists, then viewer. "
        "Off loopback a key is always needed.",
    )
    web_config_file: Path | None = _setting(
        None,
        FILE,
        _ACCESS,
        "Web configuration file in the format of Prometheus exporters: TLS, basic authentication, headers (docs/access.md). It is "
        "read again when it or a certificate changes.",
    )
    session_lifetime: float = _setting(
        43200.0, duration(least=60), _ACCESS, "How long somebody who signed in on the pages stays signed in, at most."
    )
    data_dir: Path = _computed(
        lambda: default_data_dir(os.environ, os.geteuid()),
        "/var/lib/headway for root, else $XDG_STATE_HOME/headway, else ~/.local/state/headway",
        PATH,
        _OWN,
        "Database, keys and the spool of reporters. One exporter per directory.",
    )
    log_level: LogLevel = _setting("info", choice(*get_args(LogLevel)), _OWN, "How much the exporter writes to standard error.")
    sample_interval: float = _setting(2.0, duration(least=0.1), _OWN, "How often the OS processes of tracked processes are read.")
    discovery_interval: float = _setting(
        10.0,
        duration(least=0.1),
        _OWN,
        "How often OS processes that nobody reported are looked for, where there are rules for it (`discover`).",
    )
    memory_pss: bool = _setting(
        False,
        boolean(),
        _OWN,
        "Measure memory as PSS (pages that several share are divided among them) beside RSS, and judge by that; costs more.",
    )
    stuck_after: float = _setting(
        60.0, THRESHOLD_FORMS["stuck_after"], _GATES, "Stuck: running, and neither output nor progress for so long."
    )
    time_sink_ratio: float = _setting(
        2.0, THRESHOLD_FORMS["time_sink_ratio"], _GATES, "Time sink: running so many times as long as expected (warning)."
    )
    time_sink_critical_ratio: float = _setting(3.0, ratio(above=1), _GATES, "The same, critical. At least time_sink_ratio.")
    time_sink_after: float = _setting(
        TIME_SINK_AFTER,
        THRESHOLD_FORMS["time_sink_after"],
        _GATES,
        "Where earlier runs say how long it takes: no time sink before it has run for so long. What is declared counts as it is.",
    )
    cpu_ratio: float = _setting(
        0.8, THRESHOLD_FORMS["cpu_ratio"], _GATES, "Bottleneck: so much CPU (1 = one core) while others wait for it."
    )
    memory_ratio: float = _setting(
        0.7, THRESHOLD_FORMS["memory_ratio"], _GATES, "Bottleneck: so much of the memory there is while others wait for it."
    )
    waiting_after: float = _setting(
        60.0, THRESHOLD_FORMS["waiting_after"], _GATES, "Waiting: it says that it waits for a person, for so long; 0: at once."
    )
    zombie_after: float = _setting(300.0, duration(least=1), _GATES, "Zombie: ended, and not reaped by its parent for so long.")
    failure_rate: float = _setting(
        0.5, RULE_FORMS["failure_rate"], _GATES, "Failing: such a share of the latest runs of a name (20 at most) ended badly."
    )
    failure_rate_runs: int = _setting(4, count(), _GATES, "Failing: judged from so many ended runs on.")
    failure_rate_window: float = _setting(
        86400.0, duration(least=60), _GATES, "Failing: runs that ended longer ago than this do not count."
    )
    memory_foresight: float = _setting(
        3600.0, duration(least=60), _GATES, "Memory exhaustion: foreseen when it comes within so long, and before the end."
    )
    stop_grace: float = _setting(5.0, duration(), _ENDS, "From the polite signal to SIGKILL when a process is ended.")
    lease: float = _setting(
        300.0,
        duration(least=1),
        _ENDS,
        "A reporter that cannot be watched by its pid (other host or pid namespace) is lost after so long without an update.",
    )
    zombie_cleanup: float = _setting(
        1800.0, duration(least=1), _ENDS, "A process that was a zombie for so long is given up for lost (orphaned)."
    )
    announce_failures_after: float = _setting(
        60.0,
        duration(),
        _ENDS,
        "An end that alerts tell of (failed, timed out, orphaned, killed by someone unknown) is announced after so long, and only "
        "where no alert has told it. Longer than a scrape and an evaluation of Prometheus; 0 where there is none.",
    )
    cleanup_interval: float = _setting(60.0, duration(least=1), _ENDS, "How often what has faded or is too old is cleaned up.")
    active_retention: float = _setting(
        1800.0, duration(), _KEPT, "How long a finished process stays in the active view and in per-process metrics."
    )
    orphan_retention: float = _setting(
        86400.0, duration(), _KEPT, "How long an orphaned process that nobody dismissed stays in the active view."
    )
    mended_retention: float | None = _setting(
        None,
        optional(duration()),
        _KEPT,
        "How long a failed process stays in the active view after a later one of its name was done; nothing: till it is dismissed.",
    )
    history_retention: float = _setting(30 * 86400.0, duration(least=60), _KEPT, "How long finished processes are kept.")
    history_max: int = _setting(100_000, count(), _KEPT, "How many finished processes are kept at most; the oldest go first.")
    log_tail_lines: int = _setting(500, count(), _KEPT, "Lines of output kept for each process.")
    log_tail_bytes: int = _setting(262_144, size(least=1024), _KEPT, "Bytes of output kept for each process.")
    max_processes: int = _setting(
        20_000, count(), _LIMITS, "Processes with metrics of their own at most; more are counted as dropped."
    )
    max_names: int = _setting(1000, count(), _LIMITS, "Names with totals of their own at most; the rest count as other.")
    max_body_bytes: int = _setting(4 << 20, size(least=1024), _LIMITS, "The longest request body.")
    max_metadata_bytes: int = _setting(65_536, size(least=2), _LIMITS, "The longest metadata of one process, as JSON.")
    loki_url: str | None = _setting(
        None,
        optional(URL),
        _LOKI,
        "Where Loki is: lines of output and changes of status are sent there too (docs/logs.md). Nothing is sent without it.",
    )
    loki_tenant: str | None = _setting(
        None, optional(text(most=150)), _LOKI, "The tenant (X-Scope-OrgID) of a Loki that serves several."
    )
    loki_user: str | None = _setting(
        None, optional(text(most=200)), _LOKI, "The user for basic authentication at Loki or what stands before it."
    )
    loki_secret_file: Path | None = _setting(
        None,
        optional(PATH),
        _LOKI,
        "File with the password of loki_user, or without a user with a bearer token. Read for every request.",
    )
    loki_line_bytes: int = _setting(
        262_144, size(least=256), _LOKI, "The longest line Loki takes (its limit max_line_size); longer ones are cut."
    )
    loki_buffer_bytes: int = _setting(
        16 << 20, size(least=65_536), _LOKI, "How much may wait for a Loki that is away; beyond it the oldest lines are dropped."
    )
    # Not a row of the table: the `thresholds` section of the file. Lowest precedence first.
    threshold_rules: tuple[ThresholdRule, ...] = DEFAULT_RULES
    # Nor this: its section `prices`. Of several that match a model the last counts.
    prices: tuple[Price, ...] = ()
    # Those that were asked for: many processes have a name in common.
    _limits: dict[tuple[Kind, str, Thresholds | None], Limits] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.external_url:
            host, port = self.address
            loopback = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
            shown = loopback.get(host, f"[{host}]" if ":" in host else host)
            object.__setattr__(self, "external_url", f"http://{shown}:{port}")

    @property
    def address(self) -> tuple[str, int]:
        """Host (without brackets) and port of `listen`."""
        return split_address(self.listen)

    def limits(self, kind: Kind, name: str, own: Thresholds | None = None) -> Limits:
        """The thresholds in force for one process: the settings, then each matching rule, then the process's own."""
        known = self._limits.get((kind, name, own))
        if known is None:
            if len(self._limits) >= KEPT_LIMITS:
                self._limits.clear()
            known = self._limits[kind, name, own] = self._work_out_limits(kind, name, own)
        return known

    def _work_out_limits(self, kind: Kind, name: str, own: Thresholds | None) -> Limits:
        values: dict[str, float | None] = {limit: getattr(self, limit) for limit in THRESHOLD_FORMS}
        for rule in self.threshold_rules:
            if rule.matches(kind, name):
                values.update({limit: value for limit, value in rule.values.items() if limit in THRESHOLD_FORMS})
        if own is not None:
            values.update({limit: value for limit in THRESHOLD_FORMS if (value := getattr(own, limit)) is not None})
        return Limits(**values, time_sink_critical_ratio=critical_ratio(values["time_sink_ratio"], self.time_sink_critical_ratio))

    def chosen(self, limit: str, kind: Kind, name: str) -> bool:
        """Whether a rule says something of this limit for this kind or name."""
        return any(limit in rule.values and rule.matches(kind, name) for rule in self.threshold_rules)

    def failure_rate_of(self, kind: Kind, name: str) -> float | None:
        """The threshold in force for one name; None switches the gate off."""
        rates = [r.values["failure_rate"] for r in self.threshold_rules if "failure_rate" in r.values and r.matches(kind, name)]
        return rates[-1] if rates else self.failure_rate


SETTINGS: Final[Mapping[str, Setting]] = {
    row.name: Setting(name=row.name, **row.metadata["setting"]) for row in fields(Settings) if "setting" in row.metadata
}


def document() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "<!-- Made from exporter/headway/settings.py by `python -m headway.settings`; a test holds it current. -->",
        "",
        "Each setting has one name in three spellings: `stuck_after` in the configuration file (`headway serve --config FILE`, or",
        "`HEADWAY_CONFIG`), `HEADWAY_STUCK_AFTER` in the environment, `--stuck-after` as a flag of `headway serve`. A flag wins",
        "over the environment, the environment over the file, the file over the default. An empty environment variable counts as",
        "not set. A value that cannot be read, or a name that does not exist, stops the start with a sentence that says where it",
        "stands. `headway config --running` asks the exporter what is in force and where each value came from (GET /api/settings,",
        "role operator); without `--running` it says what `headway serve` would take where it is called.",
    ]
    for group in dict.fromkeys(row.group for row in SETTINGS.values()):
        lines += ["", f"## {group}", "", "| setting | default | what it does | accepted |", "|---|---|---|---|"]
        for row in SETTINGS.values():
            if row.group == group:
                default = row.default if row.default.startswith("(") else f"`{row.default}`" if row.default else "(none)"
                lines.append(f"| `{row.name}` | {default} | {row.help} | {row.form.accepts} |")
    lines += [
        "",
        "## Thresholds by type and by name",
        "",
        "The limits of the gates can differ by type and by name, in the file only:",
        "",
        "```yaml",
        "stuck_after: 60s            # for everything not named below",
        "thresholds:",
        "  type:",
        "    daemon: {stuck_after: null}         # null switches the gate off; this one is the default",
        "    pipeline: {time_sink_ratio: 3}",
        "  name:",
        '    "backup-*": {stuck_after: 10m, memory_ratio: 0.9}',
        "```",
        "",
        "| limit | accepted |",
        "|---|---|",
        *(f"| `{limit}` | {form.accepts}, or null |" for limit, form in RULE_FORMS.items()),
        "",
        "A pattern of a name may hold `*`, `?` and `[…]`. A rule for a name wins over one for a type; of several names that match,",
        "the one further down wins, limit by limit; what the reporter of a process asks for itself wins over all of them.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
