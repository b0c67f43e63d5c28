"""What a process cost: as its reporter says, or from its tokens and a table of prices. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from headway.own_values import finite

PER: Final = 1e6  # prices are for a million tokens, as providers give them


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Dollars for a million tokens of models whose name matches `model` (`*`, `?`, `[…]`, case counts). `place`: where that
    stands."""

    model: str
    input: float
    output: float
    place: str = field(default="", compare=False)


def amount(value: Any) -> float | None:
    """A number out of free metadata: finite and not negative, else None."""
    number = finite(value)
    return number if number is not None and number >= 0 else None


def tokens(metadata: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """In and out: metadata.tokens.input and .output, or metadata.tokens_in and .tokens_out."""
    nested = metadata.get("tokens")
    found: Mapping[str, Any] = nested if isinstance(nested, Mapping) else {}
    return (
        amount(found.get("input", metadata.get("tokens_in"))),
        amount(found.get("output", metadata.get("tokens_out"))),
    )


def cost(metadata: Mapping[str, Any], prices: Sequence[Price] = ()) -> float | None:
    """Dollars: metadata.cost_dollars, else the tokens at the price of metadata.model; of several prices that match the last counts.
    None when neither is known."""
    if not metadata:
        return None
    said = amount(metadata.get("cost_dollars"))
    if said is not None:
        return said
    model, (inwards, outwards) = metadata.get("model"), tokens(metadata)
    if not isinstance(model, str) or (inwards is None and outwards is None):
        return None
    price = next((one for one in reversed(prices) if fnmatchcase(model, one.model)), None)
    if price is None:
        return None
    return ((inwards or 0.0) * price.input + (outwards or 0.0) * price.output) / PER
