"""The recording rules of the dashboards: what every refresh would otherwise work out anew. `generate` writes them to
prometheus/rules/dashboards.yml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grafana import facts as f
from grafana.problems import ended_as, problems
from grafana.promql import BY, ON, either, says
from headway.model import Status

_LISTED: Final = f.LISTED_CODE


def looked_up(values: Mapping[int, int], base: int, number: str) -> str:
    """What `values` has for a small whole number, without a look at any other series: the values are the digits of one constant,
    exact in a double below 2⁵³. What it does not have is 0."""
    digits = sum(value * base**place for place, value in values.items())
    return f"floor({digits} / {base} ^ {number}) % {base}"


# How much a row wants to be seen: what failed first, then what runs, most of all if something is wrong with it, then what waits.
_WRONG: Final = either(f"0 * {f.STUCK} + 30", f"0 * {f.SINK} + 20", f"0 * {f.NECK} + 15")
_STAGES: Final = (2, 5, 10, 50)
_STAGE_OF: Final = {status.code: 0 if status.ended else 2 for status in Status} | {
    Status.QUEUED.code: 1,
    **{status.code: 3 for status in (Status.FAILED, Status.KILLED, Status.TIMED_OUT, Status.ORPHANED)},
}
_STAGE: Final = looked_up(dict(enumerate(_STAGES)), 64, f"({looked_up(_STAGE_OF, 4, _LISTED)})")


def child() -> str:
    """Rows (instance, id, parent_id) of those whose parent is listed too."""
    parents = f'label_join({_LISTED}, "parent_id", "", "id")'
    return (
        f'max by (instance, id, parent_id) (({f.INFO}{{parent_id!=""}} and on (instance, parent_id) {parents}) and {ON} {_LISTED})'
    )


def roots() -> str:
    """Rows (instance, id, root) of value 1: the root of each process that belongs to a tree, two steps up at most."""
    parent = f'label_join({f.CHILD}, "root", "", "parent_id")'
    parents = f'max by (instance, parent_id, root) (label_join({parent}, "parent_id", "", "id"))'
    grandparent = f"{f.CHILD} * on (instance, parent_id) group_left (root) {parents}"
    itself = f'label_join({parents_of_somebody()}, "root", "", "id")'
    return f"max by (instance, id, root) ({either(grandparent, parent, itself)})"


def parents_of_somebody() -> str:
    """Rows (instance, id, parent_id) whose id is that of a parent."""
    return f'label_join(max by (instance, parent_id) ({f.CHILD}), "id", "", "parent_id")'


def alone() -> str:
    """The order of a process that belongs to no tree: by score, the newest first.

    Digits: score × 10¹³ + hundredths of seconds since 1.7 × 10⁹ × 100, exact in a double; see `order` for the last two.
    """
    recent = f"floor(100 * ({either(f.FINISH, f.CREATED)} - 1.7e9))"
    return f"1e13 * {f.SCORE} + {ON} 100 * {recent}"


def order() -> str:
    """Descending: a tree stands where its most wanted member belongs; in it the root leads, then by score: the last two digits."""
    tree = f"max by (instance, root) ({f.ROOT} * {ON} group_left () {f.ALONE})"
    first = either(f"0 * max {BY} ({f.CHILD})", f"0 * max {BY} ({f.ROOT}) + 49")
    member = f"max {BY} ({f.ROOT} * on (instance, root) group_left () {tree}) + {ON} ({first} + {ON} floor({f.SCORE} / 3))"
    return either(member, f.ALONE)


def silent_since() -> str:
    """When the stuck ones last wrote or got further."""
    output, progress, start = (f"({fact} and {ON} {f.STUCK})" for fact in (f.LAST_OUTPUT, f.LAST_PROGRESS, f.START))
    return f.by_row(either(f"{output} > {ON} {progress}", progress, output, start))


def scale() -> str:
    """0 below 100,000 items, 1 where they are told in thousands, 2 in millions, 3 in billions."""
    whole = either(f.top(f.TOTAL), f.top(f.DONE))
    return f.by_row(f"({whole} >= bool 1e5) + ({whole} >= bool 1e6) + ({whole} >= bool 1e9)")


def title() -> str:
    """Each process that is listed, with what it is filtered by, its name, and a `title`: the name; of a child `↳ name`; of a
    child's child `↳ parent › name`, for it may not stand right below its parent. The value is its order."""
    names = f'label_join({f.CODE} and {ON} {parents_of_somebody()}, "parent", "", "name")'
    names = f'max by (instance, parent_id, parent) (0 * label_join({names}, "parent_id", "", "id") + 1)'
    grandchild = f'{f.CHILD} and on (instance, parent_id) label_join({f.CHILD}, "parent_id", "", "id")'
    grandchild = f"({grandchild}) * on (instance, parent_id) group_left (parent) {names}"
    children = either(says("↳ ", says(" › ", grandchild, "between"), "arrow"), says("↳ ", f.CHILD, "arrow"))
    prefixes = f'max by (instance, id, prefix) (label_join({children}, "prefix", "", "arrow", "parent", "between"))'
    listed = f"({f.INFO} and {ON} {_LISTED})"
    titled = f'label_join({either(f"{listed} * {ON} group_left (prefix) {prefixes}", listed)}, "title", "", "prefix", "name")'
    return f"max by (instance, id, name, kind, project, task, agent, title) ({titled}) * {ON} group_left () {f.ORDER}"


