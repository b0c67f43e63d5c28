"""Durations as people write them. Everywhere in Headway a duration is a number of seconds, or text with units."""

from __future__ import annotations

import math
import re
from typing import Final

ACCEPTED: Final = 'seconds as a number (90, 0.5) or text with units ms, s, m, h, d, w ("90s", "5m", "1h30m", "2d", "500ms")'

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NUMBER: Final = r"[0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18}"
_PART: Final = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d|w)", re.ASCII)
_TEXT: Final = re.compile(rf"(?:(?:{_NUMBER}) ?(?:ms|s|m|h|d|w) ?)+", re.ASCII)
_LONGEST_TEXT: Final = 64


def parse_duration(value: int | float | str) -> float:
    """Seconds, from a number of seconds or from text such as "90s", "5m", "1h30m", "1h 30m", "2d", "500ms", "90".

    Units in one text go from large to small and appear once each. Raises ValueError, naming the accepted forms, for anything
    else: other text, a negative or non-finite number, a boolean.
    """
    seconds = _parse_text(value) if isinstance(value, str) else _parse_number(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        shown = repr(value) if len(repr(value)) <= _LONGEST_TEXT else f"{repr(value)[:_LONGEST_TEXT]}…"
        raise ValueError(f"{shown} is not a duration: expected {ACCEPTED}, zero or more")
    return seconds


def _parse_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _parse_text(value: str) -> float | None:
    text = value.strip().lower()
    if len(text) > _LONGEST_TEXT:
        return None
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    if not _TEXT.fullmatch(text):
        return None
    parts = [(float(number), _UNITS[unit]) for number, unit in _PART.findall(text)]
    sizes = [size for _, size in parts]
    if sizes != sorted(set(sizes), reverse=True):
        return None  # "5m 1h" and "5m 5m" are more likely mistakes than meant
    return math.fsum(number * size for number, size in parts)


def format_duration(seconds: float) -> str:
    """Short text with at most two units: "0.4s", "12s", "4m 12s", "2h 5m", "3d 4h". Negative ones get a minus sign.

    Whole seconds from ten on, tenths below. Raises ValueError for a non-finite number.
    """
    if not math.isfinite(seconds):
        raise ValueError(f"cannot show {seconds} as a duration: it is not finite")
    if seconds < 0:
        shown = format_duration(-seconds)
        return shown if shown == "0s" else f"-{shown}"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    left = round(seconds)
    if left < 60:
        return f"{left}s"
    if left < 3600:
        return _two(left, 60, "m", 1, "s")
    # From an hour on the second unit is rounded too, so that 1h 59m 59s reads 2h and not 1h 59m.
    left = round(seconds / 60)
    if left < 24 * 60:
        return _two(left, 60, "h", 1, "m")
    return _two(round(seconds / 3600), 24, "d", 1, "h")


def _two(amount: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    whole, rest = divmod(amount, large)
    return f"{whole}{large_unit}" if not rest // small else f"{whole}{large_unit} {rest // small}{small_unit}"
