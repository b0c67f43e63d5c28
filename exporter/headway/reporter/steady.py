"""Whether a service that runs will go on running: for the clients that wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

# One with neither a port nor a health check is ready once it lives; one that ends at once should not be taken for running (s).
AT_FIRST: Final = 1.0
# After failures in a row it has to have lived longer: so much for each, at most so long (s).
AFTER_FAILURE: Final = 10.0
AT_MOST: Final = 60.0


class Steady:
    """What somebody who waits at most `wait` seconds has seen of services."""

    def __init__(self, wait: float, seen: Iterable[Mapping[str, Any]] = ()) -> None:
        self.wait = wait
        self._failures: dict[str, int] = {}
        for one in seen:
            self.failures(one)

    def failures(self, one: Mapping[str, Any]) -> int:
        """How many in a row were seen at most: a start that somebody asks for begins to count anew."""
        most = max(self._failures.get(one["name"], 0), int(one["failures"]))
        self._failures[one["name"]] = most
        return most

    def __call__(self, one: Mapping[str, Any]) -> bool:
        """Whether a service whose status is running can be counted on: it answers, or has run for a while, though no longer than is
        waited at all."""
        failures = self.failures(one)
        if one["port"] is not None or one["health"] is not None:
            return True
        needed = min(AFTER_FAILURE * failures, AT_MOST, self.wait) if failures else AT_FIRST
        return bool((one["uptime_seconds"] or 0.0) >= needed)
