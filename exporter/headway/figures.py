"""Counts, rates and sizes as people read them, in the terminal and on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def count(progress: Mapping[str, Any]) -> str:
    """ "51/80 files", "51 files" without a total, "" without either."""
    current, total, unit = progress["current"], progress["total"], progress["unit"]
    if (current is None and total is None) or unit == "%":
        return ""  # a percentage stands beside it already
    done = number(current or 0)
    text = done if total is None else f"{done}/{number(total)}"
    return f"{text} {unit}" if unit else text


def number(value: float) -> str:
    """Whole numbers whole, others with two digits at most."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}".rstrip("0").rstrip(".")


def rate(per_minute: float | None) -> str:
    if per_minute is None:
        return ""
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if per_minute >= least:
            return f"{per_minute / unit:.3g}{letter}/min"
    if 0 < per_minute < 0.01:
        return "<0.01/min"
    return f"{per_minute:.0f}/min" if per_minute >= 100 else f"{per_minute:.3g}/min"


def size(number_of_bytes: float) -> str:
    """ "14 MiB"."""
    amount = float(number_of_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if amount >= 100 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
