"""The facts about processes as PromQL. Everything joins on (instance, id); a table's rows are told apart by `key`, both in one.

PromQL has no strings, but count_values turns numbers into labels and label_join puts labels together: that is how texts such as
`51/80 sessions` and `~14min` are made. Regular expressions never touch names or messages, which may hold anything.
"""

from __future__ import annotations

from typing import Final

from headway.metrics.families import FAMILIES
from headway.model import Condition, Status

KNOWN: Final = frozenset(f.name for f in FAMILIES)


def metric(name: str) -> str:
    """The full name of a family of the exporter; KeyError when it has no such family."""
    full = f"headway_{name}"
    if full not in KNOWN:
        raise KeyError(full)
    return full


ON: Final = "on (instance, id)"
BY: Final = "by (instance, id)"

CODE: Final = metric("process_status_code")
INFO: Final = metric("process_info")
CREATED: Final = metric("process_created_timestamp_seconds")
START: Final = metric("process_start_timestamp_seconds")
FINISH: Final = metric("process_finish_timestamp_seconds")
LAST_OUTPUT: Final = metric("process_last_output_timestamp_seconds")
LAST_PROGRESS: Final = metric("process_last_progress_timestamp_seconds")
RATIO: Final = metric("process_progress_ratio")
DONE: Final = metric("process_items_done")
TOTAL: Final = metric("process_items_expected")
RATE: Final = metric("process_rate_items_per_second")
ETA: Final = metric("process_eta_seconds")
EXPECTED: Final = metric("process_expected_duration_seconds")
TIMEOUT: Final = metric("process_timeout_seconds")
SINK_RATIO: Final = metric("process_time_sink_ratio_threshold")
CPU: Final = metric("process_cpu_ratio")
MEMORY: Final = metric("process_resident_memory_bytes")
CONDITION: Final = metric("process_condition")
BLOCKED_BY: Final = metric("process_blocked_by")
EXIT_CODE: Final = metric("process_exit_code")
RESULT: Final = metric("process_result_info")
DISMISSED: Final = metric("process_dismissed")
BUILD: Final = metric("build_info")

# ── making rows and texts ───────────────────────────────────────────────────────────────────────────────────────────


def keyed(expr: str, *labels: str) -> str:
    """Rows (key, …labels) of an expression that has instance and id."""
    return f'max by ({", ".join(("key", *labels))}) (label_join({expr}, "key", " ", "instance", "id"))'


def as_label(label: str, number: str) -> str:
    return f'count_values {BY} ("{label}", {number})'


def says(text: str, rows: str, label: str = "text") -> str:
    """Rows with a text that is always the same."""
    return f'label_replace({rows}, "{label}", "{text}", "", "")'


def tells(text: str, number: str, label: str = "text") -> str:
    """Rows (instance, id, text) where ${1} in the text is the number."""
    return f'label_replace({as_label("n", number)}, "{label}", "{text}", "n", "(.+)")'


def either(*expressions: str) -> str:
    """The first that exists for a process."""
    return "(" + f" or {ON} ".join(f"({e})" for e in expressions) + ")"


def duration(seconds: str, text: str = "{}") -> str:
    """Durations rounded for people, {} in the text: 45s, 14min, 2.5h, 3d."""
    steps = (
        (f"round({seconds}) < 90", "s"),
        (f"round(({seconds} >= 89.5) / 60) < 90", "min"),
        (f"round(({seconds} >= 5370) / 3600, 0.1) < 36", "h"),
        (f"round(({seconds} >= 129420) / 86400, 0.1)", "d"),
    )
    return " or ".join(tells(text.format("${1}" + unit), number) for number, unit in steps)


# ── facts: vectors with instance and id ─────────────────────────────────────────────────────────────────────────────


def status(*which: Status) -> str:
    return " or ".join(f"{CODE} == {s.code}" for s in which)


def condition(which: Condition) -> str:
    return f'{CONDITION}{{condition="{which.value}"}} == 1'


