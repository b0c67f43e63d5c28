"""The report: one page of plain text for people and language models. Stable order, no decoration, nothing that can hide what
follows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from headway.analysis.findings import Subject, Waits
from headway.analysis.history import is_failure
from headway.analysis.messages import normalised, said, telling_line
from headway.analysis.services import ServiceFact
from headway.analysis.whole import Analysis
from headway.cleaning import brief, clean
from headway.durations import format_duration
from headway.model import Process

BUDGET: Final = 2000  # bytes, for twenty processes and for any other number: what does not fit is counted
NAME: Final = 28
LONGEST_COMMAND: Final = 90
# Whatever ended badly is among these: dismissed or not, and killed by whomever.
BAD_ENDS: Final = "headway ps --state failed,killed,timed_out,orphaned"


@dataclass(frozen=True, slots=True)
class Detail:
    """How many lines each section has at most, and how long reasons may be."""

    running: int
    failed: int
    todo: int
    scheduled: int
    reason: int


# From the fullest to the barest: the first that fits is taken.
DETAILS: Final = (
    Detail(20, 5, 5, 5, 90),
    Detail(20, 4, 4, 4, 70),
    Detail(20, 3, 3, 3, 50),
    Detail(16, 3, 3, 3, 40),
    Detail(12, 2, 3, 2, 40),
    Detail(8, 2, 2, 2, 30),
    Detail(4, 1, 1, 1, 20),
)


def page(analysis: Analysis, subjects: Sequence[Subject], history: Sequence[Process], services: Sequence[ServiceFact]) -> str:
    """Lines of plain text, each section with a heading; sections with nothing in them are one line."""
    text = ""
    for detail in DETAILS:
        text = "\n".join(_lines(analysis, subjects, history, services, detail)) + "\n"
        if len(text.encode()) <= BUDGET:
            break
    return text


def _lines(
    analysis: Analysis,
    subjects: Sequence[Subject],
    history: Sequence[Process],
    services: Sequence[ServiceFact],
    detail: Detail,
) -> Iterator[str]:
    failed = [run for run in history if is_failure(run)]
    hours = format_duration(analysis.until_at - analysis.since_at)
    more = "" if analysis.history_complete else " or more"
    yield f"Headway {_clock(analysis.until_at, whole=True)}"
    flagged = sum(1 for subject in subjects if subject.view.conditions)
    yield f"active {len(subjects)} ({flagged} flagged), ended in {hours}: {len(history)}{more}, failed {len(failed)}" + _money(
        analysis
    )
    ids = _Ids([*(subject.process.id for subject in subjects), *(run.id for run in history)])
    yield from _running(subjects, analysis.waiting, detail.running, ids)
    yield from _failed(failed, detail, ids)
    yield from _todo(analysis, detail, ids)
    yield from _scheduled(services, analysis.until_at, detail.scheduled)


class _Ids:
    """Ids, and beginnings of them that no other of `known` has: every command takes those too. An id is cut within the UUID that it
    ends with, if it does: others may begin like many that are not here."""

    def __init__(self, known: Sequence[str]) -> None:
        self.short: dict[str, str] = {}
        ordered = sorted(set(known))
        for before, one, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
            uuid = UUID.search(one)
            least = len(one) if uuid is None else uuid.start() + SHORTEST_ID
            length = max(least, _common(before, one) + 1, _common(one, after) + 1)
            self.short[one] = one if length >= len(one) - 2 else one[:length]

    def __call__(self, process_id: str) -> str:
        return self.short.get(process_id, process_id)

    def within(self, command: str) -> str:
        return " ".join(map(self, command.split(" ")))


SHORTEST_ID: Final = 13
UUID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.I)


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _money(analysis: Analysis) -> str:
    return f", cost ${analysis.costs.dollars:.2f}" if analysis.costs.processes else ""


def _running(subjects: Sequence[Subject], waiting: Sequence[Waits], most: int, ids: _Ids) -> Iterator[str]:
    """Those that wait for a person first, then the others with flags, then by the time of their start."""
    if not subjects:
        yield "running: nothing"
        return
    yield "running (name, status, progress, left, flags, id):"
    waits = {one.id for one in waiting}
    ordered = sorted(
        subjects, key=lambda s: (s.process.id not in waits, not s.view.conditions, s.process.spec.created_at, s.process.id)
    )
    for subject in ordered[:most]:
        view, process = subject.view, subject.process
        ratio = process.progress_ratio
        progress = "-" if ratio is None else f"{int(ratio * 100)}%"
        left = "-" if view.eta is None else format_duration(view.eta)
        flags = ",".join(report.condition.value for report in view.conditions) or "-"
        yield f"- {brief(process.name, NAME)} {process.status} {progress} {left} {flags} {ids(process.id)}"
    yield from _more(len(ordered) - most, "headway ps")


def _failed(failed: Sequence[Process], detail: Detail, ids: _Ids) -> Iterator[str]:
    """Like failures of one name are one line, the latest first."""
    if not failed:
        yield "failed: nothing"
        return
    yield "failed (times, name, why; last id):"
    alike: dict[tuple[str, str], list[Process]] = {}
    for run in sorted(failed, key=lambda run: (-(run.finished_at or 0.0), run.id)):
        alike.setdefault((run.name, normalised(said(run))), []).append(run)
    every = list(alike.values())
    for runs in every[: detail.failed]:
        last = runs[0]
        why = brief(telling_line(said(last)), detail.reason)
        yield f"- {len(runs)}x {brief(last.name, NAME)}: {why}; {ids(last.id)}"
    yield from _more(sum(map(len, every[detail.failed :])), BAD_ENDS)


def _todo(analysis: Analysis, detail: Detail, ids: _Ids) -> Iterator[str]:
    if not analysis.recommendations:
        yield "to do: nothing"
        return
    yield "to do (priority, name, reason > command):"
    for one in analysis.recommendations[: detail.todo]:
        # A command is whole or not there: half of one is another.
        command = clean(one.command) if one.id is None else ids.within(clean(one.command))
        shown = command if len(command) <= LONGEST_COMMAND else "headway analyze"
        yield f"- {one.priority} {brief(one.about, NAME)}: {brief(one.reason, detail.reason)} > {shown}"
    yield from _more(len(analysis.recommendations) - detail.todo, "headway analyze")


def _scheduled(services: Sequence[ServiceFact], now: float, most: int) -> Iterator[str]:
    scheduled = sorted((s for s in services if s.cron is not None), key=lambda s: (s.next_run_at or float("inf"), s.name))
    if not scheduled:
        yield "scheduled: nothing"
        return
    yield "scheduled (name, next, in, last):"
    for one in scheduled[:most]:
        when = "stopped" if not one.wanted or one.next_run_at is None else _clock(one.next_run_at)
        ahead = "" if one.next_run_at is None or not one.wanted else f" {format_duration(max(0.0, one.next_run_at - now))}"
        missed = f", missed {one.missed}" if one.missed else ""
        yield f"- {brief(one.name, NAME)} {when}{ahead} {one.last_status or '-'}{missed}"
    yield from _more(len(scheduled) - most, "headway status")


def _more(count: int, command: str) -> Iterator[str]:
    if count > 0:
        yield f"- and {count} more: {command}"


def _clock(at: float, *, whole: bool = False) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ" if whole else "%m-%dT%H:%MZ")
