"""Numbers of its own that a process reports: `metadata.values`. Pure: standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

VALUES_MAX: Final = 16
VALUE_KEY_MAX: Final = 64


def own_values(metadata: Mapping[str, Any]) -> dict[str, float]:
    """By key, the first VALUES_MAX that are finite numbers with a name that can be printed; the rest is left out."""
    values = metadata.get("values")
    if not isinstance(values, Mapping):
        return {}
    numbers: dict[str, float] = {}
    for key, value in values.items():
        if 0 < len(key) <= VALUE_KEY_MAX and key.isprintable() and (number := finite(value)) is not None:
            numbers[key] = number
            if len(numbers) == VALUES_MAX:
                break
    return numbers


def finite(value: Any) -> float | None:
    """A number that a float64 can hold, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
