"""Which routes of a configuration of Alertmanager an alert takes, and when its messages go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Final

from headway.durations import parse_duration

_MATCHER: Final = re.compile(r'\s*"?([\w.:-]+)"?\s*(=~|!~|!=|=)\s*(?:"(.*)"|(.*?))\s*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Taken:
    """A route where an alert ends up: seconds until the first message of a group, and between two."""

    receiver: str
    wait: float
    interval: float

    def looked_at_after(self, seconds: float) -> float:
        """When its group is looked at for the first time after so many seconds from when the alert arrived."""
        if seconds < self.wait:
            return self.wait
        return self.wait + self.interval * (floor((seconds - self.wait) / self.interval) + 1)


def routes_taken(route: Mapping[str, Any], labels: Mapping[str, str], above: Taken | None = None) -> list[Taken]:
    """In the order of the configuration. `route`: the first one of it; `above`: what it inherits, else Alertmanager's defaults."""
    above = above or Taken("", 30.0, 300.0)
    here = Taken(
        route.get("receiver") or above.receiver,
        _seconds(route.get("group_wait"), above.wait),
        _seconds(route.get("group_interval"), above.interval),
    )
    found: list[Taken] = []
    for child in route.get("routes") or ():
        if _matches(child, labels):
            found += routes_taken(child, labels, here)
            if not child.get("continue"):
                break
    return found or [here]


def _seconds(said: str | None, inherited: float) -> float:
    return inherited if said is None else parse_duration(said)


def _matches(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    matchers = [found.groups() for text in route.get("matchers") or () if (found := _MATCHER.fullmatch(text))]
    asked = [(name, sign, bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)) for name, sign, quoted, bare in matchers]
    asked += [(name, "=", str(value)) for name, value in (route.get("match") or {}).items()]
    asked += [(name, "=~", str(value)) for name, value in (route.get("match_re") or {}).items()]
    return all(_is_so(labels.get(name, ""), sign, value) for name, sign, value in asked)


def _is_so(value: str, sign: str, wanted: str) -> bool:
    """As Alertmanager has it: a label that is not there is empty, and expressions are for the whole."""
    same = re.fullmatch(wanted, value) is not None if "~" in sign else value == wanted
    return same is (sign[0] == "=")
