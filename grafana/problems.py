"""What needs attention, as sentences."""

from __future__ import annotations

from typing import Final

from grafana import facts as f
from grafana.promql import ON, duration, either, says, tells
from headway.model import Condition, Status

VANISHED: Final = "Vanished"


def severity_of(rank: int, which: Status | Condition) -> str:
    return f"{rank} {which.value}"


def problem(severity: str, sentences: str, since: str) -> str:
    """Rows (instance, id, name, text, severity) whose value is when it began, in ms. `since`: rows with instance, id and name."""
    return says(severity, f"0 * max by (instance, id, text) ({sentences}) + {ON} group_left (name) (1000 * {since})", "severity")


def ended_as() -> str:
    """Rows (instance, id, name, text, severity): how each ended that ended badly, in a few words, and when."""

    def end(which: Status, rows: str) -> str:
        return says(severity_of(9, which), rows, "severity")

    exits = tells("Failed with exit code ${1}", f"({f.EXIT_CODE} and {ON} ({f.bad(Status.FAILED)}))")
    ends = " or ".join(
        (
            end(Status.FAILED, either(exits, says("Failed", f.bad(Status.FAILED)))),
            end(Status.KILLED, says("Killed", f.bad(Status.KILLED))),
            end(Status.TIMED_OUT, says("Ended for its time limit", f.bad(Status.TIMED_OUT))),
            end(Status.ORPHANED, says(VANISHED, f.bad(Status.ORPHANED))),
        )
    )
    when = f"max by (instance, id, name) ({f.FINISH} and {ON} {f.BAD_CODE})"
    return f"0 * max by (instance, id, text, severity) ({ends}) + {ON} group_left (name) {when}"


def ends() -> str:
    """`how: what is known of its end` of all that ended badly."""
    said = f'max by (instance, id, said) (label_join({f.RESULT} and {ON} {f.BAD_CODE}, "said", "", "text"))'
    silent = f'label_replace({f.ENDED_AS}, "text", "{VANISHED} without a final word", "text", "{VANISHED}")'
    rows = either(f'label_join({f.ENDED_AS} * {ON} group_left (said) {said}, "text", ": ", "text", "said")', silent)
    return f"1000 * max by (instance, id, name, text, severity) ({rows})"


def problems() -> str:
    """Every problem there is. The severity sorts as text, worst last; see `severity_of`."""
    sinks = either(
        tells("Takes ${1}× as long as expected", f.SINK_TIMES),
        tells("Will probably take ${1}× as long as expected", f.SINK_FORESEEN),
        says("Takes longer than expected", f.SINK),
    )
    waits = either(
        tells("${1} others wait for it", f"({f.WAITERS} > 1)"),
        says("Another one waits for it", f.WAITERS),
        says("Others wait for it", f.NECK),
    )
    silent = duration(f"(time() - {f.SILENT_SINCE})", "No output and no progress for {}")
    limit = f"({f.TIMEOUT} and {ON} {f.OVERDUE})"
    late = either(duration(limit, "Still runs after its time limit of {}"), says("Past its time limit", f.OVERDUE))
    collected, twice = "Ended, but its parent has not collected it", "The same command runs twice in the same directory"
    wanted = f'max by (instance, id, what) (label_join({f.WAITING_INFO} and {ON} {f.WAITING}, "what", "", "text"))'
    asks = says("Waits for a person", f.WAITING)
    asked = f'label_join({asks} * {ON} group_left (what) {wanted}, "text", ": ", "text", "what")'
    waiting_since = f"(max by (instance, id, name) ({f.WAITING_SINCE} and {ON} {f.WAITING}))"
    rows = (
        ends(),
        problem(severity_of(8, Condition.WAITING), either(asked, asks), either(waiting_since, f.WAITING)),
        problem(severity_of(7, Condition.STUCK), either(silent, says("Stuck", f.STUCK)), either(f.SILENT_SINCE, f.STUCK)),
        problem(severity_of(5, Condition.OVERDUE), late, f.OVERDUE),
        problem(severity_of(4, Condition.TIME_SINK), sinks, f.SINK),
        problem(severity_of(3, Condition.BOTTLENECK), waits, f.NECK),
        problem(severity_of(2, Condition.ZOMBIE), says(collected, f.ZOMBIE), f.ZOMBIE),
        problem(severity_of(1, Condition.DUPLICATE), says(twice, f.DUPLICATE), f.DUPLICATE),
    )
    return f"({' or '.join(rows)}) * {f.ADDRESS}"
