"""The recording rules of the dashboards: what every refresh would otherwise work out anew. `generate` writes them to
prometheus/rules/dashboards.yml."""

from __future__ import annotations

from typing import Final

from grafana import facts as f
from grafana.problems import problems
from grafana.promql import BY, ON, either, says
from headway.model import Status

_LISTED: Final = f.LISTED_CODE
# How much a row wants to be seen: what failed first, then what runs, most of all if something is wrong with it, then what waits.
_WRONG: Final = either(f"30 * {f.STUCK}", f"20 * {f.SINK}", f"15 * {f.NECK}")
_STAGE: Final = either(
    f"0 * {f.BAD_CODE} + 50",
    f"0 * ({_LISTED} == {Status.QUEUED.code}) + 5",
    f"0 * ({_LISTED} < {Status.DONE.code}) + 10",
    f"0 * {_LISTED} + 2",
)


def child() -> str:
    """Rows (instance, id, parent_id) of those whose parent is listed too."""
    parents = f'label_join({_LISTED}, "parent_id", "", "id")'
    return (
        f'max by (instance, id, parent_id) (({f.INFO}{{parent_id!=""}} and on (instance, parent_id) {parents}) and {ON} {_LISTED})'
    )


def roots() -> str:
    """Rows (instance, id, root) of value 1: the root of each listed process, two steps up at most."""
    itself = f'label_join(0 * {_LISTED} + 1, "root", "", "id")'
    parent = f'label_join({f.CHILD}, "root", "", "parent_id")'
    parents = f'max by (instance, parent_id, root) (label_join({parent}, "parent_id", "", "id"))'
    grandparent = f"{f.CHILD} * on (instance, parent_id) group_left (root) {parents}"
    return f"max by (instance, id, root) ({either(grandparent, parent, itself)})"


def order() -> str:
    """Descending: a tree stands where its most wanted member belongs, the newest first; in it the root leads, then by score.

    Digits: score × 10¹³ + hundredths of seconds since 1.7 × 10⁹ × 100 + place within the tree (< 100), exact in a double.
    """
    recent = f"floor(100 * ({f.by_row(either(f.FINISH, f.CREATED))} - 1.7e9))"
    wanted = f"(1e13 * {f.SCORE} + {ON} 100 * {recent})"
    tree = f"max by (instance, root) ({f.ROOT} * {ON} group_left () {wanted})"
    place = f"(floor({f.SCORE} / 3) + {ON} {either(f'0 * max {BY} ({f.CHILD})', f'0 * {_LISTED} + 49')})"
    return f"max {BY} ({f.ROOT} * on (instance, root) group_left () {tree}) + {ON} {place}"


def silent_since() -> str:
    """When the stuck ones last wrote or got further."""
    output, progress, start = (f"({fact} and {ON} {f.STUCK})" for fact in (f.LAST_OUTPUT, f.LAST_PROGRESS, f.START))
    return f.by_row(either(f"{output} > {ON} {progress}", progress, output, start))


def scale() -> str:
    """0 below 100,000 items, 1 where they are told in thousands, 2 in millions, 3 in billions."""
    whole = either(f.top(f.TOTAL), f.top(f.DONE))
    return f.by_row(f"({whole} >= bool 1e5) + ({whole} >= bool 1e6) + ({whole} >= bool 1e9)")


def title() -> str:
    """Rows with name, kind, external_url and a `title`: the name; of a child `↳ name`; of a child's child `↳ parent › name`, for it
    may not stand right below its parent."""
    names = f'label_join(label_join(0 * {f.CODE} + 1, "parent", "", "name"), "parent_id", "", "id")'
    grandchild = f'{f.CHILD} and on (instance, parent_id) label_join({f.CHILD}, "parent_id", "", "id")'
    grandchild = f"({grandchild}) * on (instance, parent_id) group_left (parent) max by (instance, parent_id, parent) ({names})"
    children = either(says("↳ ", says(" › ", grandchild, "between"), "arrow"), says("↳ ", f.CHILD, "arrow"))
    prefixes = f'max by (instance, id, prefix) (label_join({children}, "prefix", "", "arrow", "parent", "between"))'
    code = f"(0 * {f.CODE} + 1 and {ON} {_LISTED})"
    titled = either(f"{code} * {ON} group_left (prefix) {prefixes}", code)
    labelled = f'label_join({titled} * {f.ADDRESS}, "title", "", "prefix", "name")'
    return f"max by (instance, id, name, kind, title, external_url) ({labelled})"


# In this order: each needs those above it, and the rules of a group are evaluated one after the other.
RULES: Final[dict[str, str]] = {
    f.LISTED_CODE: f.by_row(f.LISTED),
    f.BAD_CODE: f"({_LISTED} > {Status.DONE.code} != {Status.CANCELLED.code})",
    f.HELD: f"max by (instance, id, condition) ({f.CONDITION} == 1)",
    f.STATUS_COUNT: f'count_values by (instance) ("code", {_LISTED})',
    f.CHILD: child(),
    f.ROOT: roots(),
    f.SCORE: either(f"{_STAGE} + {ON} max {BY} ({_WRONG})", _STAGE),
    f.ORDER: order(),
    f.TOP_ORDER: f"topk({f.SHOWN_ROWS}, {f.ORDER})",
    f.TITLE: title(),
    f.SILENT_SINCE: silent_since(),
    f.SINK_TIMES: f.by_row(f"round((time() - ({f.START} and {ON} {f.SINK})) / {ON} {f.EXPECTED}, 0.1)"),
    f.PROBLEM: problems(),
    **{f.top(family): f.by_row(f"{family} and {ON} {f.TOP_ORDER}") for family in f.COPIED},
    f.TOP_TITLE: f"{f.TITLE} and {ON} {f.TOP_ORDER}",
    f.TOP_RESULT: f'max by (instance, id, result) (label_join({f.RESULT} and {ON} {f.TOP_ORDER}, "result", "", "text"))',
    f.TOP_SCALE: scale(),
    f.TOP_UNIT: f'max by (instance, id, of) (label_replace({f.INFO} and {ON} {f.TOP_ORDER}, "of", " $1", "unit", "(.+)"))',
}


def text() -> str:
    """The file of rules."""
    lines = [
        "# Generated by `make dashboards` from grafana/recording.py: what every refresh of the dashboards would work out anew.",
        "# Rows have instance and id. `listed` is what the active view shows, `top` what stands in the Overview's table.",
        "groups:",
        "  - name: headway-dashboards",
        "    interval: 2s",
        "    rules:",
    ]
    for record, expr in RULES.items():
        lines += [f"      - record: {record}", f"        expr: {quoted(expr)}"]
    return "\n".join(lines) + "\n"


def quoted(expr: str) -> str:
    """In YAML's single quotes, in which only they themselves need care."""
    return "'" + expr.replace("'", "''") + "'"
