"""Processes as rows of text: what `ps` and `show` say of one. Takes the JSON of the API; knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from headway import folding
from headway.cli.text import clean
from headway.durations import format_duration
from headway.figures import count, rate, size

Json = Mapping[str, Any]

# A mark for terminals that can show it, one for those that cannot, and the colour of both.
MARKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "queued": ("○", "o", "dim"),
    "starting": ("◔", "~", "cyan"),
    "running": ("●", "*", "cyan"),
    "paused": ("‖", "=", "yellow"),
    "stopping": ("◌", ".", "yellow"),
    "done": ("✓", "+", "green"),
    "failed": ("✗", "x", "red"),
    "cancelled": ("⊘", "-", "dim"),
    "killed": ("✗", "x", "red"),
    "timed_out": ("✗", "x", "red"),
    "orphaned": ("?", "?", "red"),
}
ENDED: Final = frozenset({"done", "failed", "cancelled", "killed", "timed_out", "orphaned"})
SHORTEST_ID: Final = 13
LONGEST_WHOLE_ID: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One process, ready to print. `ratio` is for a bar; `flags` says in words what is not normal; `colour` is the status's."""

    id: str
    depth: int
    name: str
    status: str
    colour: str
    ratio: float | None
    count: str
    percent: str
    note: str
    rate: str
    left: str
    elapsed: str
    cpu: str
    memory: str
    flags: str
    alarming: bool


def rows(processes: Iterable[Json]) -> list[Row]:
    return [row(process, depth) for depth, process in tree(list(processes))]


def folded(processes: Iterable[Json]) -> list[Row]:
    """The same, with one row, the first, for all that ended alike: same name, type and project, same result, and where that is bad
    the same error but for numbers, ids, paths and the like. Its flags say for how many it stands. Who has children stands for
    itself."""
    from headway.analysis.messages import normalised  # with the model of a process, which nobody else here needs

    order = tree(list(processes))
    ids = {process["id"] for _, process in order}
    parents = {process["parent_id"] for _, process in order}

    def like(found: Row, process: Json) -> tuple[Any, ...] | None:
        if found.status not in ENDED or found.id in parents:
            return None
        beside = process["parent_id"] if process["parent_id"] in ids else None
        error = "" if found.status == "done" else normalised(process["error"] or found.note)
        return beside, found.status, found.name, process["type"], process["project"], error

    lines = ((row(process, depth), process) for depth, process in order)
    return [
        found if number == 1 else replace(found, flags=f"{found.flags} · {number} times")
        for found, number in folding.folded((found, like(found, process)) for found, process in lines)
    ]


def tree(processes: Sequence[Json]) -> list[tuple[int, Json]]:
    """(depth, process): children under their parent, where both are among `processes`; otherwise in the order given, but for those
    that wait for a person, which come first with all above them."""
    processes = waiting_first(processes)
    ids = {process["id"] for process in processes}
    children: dict[str, list[Json]] = {}
    for process in processes:
        if process["parent_id"] in ids:
            children.setdefault(process["parent_id"], []).append(process)
    ordered: list[tuple[int, Json]] = []
    stack = [(0, process) for process in reversed(processes) if process["parent_id"] not in ids]
    while stack:
        depth, process = stack.pop()
        ordered.append((depth, process))
        # Newest come first in an answer; below one parent people expect the order of the work.
        stack += [(depth + 1, child) for child in children.get(process["id"], ())]
    return ordered


def waiting_first(processes: Sequence[Json]) -> Sequence[Json]:
    above: dict[str, str | None] = {process["id"]: process["parent_id"] for process in processes}
    first: set[str] = set()
    for process in processes:
        at: str | None = process["id"] if process.get("waiting_for") else None
        while at is not None and at in above and at not in first:
            first.add(at)
            at = above[at]
    return sorted(processes, key=lambda process: process["id"] not in first) if first else processes


def row(process: Json, depth: int = 0) -> Row:
    status = process["status"]
    progress = process["progress"]
    ended = status in ENDED
    return Row(
        id=process["id"],
        depth=depth,
        name=clean(process["name"]),
        status=status,
        colour=MARKS[status][2] if status in MARKS else "",
        ratio=progress["ratio"],
        count=clean(count(progress)),
        percent="" if progress["ratio"] is None else f"{int(progress['ratio'] * 100)}%",
        note=note(process),
        rate=rate(process["rate"], progress["unit"]),
        left="" if ended or process["eta_seconds"] is None else format_duration(process["eta_seconds"]),
        elapsed="" if process["elapsed_seconds"] is None else format_duration(process["elapsed_seconds"]),
        cpu="" if process["cpu_ratio"] is None else f"{process['cpu_ratio'] * 100:.0f}%",
        memory="" if process["memory_bytes"] is None else size(process["memory_bytes"]),
        flags=flags(process),
        alarming=any(c["severity"] == "critical" for c in process["conditions"]) or (ended and status not in ("done", "cancelled")),
    )


def note(process: Json) -> str:
    """What it waits for, what it achieved, why it failed, where it is, or the last it said; whichever is known first."""
    tail = process["log_tail"]
    ended = process["status"] in ENDED
    if what := process.get("waiting_for"):
        return clean(f"waits for a person: {what}").strip()
    candidates = (process["error"], process["summary"]) if ended else (process["summary"], process["stage"])
    return clean(next((text for text in (*candidates, tail[-1] if tail else None) if text), "")).strip()


def flags(process: Json) -> str:
    """The status unless it is running, then the conditions, each in a word: "paused · stuck · time sink"."""
    words = [] if process["status"] == "running" else [process["status"]]
    words += [condition["name"] for condition in process["conditions"]]
    if process["cancel_requested"] and process["status"] not in ENDED:
        words.append("cancel asked")
    return " · ".join(clean(word).replace("_", " ") for word in words)


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """The shortest beginning of each id (13 characters or more) that no other of them has; short ids stay whole."""
    ordered = sorted(set(ids))
    shortened: dict[str, str] = {}
    for before, found, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
        length = max(SHORTEST_ID, _common(before, found) + 1, _common(found, after) + 1)
        shortened[found] = found if len(found) <= LONGEST_WHOLE_ID or length >= len(found) - 2 else found[:length]
    return shortened


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
