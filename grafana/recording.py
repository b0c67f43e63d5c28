"""The recording rules of the dashboards: what every refresh would otherwise work out anew. `generate` writes them to
prometheus/rules/dashboards.yml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grafana import facts as f
from grafana.problems import ended_as, problems
from grafana.promql import BY, ON, as_label, either, keyed, says
from headway.model import Condition, Status

_LISTED: Final = f.LISTED_CODE
_UNIT: Final = 1e13  # what one point of the score is worth in the order
_FAILED_SCORE: Final = 50
_OVER_SCORE: Final = 2

# How much a row wants to be seen: what failed first, then what runs, most of all if something is wrong with it, then what waits.
_SCORES: Final[Mapping[Status, int]] = (
    {status: _OVER_SCORE if status.ended else 10 for status in Status}
    | {Status.QUEUED: 5}
    | dict.fromkeys((Status.FAILED, Status.KILLED, Status.TIMED_OUT, Status.ORPHANED), _FAILED_SCORE)
)
_WRONG: Final[Mapping[Condition, int]] = {
    Condition.WAITING: 35,
    Condition.STUCK: 30,
    Condition.TIME_SINK: 20,
    Condition.BOTTLENECK: 15,
}


def score() -> str:
    """That of its status, and what the worst of its conditions adds."""

    def of(points: int) -> str:
        coded = f'{f.CODED}{{code=~"{"|".join(str(s.code) for s in Status if _SCORES[s] == points)}"}}'
        return f"{points} * ({coded} unless {ON} {f.AS_ASKED})" if points == _FAILED_SCORE else f"{points} * {coded}"

    scored = [of(points) for points in sorted(set(_SCORES.values()))]
    scored.append(f"{_OVER_SCORE} * ({f.CODED} and {ON} {f.AS_ASKED})")
    wrong = " or ".join(f"0 * {f.held(condition)} + {points}" for condition, points in _WRONG.items())
    return f"sum {BY} ({' or '.join(scored)} or max {BY} ({wrong}))"


def child() -> str:
    """Rows (instance, id, parent_id) of those whose parent is listed too."""
    parents = f'label_join({_LISTED}, "parent_id", "", "id")'
    return (
        f'max by (instance, id, parent_id) (({f.INFO}{{parent_id!=""}} and on (instance, parent_id) {parents}) and {ON} {_LISTED})'
    )


def roots() -> str:
    """Rows (instance, id, root): the root of each process that belongs to a tree, two steps up at most. The value is its place in
    the tree: 49 for the root, 0 for all others."""
    parent = f'0 * label_join({f.CHILD}, "root", "", "parent_id")'
    parents = f'max by (instance, parent_id, root) (label_join({parent}, "parent_id", "", "id"))'
    grandparent = f"{f.CHILD} * on (instance, parent_id) group_left (root) {parents}"
    itself = f'label_join({parents_of_somebody()}, "root", "", "id") * 0 + 49'
    return f"max by (instance, id, root) ({either(grandparent, parent, itself)})"


def parents_of_somebody() -> str:
    """Rows (instance, id, parent_id) whose id is that of a parent."""
    return f'label_join(max by (instance, parent_id) ({f.CHILD}), "id", "", "parent_id")'


def alone() -> str:
    """The order of a process that belongs to no tree: by score, the newest first.

    Digits: score × 10¹³ + hundredths of seconds since 1.7 × 10⁹ × 100, exact in a double; see `in_tree` for the last two.
    """
    # Who has ended did so after it was created.
    times = f'{{__name__=~"({f.CREATED}|{f.FINISH})"}}'
    return f"{_UNIT:.0e} * {f.SCORE} + {ON} 100 * floor(100 * (max {BY} ({times}) - 1.7e9))".replace("e+", "e")


def in_tree() -> str:
    """A tree stands where its most wanted member belongs; in it the root leads, then by score: the last two digits."""
    tree = f"max by (instance, root) (0 * {f.ROOT} + {ON} group_left () {f.ALONE})"
    return f.by_row(f"{f.ROOT} + on (instance, root) group_left () {tree} + {ON} group_left () floor({f.SCORE} / 3)")


def shown() -> str:
    """The rows of the Overview: what runs, waits or is over, and of what failed the newest."""
    failed = f"{_FAILED_SCORE * _UNIT:.0e}".replace("e+", "e")
    return f"topk({f.SHOWN_ROWS}, {f.ROW} < {failed}) or topk({f.FAILED_ROWS}, {f.ROW} >= {failed})"


def row() -> str:
    """Each process that is listed with what it is filtered by. The value is its order: that in its tree, which is never below what
    it would be alone."""
    order = f'max {BY} ({{__name__=~"({f.ALONE}|{f.IN_TREE})"}})'
    coded = f"{f.INFO} * {ON} group_left (code) ({f.CODED} * {ON} group_left () {order})"
    return f"max by (instance, id, name, kind, project, task, agent, unit, code) ({coded})"


def scale() -> str:
    """1 below 100,000 items, 1,000 where they are told in thousands, then a million and a billion."""
    whole = either(f.top(f.TOTAL), f.top(f.DONE))
    return f.by_row(f"1000 ^ (({whole} >= bool 1e5) + ({whole} >= bool 1e6) + ({whole} >= bool 1e9))")


def bar() -> str:
    """What a progress bar shows: 63 moves, -63 stands still, 63.5 failed there, 0.25 has no total. Whole numbers are percent."""
    percent = f"round(100 * {f.top(f.RATIO)})"
    running = f"({f.top(f.CODE)} == {Status.RUNNING.code})"
    return f.by_row(
        either(
            f"{percent} and {ON} {running}", f"({percent} and {ON} {f.BAD_CODE}) + 0.5", f"-1 * {percent}", f"0 * {running} + 0.25"
        )
    )


def behind() -> str:
    """Rows (instance, id, of) of those that count something: what stands behind the count, such as `/80 sessions`, `k/98.7k rows`,
    and without a total ` rows`."""
    letters = (says(letter, f"{f.TOP_SCALE} == {number}", "letter") for letter, number in (("k", 1e3), ("M", 1e6), ("G", 1e9)))
    lettered = either(*letters, f.TOP_SCALE)
    total = says("/", as_label("number", f"round({f.top(f.TOTAL)} / {ON} {f.TOP_SCALE}, 0.01)"), "slash")
    unit = f'label_replace({f.TOP_ROW}, "space", " ", "unit", ".+")'
    whole = f"{lettered} + {ON} group_left (slash, number) {total}"
    whole = f'label_join({whole}, "more", "", "slash", "number", "letter")'
    rows = f"{either(whole, lettered)} + {ON} group_left (space, unit) {unit}"
    return f'max by (instance, id, of) (label_join({rows}, "of", "", "letter", "more", "space", "unit"))'


def prefix() -> str:
    """What stands before the name of a child: `↳ `; of a child's child `↳ parent › `, for it may not stand right below its
    parent."""
    names = f'label_join({f.INFO} and {ON} {parents_of_somebody()}, "parent", "", "name")'
    names = f'max by (instance, parent_id, parent) (0 * label_join({names}, "parent_id", "", "id") + 1)'
    grandchild = f'{f.CHILD} and on (instance, parent_id) label_join({f.CHILD}, "parent_id", "", "id")'
    grandchild = f"({grandchild}) * on (instance, parent_id) group_left (parent) {names}"
    children = either(says("↳ ", says(" › ", grandchild, "between"), "arrow"), says("↳ ", f.CHILD, "arrow"))
    return f'max by (instance, id, prefix) (label_join({children}, "prefix", "", "arrow", "parent", "between"))'


def titled(rows: str) -> str:
    """The rows with a `title`, which is their name, of a child with what stands before it, and the page of their exporter."""
    made = either(f"{rows} * {ON} group_left (prefix) {f.PREFIX}", rows)
    made = f'label_join({made}, "title", "", "prefix", "name")'
    return f"max by (instance, id, kind, code, title) ({made}) * {f.ADDRESS}"


def long_ended() -> str:
    """Those whose end has been known for a while: nothing about them changes any more. One whose end is told late is recorded as
    long as any other."""
    return f.by_row(f"{f.FINISH} offset {f.LATE} and {ON} {f.CODE} >= {Status.DONE.code}")


def still(expr: str) -> str:
    """A column of what hours are drawn from, as long as it may change: it stays where a query looks back."""
    return keyed(f"{expr} unless {ON} {f.LONG_ENDED}")


def seen() -> str:
    """Each process with what it is filtered by, its status, and what its end left, as the table of the history has it. The value is
    two numbers in one: since when it runs, else since when it waits (ms, in whole tenths of a second), and in the last two digits
    the code of its status."""
    code = f"({f.CODE} unless {ON} {f.LONG_ENDED})"
    who = f"{f.INFO} * {ON} group_left (code) {as_label('code', code)}"
    result, exited = f'label_join({f.RESULT}, "result", "", "text")', as_label("exit", f.EXIT_CODE)
    left = either(f"{result} * {ON} group_left (exit) {exited}", result, exited)
    ended = f"{who} * {ON} group_left (exit, result) max by (instance, id, exit, result) ({left} unless {ON} {f.LONG_ENDED})"
    labels = "instance, id, key, name, kind, project, task, agent, code, exit, result"
    rows = f'max by ({labels}) (label_join({either(ended, who)}, "key", " ", "instance", "id")) * {f.ADDRESS}'
    times = f'{{__name__=~"({f.CREATED}|{f.START})"}}'
    moment = f"100 * round(10 * max {BY} ({times}))"
    return f"0 * {rows} + {ON} group_left () ({moment} + {ON} {f.CODE})"


# Which rows there are, in which order, under which title, and what is wrong: what changes seldom, and is dear. In this order: each
# needs those above it, and the rules of a group are evaluated one after the other.
ROWS: Final[dict[str, str]] = {
    f.CODED: as_label("code", _LISTED),
    f.CHILD: child(),
    f.ROOT: roots(),
    f.PREFIX: prefix(),
    f.SCORE: score(),
    f.ALONE: alone(),
    f.IN_TREE: in_tree(),
    f.ROW: row(),
    f.TOP_ROW: shown(),
    f.TOP_ACTIVE: titled(f'topk({f.ACTIVE_ROWS}, {f.ROW}{{code=~"{f.ACTIVE}"}})'),
    f.ACTIVE_START: f.by_row(f"{f.START} and {ON} {f.TOP_ACTIVE}"),
    f.TOP_TITLE: titled(f.TOP_ROW),
    **{f.top(family): f.by_row(f"{family} and {ON} {f.TOP_ROW}") for family in f.COPIED_SELDOM},
    f.TOP_RESULT: f'max by (instance, id, result) (label_join({f.RESULT} and {ON} {f.TOP_ROW}, "result", "", "text"))',
    f.TOP_SCALE: scale(),
    f.TOP_BEHIND: behind(),
    f.SINK_TIMES: f.by_row(f"round(({f.ELAPSED_TIMES} and {ON} {f.SINK}) >= {ON} {f.SINK_RATIO}, 0.1)"),
    f.SINK_FORESEEN: f.by_row(f"round({f.FORESEEN_TIMES} and {ON} {f.SINK} unless {ON} {f.SINK_TIMES}, 0.1)"),
    f.SILENT_SINCE: f"{f.STUCK} - {ON} group_left () {f.STUCK_LIMIT}",
    f.ENDED_AS: ended_as(),
    f.PROBLEM: problems(),
}
# How they are: for every refresh.
LIVE: Final[dict[str, str]] = {
    f.LISTED_CODE: f.by_row(f.LISTED),
    f.BAD_CODE: f"({_LISTED} > {Status.DONE.code} != {Status.CANCELLED.code}) unless {ON} {f.AS_ASKED}",
    f.HELD: f"max by (instance, id, name, condition) ({f.CONDITION_START})",
    f.STATUS_COUNT: f'count_values by (instance) ("code", {_LISTED})',
    **{f.top(family): f.by_row(f"{family} and {ON} {f.TOP_ROW}") for family in f.COPIED},
    f.TOP_BAR: bar(),
}
_OF_NAME: Final = "instance, kind, name"
# What hours are drawn from: a sample of it in half a minute is enough, and cheap to read.
PAST: Final[dict[str, str]] = {
    f.LONG_ENDED: long_ended(),
    f.SEEN: seen(),
    f.SEEN_FINISH: still(f"1000 * {f.FINISH}"),
    f.SEEN_RATIO: still(f.RATIO),
    f.SEEN_TOOK: still(f"({f.FINISH} - {ON} {f.START})"),
    f.WAS_ACTIVE: f"0 * {still(f'(min_over_time({f.CODE}[{f.PAST_INTERVAL}]) < {Status.DONE.code})')}",
    f.WAITED: f"avg by ({_OF_NAME}) ({f.START} - {f.CREATED})",
    **{f.by_name(family): f"sum by ({', '.join((_OF_NAME, *more))}) ({family})" for family, more in f.OF_NAME.items()},
    **{f.of_all(family): f"sum by ({', '.join(('instance', *more))}) ({f.by_name(family)})" for family, more in f.OF_ALL.items()},
}
GROUPS: Final = (
    ("headway-dashboards-rows", "5s", ROWS),
    ("headway-dashboards", "2s", LIVE),
    ("headway-dashboards-past", f.PAST_INTERVAL, PAST),
)


def text() -> str:
    """The file of rules."""
    lines = [
        "# Generated by `make dashboards` from grafana/recording.py: what every refresh of the dashboards would work out anew.",
        "# Rows have instance and id. `listed` is what the active view shows, `top` what stands in the Overview's table, `seen`",
        "# what hours are drawn from.",
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
