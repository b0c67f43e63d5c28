"""Counts, rates and sizes as people read them, in the terminal and on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# What reporters and progress bars call a byte; "b" may be a bit.
BYTES: Final = frozenset({"B", "byte", "bytes", "Byte", "Bytes"})
PREFIXED: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def count(progress: Mapping[str, Any]) -> str:
    """ "51/80 files", "51 files" without a total, "?/80 files" before anything is known of it, "864 MiB/3.00 GiB" of bytes, ""
    without either."""
    current, total, unit = progress["current"], progress["total"], progress["unit"]
    if (current is None and total is None) or unit == "%":
        return ""  # a percentage stands beside it already
    if current is None:
        text = f"?/{size(total) if unit in BYTES else number(total)}"
        return text if unit in BYTES or not unit else f"{text} {unit}"
    if unit in BYTES:
        return volume(current, total)
    done = number(current)
    text = done if total is None else f"{done}/{number(total)}"
    return f"{text} {unit}" if unit else text


def number(value: float) -> str:
    """Whole numbers whole, others with two digits at most."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}".rstrip("0").rstrip(".")


def rate(per_minute: float | None, unit: str | None = None) -> str:
    """ "59.3/min", "310k/min", "692 MiB/min" of bytes, "" where it is unknown."""
    if per_minute is None:
        return ""
    if unit in BYTES:
        return f"{size(per_minute)}/min"
    for least, by, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if per_minute >= least:
            return f"{per_minute / by:.3g}{letter}/min"
    if 0 < per_minute < 0.01:
        return "<0.01/min"
    return f"{per_minute:.0f}/min" if per_minute >= 100 else f"{per_minute:.3g}/min"


def size(number_of_bytes: float) -> str:
    """ "14.0 MiB"."""
    amount, unit = prefixed(number_of_bytes)
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def volume(done: float, total: float | None) -> str:
    """Bytes done of bytes in all, with the unit once where both have the same: "1.38/3.00 GiB", "864 MiB/3.00 GiB", "14.0 MiB".
    Three digits, so that of a long copy more than the tenths are seen to move."""
    text, unit = _three_digits(done)
    if total is None:
        return f"{text} {unit}"
    whole, of = _three_digits(total)
    return f"{text}/{whole} {of}" if unit == of else f"{text} {unit}/{whole} {of}"


def prefixed(number_of_bytes: float) -> tuple[float, str]:
    """(1.38, "GiB"): below 1000 of its unit, but for TiB."""
    amount = float(number_of_bytes)
    for unit in PREFIXED[:-1]:
        if amount < 1000:
            return amount, unit
        amount /= 1024
    return amount, PREFIXED[-1]


def _three_digits(number_of_bytes: float) -> tuple[str, str]:
    amount, unit = prefixed(number_of_bytes)
    digits = 0 if unit == "B" or amount >= 100 else 1 if amount >= 10 else 2
    return f"{amount:.{digits}f}", unit