LISTED: Final = f"({CODE} unless {ON} {DISMISSED} == 1)"
ACTIVE: Final = f"({CODE} < {Status.DONE.code})"
ENDED_BADLY: Final = f"({CODE} > {Status.DONE.code} != {Status.CANCELLED.code})"
FAILED: Final = f"({ENDED_BADLY} unless {ON} {DISMISSED} == 1)"
ELAPSED: Final = f"({either(FINISH, f'time() + 0 * {START}')} - {ON} {START})"
SILENT_SINCE: Final = either(f"{LAST_OUTPUT} > {ON} {LAST_PROGRESS}", LAST_PROGRESS, LAST_OUTPUT, START)
BLOCKS: Final = f'label_join(count by (instance, blocker_id) ({BLOCKED_BY} == 1), "id", "", "blocker_id")'

STUCK, SINK, NECK, OVERDUE, ZOMBIE, DUPLICATE = (condition(c) for c in Condition)
SINK_TIMES: Final = f"(round({ELAPSED} / {ON} {EXPECTED}, 0.1) and {ON} {SINK})"
WAITERS: Final = f"({BLOCKS} and {ON} {NECK})"

# Each exporter says where its own pages are; without that a row is still shown, only its links lead nowhere.
_ADDRESSES: Final = f"max by (instance, external_url) ({BUILD} or on (instance) 0 * max by (instance) ({CODE}) + 1)"
ADDRESS: Final = f"on (instance) group_left (external_url) {_ADDRESSES}"


# ── trees: a child counts as one while its parent is listed ─────────────────────────────────────────────────────────

CHILD: Final = f'({INFO}{{parent_id!=""}} and on (instance, parent_id) label_join({LISTED}, "parent_id", "", "id"))'
GRANDCHILD: Final = f'({CHILD} and on (instance, parent_id) label_join({CHILD}, "parent_id", "", "id"))'
PARENT_NAMES: Final = (
    f'max by (instance, parent_id, parent) (label_join(label_join(0 * {CODE} + 1, "parent", "", "name"), "parent_id", "", "id"))'
)


def named(rows: str) -> str:
    """The rows with external_url and a `title`: the name; of a child `↳ name`; of a child's child `↳ parent › name`, for it may not
    stand right below its parent."""
    grandchild = f"{GRANDCHILD} * on (instance, parent_id) group_left (parent) {PARENT_NAMES}"
    parents = either(says("↳ ", says(" › ", grandchild, "between"), "arrow"), says("↳ ", CHILD, "arrow"), INFO)
    prefixes = f'max by (instance, id, prefix) (label_join({parents}, "prefix", "", "arrow", "parent", "between"))'
    return f'label_join({rows} * {ADDRESS} * {ON} group_left (prefix) {prefixes}, "title", "", "prefix", "name")'


def roots() -> str:
    """Rows (instance, id, root) of value 1: the root of each listed process, two steps up at most."""
    itself = f'label_join(0 * {LISTED} + 1, "root", "", "id")'
    parent = f'label_join({CHILD}, "root", "", "parent_id")'
    step = f"max by (instance, id, root) ({either(parent, itself)})"
    first = f'max by (instance, id, middle) (label_join({step}, "middle", "", "root"))'
    second = f'max by (instance, middle, root) (label_join({step}, "middle", "", "id"))'
    return f"({first} * on (instance, middle) group_left (root) {second})"


# How much a row wants to be seen: what failed first, then what runs, most of all if something is wrong with it, then what waits.
_WRONG: Final = either(f"30 * ({STUCK})", f"20 * ({SINK})", f"15 * ({NECK})", f"0 * {CODE}")
_STAGE: Final = either(f"0 * {ENDED_BADLY} + 50", f"0 * ({status(Status.QUEUED)}) + 5", f"0 * {ACTIVE} + 10", f"0 * {CODE} + 2")
SCORE: Final = f"({_STAGE} + {ON} max {BY} ({_WRONG}))"


