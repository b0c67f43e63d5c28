"""A running Alertmanager as it is asked from the command line: its API, version 2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from headway.errors import InvalidInput, NotFound, Unreachable

if TYPE_CHECKING:
    import requests

TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Silence:
    """`matchers` in words, as Alertmanager writes them; times are Unix seconds."""

    id: str
    matchers: str
    ends_at: float
    created_by: str
    comment: str


class Alertmanager:
    """Every call raises Unreachable, or InvalidInput with what Alertmanager said."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def status(self) -> dict[str, Any]:
        """Its version, and the configuration that it has loaded, with the secrets left out."""
        found: dict[str, Any] = self._call("GET", "/api/v2/status").json()
        return found

    def post_alerts(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        self._call("POST", "/api/v2/alerts", list(alerts))

    def silence(self, matchers: Mapping[str, str], starts_at: float, ends_at: float, created_by: str, comment: str) -> str:
        """The id of the new silence: alerts whose labels are exactly these are not sent until it ends."""
        body = {
            "matchers": [{"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in matchers.items()],
            "startsAt": moment(starts_at),
            "endsAt": moment(ends_at),
            "createdBy": created_by,
            "comment": comment,
        }
        return str(self._call("POST", "/api/v2/silences", body).json()["silenceID"])

    def silences(self) -> list[Silence]:
        """Those in force or to come, the one that ends first first."""
        found = [_silence(one) for one in self._call("GET", "/api/v2/silences").json() if one["status"]["state"] != "expired"]
        return sorted(found, key=lambda one: one.ends_at)

    def end_silence(self, silence_id: str) -> None:
        self._call("DELETE", f"/api/v2/silence/{silence_id}")

    def counts(self) -> dict[str, tuple[float, float]]:
        """By integration (slack, email, …): how many requests it has made to send messages since its start, and how many failed."""
        found: dict[str, list[float]] = {}
        pattern = r'^alertmanager_notification_requests(_failed)?_total\{(?:[^}]*,)?integration="(\w+)"[^}]*\} (\S+)$'
        for failed, integration, value in re.findall(pattern, self._call("GET", "/metrics").text, re.M):
            found.setdefault(integration, [0.0, 0.0])[bool(failed)] += float(value)
        return {name: (tried, failed) for name, (tried, failed) in found.items()}

    def _call(self, method: str, path: str, body: Any = None) -> requests.Response:
        import requests

        try:
            answer = requests.request(method, self.url + path, json=body, timeout=TIMEOUT)
        except requests.RequestException:
            raise Unreachable(
                f"no Alertmanager answers at {self.url}: start it (make up), or say where it is by --alertmanager or "
                "HEADWAY_ALERTMANAGER_URL"
            ) from None
        if answer.status_code == 404 and path.startswith("/api/v2/silence/"):
            raise NotFound("there is no such silence: headway snooze --list shows them")
        if answer.status_code >= 500 or answer.status_code == 404:
            raise Unreachable(f"{self.url} answered {answer.status_code}; is that Alertmanager? {answer.text.strip()[:200]}")
        if not answer.ok:
            raise InvalidInput(f"Alertmanager refused it: {answer.text.strip()[:300]}")
        return answer


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _silence(one: Mapping[str, Any]) -> Silence:
    words = []
    for matcher in one["matchers"]:
        sign = ("=" if matcher.get("isEqual", True) else "!") + ("~" if matcher["isRegex"] else "")
        words.append(f"{matcher['name']}{'!=' if sign == '!' else sign}{matcher['value']}")
    ends_at = datetime.fromisoformat(one["endsAt"].replace("Z", "+00:00")).timestamp()
    return Silence(one["id"], " ".join(words), ends_at, one["createdBy"], one["comment"])
