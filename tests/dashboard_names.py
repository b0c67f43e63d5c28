"""Which series and labels an expression names, as far as the dashboards and their rules write PromQL."""

from __future__ import annotations

import re
from typing import Final

STRING: Final = r'"(?:[^"\\]|\\.)*"'
# What no series has, and what asks for the name itself.
NO_LABELS: Final = frozenset({"filtered", "__name__"})


def made_labels(expr: str) -> set[str]:
    """Labels that the expression makes itself."""
    counted = re.findall(r'count_values by \([^)]*\) \("(\w+)"', expr)
    replaced = re.findall(rf', "(\w+)", {STRING}, "\w*", {STRING}\)', expr)
    joined = re.findall(rf', "(\w+)", {STRING}(?:, "[a-z_]\w*")+\)', expr)
    return {*counted, *replaced, *joined}


def used_labels(expr: str) -> set[str]:
    lists = re.findall(r"(?:\bby|\bon|\bgroup_left|\bgroup_right|\bwithout|\bignoring) \(([^)]*)\)", expr)
    found = {label.strip() for listed in lists for label in listed.split(",") if label.strip()}
    found |= set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)\s*\"", expr))
    found |= set(re.findall(rf', "\w+", {STRING}, "(\w+)", {STRING}\)', expr))  # label_replace
    for sources in re.findall(rf', "\w+", {STRING}((?:, "[a-z_]\w*")+)\)', expr):
        found |= set(re.findall(r'"(\w+)"', sources))
    return found


def named(expr: str) -> set[str]:
    """The series that an expression reads."""
    return set(
        re.findall(r"(?<![\w:])(?:\w+:)?headway[\w:]+|\bALERTS\w*|\b(?:up|scrape_\w+|process_\w+)\b", re.sub(STRING, '""', expr))
    )
