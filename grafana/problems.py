"""What needs attention, as sentences."""

from __future__ import annotations

from grafana import facts as f
from grafana.promql import ON, duration, either, says, tells
from headway.model import Condition, Status


def severity_of(rank: int, which: Status | Condition) -> str:
    return f"{rank} {which.value}"


def problem(severity: str, sentences: str, since: str = "") -> str:
    """Rows (instance, id, text, severity) whose value is when it began, in ms; 0 when that is not known."""
    rows = f"0 * max by (instance, id, text) ({sentences})"
    return says(severity, f"{rows} + {ON} group_left () (1000 * {f.by_row(since)})" if since else rows, "severity")


def ended_as() -> str:
    """Rows (instance, id, text, severity): how each ended that ended badly, in a few words."""

    def end(which: Status, rows: str) -> str:
        return says(severity_of(9, which), rows, "severity")

    exits = tells("Failed with exit code ${1}", f"({f.EXIT_CODE} and {ON} ({f.bad(Status.FAILED)}))")
    vanished = f"({f.bad(Status.ORPHANED)})"
    return " or ".join(
        (
            end(Status.FAILED, either(exits, says("Failed", f.bad(Status.FAILED)))),
            end(Status.KILLED, says("Killed", f.bad(Status.KILLED))),
            end(Status.TIMED_OUT, says("Ended for its time limit", f.bad(Status.TIMED_OUT))),
            end(Status.ORPHANED, says("Vanished", f"({vanished} and {ON} {f.RESULT})")),
            end(Status.ORPHANED, says("Vanished without a final word", f"({vanished} unless {ON} {f.RESULT})")),
        )
    )


def ends() -> str:
    """`how: what is known of its end` of all that ended badly."""
    said = f'max by (instance, id, said) (label_join({f.RESULT} and {ON} {f.BAD_CODE}, "said", "", "text"))'
    rows = either(f'label_join({f.ENDED_AS} * {ON} group_left (said) {said}, "text", ": ", "text", "said")', f.ENDED_AS)
    since = f.by_row(f"{f.FINISH} and {ON} {f.BAD_CODE}")
    return f"0 * max by (instance, id, text, severity) ({rows}) + {ON} group_left () (1000 * {since})"


def problems() -> str:
    """Every problem there is. The severity sorts as text, worst last; see `severity_of`."""
    sinks = either(tells("Takes ${1}× as long as expected", f.SINK_TIMES), says("Takes longer than expected", f.SINK))
    waits = either(
        tells("${1} others wait for it", f"({f.WAITERS} > 1)"),
        says("Another one waits for it", f.WAITERS),
        says("Others wait for it", f.NECK),
    )
    silent = duration(f"(time() - {f.SILENT_SINCE})", "No output and no progress for {}")
    limit = f"({f.TIMEOUT} and {ON} {f.OVERDUE})"
    late = either(duration(limit, "Still runs after its time limit of {}"), says("Past its time limit", f.OVERDUE))
    expected = f"(({f.EXPECTED} and {ON} {f.SINK}) * {ON} {f.SINK_RATIO})"
    rows = (
        ends(),
        problem(severity_of(7, Condition.STUCK), either(silent, says("Stuck", f.STUCK)), f.SILENT_SINCE),
        problem(severity_of(5, Condition.OVERDUE), late, f"({f.START} + {ON} {limit})"),
        problem(severity_of(4, Condition.TIME_SINK), sinks, f"({f.START} + {ON} {expected})"),
        problem(severity_of(3, Condition.BOTTLENECK), waits),
        problem(severity_of(2, Condition.ZOMBIE), says("Ended, but its parent has not collected it", f.ZOMBIE)),
        problem(severity_of(1, Condition.DUPLICATE), says("The same command runs twice in the same directory", f.DUPLICATE)),
    )
    return f"({' or '.join(rows)}) * {ON} group_left (name) (0 * {f.TITLE} + 1) * {f.ADDRESS}"
