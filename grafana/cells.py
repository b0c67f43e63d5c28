"""The cells of the Overview's table, from what the rules carry for the rows that it shows."""

from __future__ import annotations

from typing import Final

from grafana import facts as f
from grafana.facts import top
from grafana.promql import ON, as_label, duration, either, says, tells
from headway.model import Status

CODE: Final = top(f.CODE)
ACTIVE: Final = f"({CODE} < {Status.DONE.code})"
RUNNING: Final = f"({CODE} == {Status.RUNNING.code})"
FINISH: Final = top(f.FINISH)

# The code of the status, plus 100 for every ten minutes since it was done.
_FADED: Final = f"({CODE} == {Status.DONE.code}) + {ON} 100 * clamp_max(floor((time() - {FINISH}) / 600), 3)"
SYMBOL: Final = either(_FADED, CODE)
ELAPSED: Final = f"({either(FINISH, f'time() + 0 * {top(f.START)}')} - {ON} {top(f.START)})"
RATIO: Final = top(f.RATIO)
BAR: Final = as_label("bar", f.TOP_BAR)
# `51/80 sessions`, `12.35k/98.7k rows`, without a total `130 rows`.
_DONE: Final = as_label("done", f"round({top(f.DONE)} / {ON} {f.TOP_SCALE}, 0.01)")
ITEMS: Final = f'label_join({_DONE} + {ON} group_left (of) {f.TOP_BEHIND}, "items", "", "done", "of")'


def per_time() -> str:
    """`12/s`, `2.1/min` or `3/h`, whichever is at least 1; nothing while nothing happens."""
    rate = top(f.RATE)
    second, minute, hour = f"({rate} >= 1)", f"({rate} >= 0.0166 < 1)", f"({rate} > 0 < 0.0166)"
    return " or ".join(
        (
            tells("${1}/s", f"round({second}, 0.1)", "rate"),
            tells("${1}/min", f"round(60 * {minute}, 0.1)", "rate"),
            tells("${1}/h", f"round(3600 * {hour}, 0.1)", "rate"),
        )
    )


# Before the end how long still, after it how long ago.
LEFT_OR_AGO: Final = either(duration(f"(time() - {FINISH})", "{} ago"), duration(top(f.ETA), "~{}"))
# What it achieved, or what went wrong.
ENDINGS: Final = f.TOP_RESULT
# Every process has a row, if only an empty one: Grafana 12.2 writes "undefined" into a missing pill.
_ALL_FLAGS: Final = either(
    " or ".join(
        (
            says("waiting", f.WAITING, "flag"),
            says("stuck", f.STUCK, "flag"),
            either(
                tells("time sink ${1}×", f.SINK_TIMES, "flag"),
                says("time sink foreseen", f.SINK_FORESEEN, "flag"),
                says("time sink", f.SINK, "flag"),
            ),
            either(tells("bottleneck · blocks ${1}", f.WAITERS, "flag"), says("bottleneck", f.NECK, "flag")),
            says("overdue", f.OVERDUE, "flag"),
            says("zombie", f.ZOMBIE, "flag"),
            says("duplicate", f.DUPLICATE, "flag"),
        )
    ),
    CODE,
)
FLAGS: Final = f"({_ALL_FLAGS} and {ON} {CODE})"