def order() -> str:
    """Descending: a tree stands where its most wanted member belongs, the newest first; in it the root leads, then by score.

    Digits: score × 10¹³ + hundredths of seconds since 1.7 × 10⁹ × 100 + place within the tree (< 100), exact in a double.
    """
    recent = f"floor(100 * ({either(FINISH, CREATED)} - 1.7e9))"
    wanted = f"(1e13 * {SCORE} + {ON} 100 * {recent})"
    tree = f"max by (instance, root) ({roots()} * {ON} group_left () {wanted})"
    place = f"(floor({SCORE} / 3) + {ON} {either(f'0 * {CHILD}', f'0 * {LISTED} + 49')})"
    return f"max {BY} ({roots()} * on (instance, root) group_left () {tree}) + {ON} {place}"


# ── the cells of a process ──────────────────────────────────────────────────────────────────────────────────────────

# The code of the status, plus 100 for every ten minutes since it was done.
SYMBOL: Final = either(
    f"({LISTED} == {Status.DONE.code}) + {ON} group_left () max {BY} (100 * clamp_max(floor((time() - {FINISH}) / 600), 3))", LISTED
)
# 63 moves, -63 stands still, !63 failed there, ~ has no total.
PERCENT: Final = f"round(100 * {RATIO})"
RUNNING: Final = f"({status(Status.RUNNING)})"
BAR: Final = either(
    as_label("bar", f"({PERCENT} and {ON} {RUNNING})"),
    tells("!${1}", f"({PERCENT} and {ON} {FAILED})", "bar"),
    tells("-${1}", PERCENT, "bar"),
    says("~", RUNNING, "bar"),
)


def items() -> str:
    """`51/80 sessions`, `12.3k/98.7k rows`, without a total `130 rows`. The total decides the scale of both."""
    scales = (
        ("< 1e5", "1", "0.1", ""),
        (">= 1e5 < 1e6", "1e3", "0.1", "k"),
        (">= 1e6 < 1e9", "1e6", "0.01", "M"),
        (">= 1e9", "1e9", "0.01", "G"),
    )
    parts = []
    for within, by, to, letter in scales:
        total = tells("/${1}" + letter, f"round(({TOTAL} {within}) / {by}, {to})", "total")
        done = tells("${1}" + letter, f"round(({DONE} and {ON} ({TOTAL} {within})) / {by}, {to})", "done")
        parts.append(f"({done}) * {ON} group_left (total) ({total})")
        parts.append(tells("${1}" + letter, f"round(({DONE} {within} unless {ON} {TOTAL}) / {by}, {to})", "done"))
    unit = f'max by (instance, id, of) (label_replace({INFO}, "of", " $1", "unit", "(.+)"))'
    return f'label_join(({" or ".join(parts)}) * {ON} group_left (of) {unit}, "items", "", "done", "total", "of")'


ITEMS: Final = items()


def per_time() -> str:
    """`12/s`, `2.1/min` or `3/h`, whichever is at least 1; nothing while nothing happens."""
    rate = f"({RATE} > 0 and {ON} {ACTIVE})"
    second, minute = f"({rate} >= 1)", f"({rate} >= 0.0166 < 1)"
    return " or ".join(
        (
            tells("${1}/s", f"round({second}, 0.1)", "rate"),
            tells("${1}/min", f"round(60 * {minute}, 0.1)", "rate"),
            tells("${1}/h", f"round(3600 * ({rate} < 0.0166), 0.1)", "rate"),
        )
    )


