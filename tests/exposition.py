"""A small world of processes as exposition text: every status, condition and oddity that the dashboards must show."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from headway.metrics.families import FAMILIES
from headway.metrics.family import Scope, Type

HOSTILE: Final = 'a "quoted"\nname \\ with $1 ${2} <b>&\u00e9 \U0001f680'


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One process of the world. Times are seconds ago, `code` is its status, None is what nobody knows."""

    name: str
    code: int
    kind: str = "task"
    created: float | None = None
    start: float | None = None
    end: float | None = None
    output: float | None = None
    progress: float | None = None
    done: float | None = None
    total: float | None = None
    unit: str = ""
    rate: float | None = None
    eta: float | None = None
    cpu: float | None = None
    memory: float | None = None
    expected: float | None = None
    timeout: float | None = None
    exit: int | None = None
    result: str = ""
    parent: str = ""
    blocked: str = ""
    conditions: tuple[str, ...] = ()
    since: float = 60  # of the conditions
    dismissed: bool = False
    asked: bool | None = None  # of one that was killed: whether somebody asked for it
    waits: float | None = None  # for a person, who is to do what `result` says


WORLD: Final[Mapping[str, Actor]] = {
    "backfill": Actor(
        name="NLP Backfill",
        code=3,
        start=1440,
        done=51,
        total=80,
        unit="sessions",
        rate=0.035,
        eta=829,
        cpu=0.42,
        memory=412e6,
        expected=2400,
        timeout=7200,
    ),
    "deck": Actor(name="Sub-agent: Pitch deck", kind="subagent", code=3, start=262, cpu=0.03, memory=188e6),
    "graph": Actor(
        name="Graph maintenance", code=10, start=600, end=120, done=3, total=3, unit="steps", exit=0, result="412 nodes merged"
    ),
    "import": Actor(
        name="Import contacts", code=11, start=1500, end=900, done=130, total=512, unit="rows", exit=1, result="no column: phone"
    ),
    "webinar": Actor(name="Webinar draft", kind="subagent", code=1, created=200, total=5, unit="rounds"),
    "query": Actor(
        name="database-query",
        code=3,
        start=900,
        rate=0,
        eta=33,
        cpu=0.0,
        memory=65e6,
        conditions=("stuck",),
        output=190,
        progress=200,
        since=130,
    ),
    "build": Actor(
        name="npm build",
        code=3,
        start=351,
        done=7,
        total=10,
        unit="chunks",
        cpu=0.6,
        expected=100,
        conditions=("time_sink",),
        since=151,
    ),
    "webpack": Actor(
        name="webpack build", code=3, start=700, done=646, total=1204, unit="modules", cpu=0.95, conditions=("bottleneck",)
    ),
    "lint": Actor(name="Lint", code=3, start=90, done=21, total=64, unit="files", rate=0.12, eta=360, blocked="webpack"),
    "types": Actor(name="Type check", code=3, start=80, blocked="webpack"),
    "release": Actor(name="Release 2.4", kind="pipeline", code=3, start=1100, done=2, total=5, unit="steps", rate=0.0025, eta=1300),
    "images": Actor(name="Build images", code=3, start=500, parent="release", done=3, total=8, unit="images", rate=12.5, eta=40),
    "layer": Actor(name="Layer 3", code=3, start=50, parent="images"),
    "changelog": Actor(name="Changelog", kind="subagent", code=10, start=900, end=620, parent="release", result="14 entries"),
    "lost": Actor(name="Lost child", code=3, start=40, parent="long-gone"),
    "refresh": Actor(name="Embedding refresh", code=4, start=3000, done=412_345, total=1_000_000, unit="messages", cpu=0.0),
    "counter": Actor(name="Counter", code=3, start=30, done=130, unit="rows"),
    "killed": Actor(name="Crawler", code=13, start=400, end=300, done=1, total=4, result="ended by signal SIGKILL", asked=False),
    "asked": Actor(name="Old crawler", code=13, start=400, end=305, done=1, total=4, asked=True),
    "timeout": Actor(name="Slow report", code=14, start=4000, end=200, timeout=3600),
    "orphan": Actor(name="Forgotten", code=15, start=4000, end=5000 / 3),
    "cancelled": Actor(name="Wrong branch", code=12, start=300, end=250),
    "dismissed": Actor(name="Seen already", code=11, start=300, end=280, exit=2, dismissed=True),
    "late": Actor(name="Nightly", kind="cron", code=3, start=4000, timeout=3600, conditions=("overdue", "duplicate"), since=400),
    "zombie": Actor(name="Undead", code=3, start=4000, conditions=("zombie",)),
    "faded": Actor(name="Old one", code=10, start=2000, end=1500),
    "starting": Actor(name="Just started", code=2, start=1),
    "stopping": Actor(name="About to end", code=5, start=100),
    "asking": Actor(
        name="Claude Code",
        kind="subagent",
        code=3,
        start=700,
        conditions=("waiting",),
        waits=240,
        since=180,
        result="approval of the plan",
    ),
    "hostile": Actor(name=HOSTILE, code=11, start=100, end=50, exit=3, result=HOSTILE.replace("\n", " ")),
}
# Service → its code and how often it was started again.
SERVICES: Final = {"api": (2, 0), "worker": (4, 3), "mail": (0, 0)}
CONDITIONS: Final = ("stuck", "time_sink", "bottleneck", "overdue", "zombie", "duplicate", "waiting")


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def series(now: float, external_url: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    yield "headway_build_info", {"version": "0", "external_url": external_url}, 1
    for key, actor in WORLD.items():
        who = {"id": key, "name": actor.name, "kind": actor.kind}
        ended = actor.code >= 10
        numbers = {
            "status_code": actor.code,
            "items_done": actor.done,
            "items_expected": actor.total,
            "progress_ratio": None if actor.done is None or actor.total is None else actor.done / actor.total,
            "rate_items_per_second": actor.rate,
            "eta_seconds": actor.eta,
            "eta_low_seconds": None if actor.eta is None else 0.8 * actor.eta,
            "eta_high_seconds": None if actor.eta is None else 1.5 * actor.eta,
            "cpu_ratio": actor.cpu,
            "resident_memory_bytes": actor.memory,
            "expected_duration_seconds": actor.expected,
            "timeout_seconds": None if ended else actor.timeout,
            "time_sink_ratio_threshold": None if ended else 2,
            "time_sink_threshold_seconds": None if ended else 10,
            "stuck_threshold_seconds": None if ended else 60,
            "waiting_threshold_seconds": None if ended else 60,
            "exit_code": actor.exit,
            "dismissed": actor.dismissed if ended else None,
            "kill_requested": actor.asked,
        }
        times = {
            "created": actor.start if actor.created is None else actor.created,
            "start": actor.start,
            "finish": actor.end,
            "last_output": actor.output,
            "last_progress": actor.progress,
            "waiting_since": actor.waits,
        }
        numbers |= {f"{name}_timestamp_seconds": None if ago is None else now - ago for name, ago in times.items()}
        for name, value in numbers.items():
            if value is not None:
                yield f"headway_process_{name}", who, value
        yield "headway_process_info", {**who, "unit": actor.unit, "parent_id": actor.parent}, 1
        if actor.result:
            yield f"headway_process_{'result' if ended else 'waiting'}_info", {**who, "text": actor.result}, 1
        if actor.blocked:
            yield "headway_process_blocked_by", {**who, "blocker_id": actor.blocked}, 1
        for condition in actor.conditions:
            yield "headway_process_condition_start_timestamp_seconds", {**who, "condition": condition}, now - actor.since
        for condition in () if ended else CONDITIONS:
            yield "headway_process_condition", {**who, "condition": condition}, condition in actor.conditions
    for service, (code, restarts) in SERVICES.items():
        labels = {"service": service, "group": "app"}
        yield from (("headway_service_status_code", labels, code), ("headway_service_restarts_total", labels, restarts))
    nightly = {"name": "Nightly", "kind": "cron"}
    yield "headway_next_run_timestamp_seconds", nightly, now + 3600
    yield "headway_last_run_timestamp_seconds", nightly, now - 82_800
    yield "headway_last_status_code", nightly, 11
    yield "headway_missed_runs_total", {**nightly, "reason": "late"}, 2


# A label of the exporter's own → a value that it has there.
USUAL: Final = {"gate": "stuck", "outcome": "failed", "direction": "input", "condition": "failing", "reason": "late"}


def others(now: float, named: Container[str], age: float) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """A series of each family that is not named, as the process backfill, its name or the exporter would have it `age` s later."""
    owners = {
        Scope.PROCESS: {"id": "backfill", "name": "NLP Backfill", "kind": "task"},
        Scope.NAME: {"name": "NLP Backfill", "kind": "task"},
    }
    for family in FAMILIES:
        if family.name in named:
            continue
        value = (
            now + (829 if "eta" in family.name else -60) if "timestamp" in family.name else 1 + age * (family.type is Type.COUNTER)
        )
        labels = {label: USUAL.get(label, label) for label in family.labels if label != "le"} | owners.get(family.scope, {})
        if family.type is not Type.HISTOGRAM:
            yield family.name, labels, value
            continue
        for bound, count in (("10.0", 4), ("60.0", 9), ("+Inf", 10)):
            yield f"{family.name}_bucket", {**labels, "le": bound}, count * (1 + int(age))
        yield from ((f"{family.name}_sum", labels, 300 * (1 + int(age))), (f"{family.name}_count", labels, 10 * (1 + int(age))))


def exposition(now: float, external_url: str, age: float = 0) -> str:
    """The text of /metrics of an exporter whose pages are at `external_url`; counters as `age` s after `now` (unix s)."""
    lines = []
    own = list(series(now, external_url))
    for name, labels, value in (*own, *others(now, {name for name, _, _ in own}, age)):
        inside = ",".join(f"{key}={quoted(text)}" for key, text in labels.items() if text)
        lines.append(f"{name}{{{inside}}} {float(value)!r}\n")
    return "".join(sorted(lines))
