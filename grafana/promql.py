"""The grammar that all queries share. Everything joins on (instance, id); a table's rows are told apart by `key`, both in one.

PromQL has no strings, but count_values turns numbers into labels and label_join puts labels together: that is how texts such as
`51/80 sessions` and `~14min` are made. Regular expressions never touch names or messages, which may hold anything.
"""

from __future__ import annotations

from typing import Final

ON: Final = "on (instance, id)"
BY: Final = "by (instance, id)"


def keyed(expr: str, *labels: str) -> str:
    """Rows (key, …labels) of an expression that has instance and id."""
    return f'max by ({", ".join(("key", *labels))}) (label_join({expr}, "key", " ", "instance", "id"))'


def unless_chosen(*variables: str) -> str:
    """A matcher that lets everything through while each of these variables is All, and nothing as soon as one is not: no series has
    a label `filtered`, so it is empty, which only the patterns of All match. See `if_chosen`."""
    return f'filtered=~"{"".join(f"${name}" for name in variables)}"'


def if_chosen(*variables: str) -> str:
    """The opposite: nothing while each of them is All. So a query can have two halves, of which one asks for next to nothing: what
    is recorded for the usual view, and what every other needs."""
    return unless_chosen(*variables).replace("=~", "!~", 1)


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