# Which rows there are, in which order, under which title, and what is wrong: what changes seldom, and is dear. In this order: each
# needs those above it, and the rules of a group are evaluated one after the other.
ROWS: Final[dict[str, str]] = {
    f.CHILD: child(),
    f.ROOT: roots(),
    f.STAGE: _STAGE,
    f.SCORE: either(f"{f.STAGE} + {ON} max {BY} ({_WRONG})", f.STAGE),
    f.ALONE: alone(),
    f.ORDER: order(),
    f.TITLE: title(),
    f.TOP_ORDER: f"topk({f.SHOWN_ROWS}, {f.ORDER})",
    f.TOP_TITLE: f"(0 * ({f.TITLE} and {ON} {f.TOP_ORDER}) + 1) * {f.ADDRESS}",
    f.TOP_UNIT: f'max by (instance, id, of) (label_replace({f.INFO} and {ON} {f.TOP_ORDER}, "of", " $1", "unit", "(.+)"))',
    f.SILENT_SINCE: silent_since(),
    f.ENDED_AS: ended_as(),
    f.PROBLEM: problems(),
    f.WAITED: f"avg by (instance, kind, name) ({f.START} - {f.CREATED})",
}
# How they are: for every refresh.
LIVE: Final[dict[str, str]] = {
    f.LISTED_CODE: f.by_row(f.LISTED),
    f.BAD_CODE: f"({_LISTED} > {Status.DONE.code} != {Status.CANCELLED.code})",
    f.HELD: f"0 * max by (instance, id, condition) ({f.CONDITION_START}) + 1",
    f.STATUS_COUNT: f'count_values by (instance) ("code", {_LISTED})',
    f.SINK_TIMES: f.by_row(f"round((time() - ({f.START} and {ON} {f.SINK})) / {ON} {f.EXPECTED}, 0.1)"),
    **{f.top(family): f.by_row(f"{family} and {ON} {f.TOP_ORDER}") for family in f.COPIED},
    f.TOP_RESULT: f'max by (instance, id, result) (label_join({f.RESULT} and {ON} {f.TOP_ORDER}, "result", "", "text"))',
    f.TOP_SCALE: scale(),
}
GROUPS: Final = (("headway-dashboards-rows", "4s", ROWS), ("headway-dashboards", "2s", LIVE))


def text() -> str:
    """The file of rules."""
    lines = [
        "# Generated by `make dashboards` from grafana/recording.py: what every refresh of the dashboards would work out anew.",
        "# Rows have instance and id. `listed` is what the active view shows, `top` what stands in the Overview's table.",
        "groups:",
    ]
    for name, interval, rules in GROUPS:
        lines += [f"  - name: {name}", f"    interval: {interval}", "    rules:"]
        for record, expr in rules.items():
            lines += [f"      - record: {record}", f"        expr: {quoted(expr)}"]
    return "\n".join(lines) + "\n"


def quoted(expr: str) -> str:
    """In YAML's single quotes, in which only they themselves need care."""
    return "'" + expr.replace("'", "''") + "'"
