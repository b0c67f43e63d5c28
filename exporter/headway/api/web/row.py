"""A process as people read it: one row of a page, as texts. Unknown is "" or None, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from headway import folding
from headway.analysis.messages import normalised
from headway.cleaning import brief
from headway.durations import format_duration
from headway.figures import count, rate, size
from headway.model import Condition, ConditionReport, Process, Severity, Status
from headway.registry.entry import Entry
from headway.registry.lifecycle import needs_attention
from headway.view import View

MARKS: Final[Mapping[Status, str]] = {
    Status.QUEUED: "○",
    Status.STARTING: "◌",
    Status.RUNNING: "●",
    Status.PAUSED: "‖",
    Status.STOPPING: "◍",
    Status.DONE: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "⊘",
    Status.KILLED: "⊘",
    Status.TIMED_OUT: "◷",
    Status.ORPHANED: "?",
}
# Conditions that say something is wrong (red); the others say that something is slow (amber).
WRONG: Final = frozenset({Condition.STUCK, Condition.ZOMBIE})
NOTE: Final = 240
Row = dict[str, Any]


def row(view: View) -> Row:
    """What stands in a list. Times are unix seconds: who shows them counts on; everything else is text that is shown as it is."""
    process, sample = view.process, view.sample
    spec, activity, status = process.spec, process.activity, process.status
    ratio = process.progress_ratio
    return {
        "id": process.id,
        "link": f"/processes/{process.id}",
        "name": brief(spec.name, 512),
        "about": " · ".join((spec.kind, brief(spec.project, 80)) if spec.project else (spec.kind,)),
        "parent": spec.parent_id,
        "status": status.value,
        "status_text": status.replace("_", " "),
        "mark": MARKS[status],
        "rank": rank(view),
        "created": spec.created_at,
        "started": process.started_at,
        "ended": process.finished_at,
        "percent": None if ratio is None else int(ratio * 100),
        "percent_text": "" if ratio is None else f"{int(ratio * 100)}%",
        "count": count({"current": activity.current, "total": activity.total, "unit": activity.unit}),
        "rate": rate(None if view.rate is None else view.rate * 60.0, activity.unit),
        "left": "" if view.eta is None else f"~{format_duration(view.eta)}",
        "left_range": left_range(view),
        "cpu": "" if sample is None or sample.cpu_ratio is None else f"{sample.cpu_ratio * 100:.0f}%",
        "memory": "" if sample is None or sample.resident_bytes is None else size(sample.resident_bytes),
        "flags": [
            {
                "name": report.condition.replace("_", " "),
                "level": level(report),
                "reason": brief(report.reason, NOTE),
            }
            for report in view.conditions
        ],
        "note": brief(note(view), NOTE),
        "alike": alike(process) if status.ended else None,
        "error": normalised(note(view)) if status.ended and status is not Status.DONE else "",
    }


def alike(process: Process) -> str:
    """Where all that ended so under its name are listed."""
    spec = process.spec
    asked = {"name": spec.name, "exact": "true", "type": spec.kind.value, "status": process.status.value}
    return "/history?" + urlencode(asked | ({"project": spec.project} if spec.project else {}), errors="replace")


def note(view: View) -> str:
    """The one line that says most: how it ended, else for what it waits or what it is at, else what it wrote last."""
    process = view.process
    if process.status.ended:
        found = process.error or process.activity.summary or ""
        return f"exit code {process.exit_code}" if not found and process.exit_code else found
    activity, waiting = process.activity, process.waiting
    # Beside the condition, which says for what, too, it would be there twice.
    at = activity.stage if waiting is None or asks(view) else f"waits for a person: {waiting.what}"
    return " · ".join(part for part in (at, activity.last_line or activity.summary) if part)


def left_range(view: View) -> str:
    """ "20s–1m 10s", where the range of the time left is known and its ends differ as they are shown."""
    if view.eta is None or view.eta_range is None:
        return ""
    low, high = (format_duration(round(end)) for end in view.eta_range)
    return "" if low == high else f"{low}–{high}"


def level(report: ConditionReport) -> str:
    if report.condition in WRONG:
        return "bad"
    return "low" if report.severity is Severity.LOW else "warning"


def rank(view: View) -> int:
    """What waits for a person first, then failures, then what has a condition, then what runs, then what is queued, then what is
    over."""
    process, conditions = view.process, view.conditions
    if process.status.ended:
        return 0 if needs_attention(process) else 4
    if conditions:
        return -1 if asks(view) else 1
    return 3 if process.status is Status.QUEUED else 2


def asks(view: View) -> bool:
    """Whether it has waited for a person for long enough to say so."""
    return any(report.condition is Condition.WAITING for report in view.conditions)


def elapsed(found: Mapping[str, Any], now: float) -> str:
    if found["started"] is None:
        return ""
    return format_duration(max(0.0, (found["ended"] or now) - found["started"]))


def ago(found: Mapping[str, Any], now: float) -> str:
    return "" if found["ended"] is None else f"{format_duration(max(0, round(now - found['ended'])))} ago"


def shown(found: Row, now: float, depth: int = 0) -> Row:
    """With what changes by time alone, as it is now."""
    return found | {"elapsed": elapsed(found, now), "ago": ago(found, now), "depth": depth}


def nested(rows: Iterable[Row]) -> list[tuple[Row, int]]:
    """In order of importance, the newest first in each rank, children under their parents with their depth (three at most). A
    parent stands where the most important of those below it would."""
    every = {found["id"]: found for found in rows}
    below: dict[str | None, list[Row]] = {}
    for found in every.values():
        below.setdefault(found["parent"] if found["parent"] in every else None, []).append(found)
    best: dict[str, int] = {}
    order: list[tuple[Row, int]] = []
    stack = [(found, 0) for found in below.get(None, ())]
    while stack:
        found, depth = stack.pop()
        order.append((found, depth))
        stack += [(child, depth + 1) for child in below.get(found["id"], ())]
    known = {found["id"] for found, _ in order}
    for found in every.values():  # who is their own ancestor, by what a reporter said
        if found["id"] not in known:
            below.pop(found["id"], None)
            below.setdefault(None, []).append(found)
            order.append((found, 0))
    for found, _ in reversed(order):  # children before their parents
        best[found["id"]] = min([found["rank"], *(best[child["id"]] for child in below.get(found["id"], ()))])

    def importance(found: Row) -> tuple[int, float, str]:
        return best[found["id"]], -found["created"], found["id"]

    order = []
    stack = [(found, 0) for found in sorted(below.get(None, ()), key=importance, reverse=True)]
    while stack:
        found, depth = stack.pop()
        order.append((found, min(depth, 3)))
        stack += [(child, depth + 1) for child in sorted(below.get(found["id"], ()), key=importance, reverse=True)]
    return order


def folded(order: Iterable[tuple[Row, int]]) -> list[tuple[Row, int, int]]:
    """What :func:`nested` says, with one row, the first, for all that ended alike: same name, type and project, same result, and
    where that is bad the same error but for numbers, ids, paths and the like; and for how many it stands. Who has children stands
    for itself."""
    order = list(order)
    every = {found["id"] for found, _ in order}
    parents = {found["parent"] for found, _ in order}

    def like(found: Row) -> tuple[Any, ...] | None:
        if found["ended"] is None or found["id"] in parents:
            return None
        beside = found["parent"] if found["parent"] in every else None
        return beside, found["rank"], found["status"], found["name"], found["about"], found["error"]

    return [(*line, number) for line, number in folding.folded((line, like(line[0])) for line in order)]


def times(found: Row, number: int) -> Row:
    """The words for how many a row stands for."""
    words = f"{number} times" if number > 1 else ""
    return {
        "times": words,
        "times_label": f"{words}: list all of {found['name']}" if words else None,
        "dismiss_label": dismiss_label(found, number) if found["rank"] == 0 else "",
    }


def dismiss_label(found: Row, number: int) -> str:
    """What the button does that dismisses all that a row stands for; "" where it stands for itself alone."""
    return f"Dismiss all {number} of {found['name']}" if number > 1 else ""


def counts(entries: Iterable[Entry]) -> list[tuple[str, int]]:
    """What the head of the page counts."""
    found = list(entries)
    statuses = [entry.process.status for entry in found]
    conditions = [report.condition for entry in found if entry.process.status.active for report in entry.conditions]
    return [
        ("Running", statuses.count(Status.RUNNING)),
        ("Queued", statuses.count(Status.QUEUED)),
        ("Waiting", conditions.count(Condition.WAITING)),
        ("Done lately", statuses.count(Status.DONE)),
        ("Failed", sum(needs_attention(entry.process) for entry in found if entry.process.status.ended)),
        ("Stuck", conditions.count(Condition.STUCK)),
        ("Time sinks", conditions.count(Condition.TIME_SINK)),
        ("Bottlenecks", conditions.count(Condition.BOTTLENECK)),
    ]


def trend(points: Sequence[tuple[float, float]]) -> list[float]:
    """Readings without their times, for a line: of the last five minutes, one every five seconds."""
    return [round(value, 3) for _, value in points]


def path(points: Sequence[float], least: float = 0.0) -> str:
    """The `d` of an SVG line through the points in a box of 60 by 16, the last one at its right edge. `least`: what fills the box
    at least, so that a flat line of little is low and not full."""
    if len(points) < 2:
        return ""
    top = max(least, *points) or 1.0
    step = 60 / 59
    start = 60 - step * (len(points) - 1)
    spots = (f"{start + step * at:.1f} {15 - 14 * value / top:.1f}" for at, value in enumerate(points))
    return "M" + "L".join(spots)
