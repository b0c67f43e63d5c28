"""Links from the pages to Grafana, Prometheus and Alertmanager: to those that are configured, and to those that are found."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from headway.settings import Settings

LOOK_EVERY: Final = 30.0  # s
TIMEOUT: Final = 1.0
LONGEST_ANSWER: Final = 1 << 20
# The setting, what it is called, a question that only such a one answers, and a field of the answer.
PLACES: Final = (
    ("grafana_url", "Grafana", "/api/health", "database"),
    ("prometheus_url", "Prometheus", "/api/v1/status/buildinfo", "data"),
    ("alertmanager_url", "Alertmanager", "/api/v2/status", "versionInfo"),
)


class Elsewhere:
    """`configured`: the settings that somebody gave a value, whose links are shown whether it answers now or not. At a default
    address there may be nobody, or somebody else: it is asked who it is."""

    def __init__(self, settings: Settings, configured: Collection[str]) -> None:
        self._urls: dict[str, str | None] = {name: getattr(settings, name) for name, *_ in PLACES}
        self._asked = [place for place in PLACES if place[0] not in configured and self._urls[place[0]]]
        self._silent = {name for name, *_ in self._asked}

    def links(self) -> list[tuple[str, str]]:
        """Names and addresses, as far as was looked."""
        return [(title, url) for name, title, *_ in PLACES if (url := self._urls[name]) and name not in self._silent]

    async def look(self) -> None:
        """Whether who is not configured is there."""
        if self._asked:
            self._silent = await asyncio.to_thread(self._missing)

    def _missing(self) -> set[str]:
        return {name for name, _, path, word in self._asked if not _is_one(self._urls[name] or "", path, word)}


def _is_one(url: str, path: str, word: str) -> bool:
    """Whether a server answers there with JSON that has this field. Blocking."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        found = json.loads(answer.read(LONGEST_ANSWER))
        return answer.status == 200 and isinstance(found, dict) and word in found
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
