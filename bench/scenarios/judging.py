"""Compares what was said with what is true. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from bench.scenarios.timeline import Span, Timeline
from bench.scenarios.truth import GATES, RANKS, STUCK_AFTER, Must, Scenario, Verdict

EARLY: Final = 0.3  # s: clocks of two processes, and a line that is seen the moment before it is marked
LATE: Final = 2.0  # s, for which something may still be said that is over


def judge(scenario: Scenario, marks: Mapping[str, Sequence[float]], timelines: Mapping[str, Timeline], end: float) -> Verdict:
    """`timelines` by the part that a process plays (empty: the main one); `end`: when the scenario was over."""
    verdict = Verdict()
    held, missed, false_alarms, silent = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    verdict.void = broken(scenario, marks)
    for of in sorted({*timelines, *(must.of for must in scenario.must)}):
        spans = [span for span in timelines[of].spans if span.begin < end] if of in timelines else []
        who = of or "it"
        for gate in GATES:
            musts = [must for must in scenario.must if (must.of, must.gate) == (of, gate)]
            seen = [span for span in spans if span.gate == gate]
            for must in musts:
                wrong = miss(must, seen, marks, end)
                (missed if wrong else held)[gate] += 1
                if wrong:
                    verdict.wrong.append(f"{who}: {wrong}")
            for span in seen:
                if not any(explains(must, span, marks, end) for must in musts) and not allowed(scenario, of, span, marks):
                    false_alarms[gate] += 1
                    verdict.wrong.append(f"{who}: false alarm {moment(span.begin, marks)}: {span}")
            if not musts and not seen:
                silent[gate] += 1
    verdict.held, verdict.missed, verdict.false_alarms, verdict.silent = held, missed, false_alarms, silent
    return verdict


def broken(scenario: Scenario, marks: Mapping[str, Sequence[float]]) -> str:
    """Why its truth did not come about; empty if it did."""
    if not marks.get("started"):
        return "it never started"
    if scenario.beats is None:
        return ""
    beats = marks.get("beat", ())
    longest = max((later - earlier for earlier, later in pairwise(beats)), default=STUCK_AFTER)
    return f"the machine was too busy: {longest:.1f} s between two signs of life" if longest > scenario.beats else ""


def window(must: Must, marks: Mapping[str, Sequence[float]], end: float) -> tuple[float, float] | None:
    since = must.since.at(marks)
    until = end if must.until is None else must.until.at(marks)
    return None if since is None or until is None else (since, min(until, end))


def miss(must: Must, seen: Sequence[Span], marks: Mapping[str, Sequence[float]], end: float) -> str:
    """Why this claim was not met; empty if it was."""
    words = f"{must.gate} ({must.severity})"
    bounds = window(must, marks, end)
    if bounds is None:
        return f"{words}: {must.since.mark} or its end never happened"
    since, until = bounds
    spans = [s for s in seen if s.severity == must.severity and s.begin >= since - EARLY and s.begin <= until]
    if not spans:
        return f"{words} did not come {until - since:.1f} s long"
    if spans[0].begin > since + must.within:
        return f"{words} came {spans[0].begin - since:.1f} s late"
    if spans[0].end is not None and spans[0].end < until - LATE:
        return f"{words} went away after {spans[0].end - spans[0].begin:.1f} s"
    if must.says is not None and not must.says.search(spans[0].reason):
        return f"{words} says «{spans[0].reason}», not {must.says.pattern}"
    return ""


def explains(must: Must, span: Span, marks: Mapping[str, Sequence[float]], end: float) -> bool:
    """Whether the claim makes this span right. On the way to its severity a lower one is right too."""
    bounds = window(must, marks, end)
    if bounds is None or not bounds[0] - EARLY <= span.begin <= bounds[1] + LATE:
        return False
    if must.says is not None and not must.says.search(span.reason):
        return False
    over = min(span.end or end, end)
    if span.severity == must.severity:
        return over <= bounds[1] + LATE
    return RANKS[span.severity] < RANKS[must.severity] and over <= bounds[0] + must.within


def allowed(scenario: Scenario, of: str, span: Span, marks: Mapping[str, Sequence[float]]) -> bool:
    for may in scenario.may:
        if (may.of, may.gate) == (of, span.gate):
            since, until = may.since.at(marks), None if may.until is None else may.until.at(marks)
            in_time = since is not None and span.begin >= since - EARLY
            if in_time and (until is None or (span.last <= until + LATE)):
                return True
    return False


def moment(at: float, marks: Mapping[str, Sequence[float]]) -> str:
    started = marks.get("started")
    return "before it started" if not started else f"{at - started[0]:.1f} s after its start"