# Before the end how long still, after it how long ago. Of what is stuck nobody knows.
LEFT: Final = f"({ETA} and {ON} {ACTIVE} unless {ON} {STUCK})"
LEFT_OR_AGO: Final = either(duration(f"(time() - {FINISH})", "{} ago"), duration(LEFT, "~{}"))
# What it achieved, or what went wrong.
ENDINGS: Final = f'label_join({RESULT}, "result", "", "text")'
# Every process has a row, if only an empty one: Grafana 12.2 writes "undefined" into a missing pill.
FLAGS: Final = either(
    " or ".join(
        (
            says("stuck", STUCK, "flag"),
            either(tells("time sink ${1}×", SINK_TIMES, "flag"), says("time sink", SINK, "flag")),
            either(tells("bottleneck · blocks ${1}", WAITERS, "flag"), says("bottleneck", NECK, "flag")),
            says("overdue", OVERDUE, "flag"),
            says("zombie", ZOMBIE, "flag"),
            says("duplicate", DUPLICATE, "flag"),
        )
    ),
    LISTED,
)

# ── what needs attention, as sentences ──────────────────────────────────────────────────────────────────────────────


def problem(severity: str, sentences: str, since: str = "") -> str:
    """Rows (instance, id, text, severity) whose value is when it began, in ms; 0 when that is not known."""
    rows = f"0 * max by (instance, id, text) ({sentences})"
    return says(severity, f"{rows} + {ON} group_left () (1000 * max {BY} ({since}))" if since else rows, "severity")


def with_error(sentences: str, alone: str = "") -> str:
    """`sentence: what is known of its end`; where nothing is known the sentence `alone`, by default the same."""
    said = f'max by (instance, id, said) (label_join({RESULT}, "said", "", "text"))'
    return either(f'label_join(({sentences}) * {ON} group_left (said) {said}, "text", ": ", "text", "said")', alone or sentences)


def severity_of(rank: int, which: Status | Condition) -> str:
    return f"{rank} {which.value}"


def problems() -> str:
    """Every problem there is, the newest first. The severity sorts as text, worst last; see `severity_of`."""
    exits = f"({EXIT_CODE} and {ON} ({status(Status.FAILED)}))"
    fails = either(tells("Failed with exit code ${1}", exits), says("Failed", status(Status.FAILED)))
    sinks = either(tells("Takes ${1}× as long as expected", SINK_TIMES), says("Takes longer than expected", SINK))
    waits = either(
        tells("${1} others wait for it", f"({WAITERS} > 1)"),
        says("Another one waits for it", WAITERS),
        says("Others wait for it", NECK),
    )
    silent = duration(f"((time() - {SILENT_SINCE}) and {ON} {STUCK})", "No output and no progress for {}")
    late = either(
        duration(f"({TIMEOUT} and {ON} {OVERDUE})", "Still runs after its time limit of {}"), says("Past its time limit", OVERDUE)
    )
    gone = status(Status.ORPHANED)
    vanished = with_error(says("Vanished", gone), says("Vanished without a final word", gone))
    rows = (
        problem(severity_of(9, Status.FAILED), with_error(fails), FINISH),
        problem(severity_of(9, Status.KILLED), with_error(says("Killed", status(Status.KILLED))), FINISH),
        problem(severity_of(9, Status.TIMED_OUT), with_error(says("Ended for its time limit", status(Status.TIMED_OUT))), FINISH),
        problem(severity_of(9, Status.ORPHANED), vanished, FINISH),
        problem(severity_of(7, Condition.STUCK), either(silent, says("Stuck", STUCK)), SILENT_SINCE),
        problem(severity_of(5, Condition.OVERDUE), late, f"({START} + {ON} {TIMEOUT})"),
        problem(severity_of(4, Condition.TIME_SINK), sinks, f"({START} + {ON} ({EXPECTED} * {ON} {SINK_RATIO}))"),
        problem(severity_of(3, Condition.BOTTLENECK), waits),
        problem(severity_of(2, Condition.ZOMBIE), says("Ended, but its parent has not collected it", ZOMBIE)),
        problem(severity_of(1, Condition.DUPLICATE), says("The same command runs twice in the same directory", DUPLICATE)),
    )
    who = f"max by (instance, id, name, external_url) ((0 * {LISTED} + 1) * {ADDRESS})"
    return f"sort_desc(({' or '.join(rows)}) * {ON} group_left (name, external_url) {who})"
