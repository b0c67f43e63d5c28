"""What is asked of the exporter of this clone: how its services are, that they start, that they end."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stack.layout import Layout
from stack.osprocess import OSProcess
from stack.problem import Problem
from stack.service import answers

_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Supervised:
    """A service of the exporter as its files tell it, whether the exporter runs or not. `process`: None when it does not run."""

    name: str
    url: str
    ready: str
    wanted: bool
    process: OSProcess | None

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def is_ready(self) -> bool:
        return answers(self.ready)


def supervised(layout: Layout) -> dict[str, Supervised]:
    """All that the last `up` made services of the exporter, by name."""
    found = {}
    configured, known, alive = _json(layout.services), _json(layout.memory), kept(layout)
    for name, facts in configured.get("services", {}).items():
        remembered = known.get("services", {}).get(name, {})
        url = f"http://127.0.0.1:{facts['port']}"
        wanted = remembered.get("wanted") is not False and bool(known)
        found[name] = Supervised(name, url, facts["health"]["http"], wanted, alive.get(name))
    return found


def kept(layout: Layout) -> dict[str, OSProcess]:
    """The OS processes of all services of the exporter that live, the user's own too, by name."""
    found = {}
    for name, facts in _json(layout.memory).get("services", {}).items():
        pid, create_time = facts.get("pid"), facts.get("create_time")
        process = OSProcess.born(pid, create_time) if pid and create_time else None
        if process is not None:
            found[name] = process
    return found


class Unanswered(Exception):
    """Nobody that could be asked is there."""


def call(layout: Layout, url: str, path: str, body: Mapping[str, Any], timeout: float) -> Any:
    """A POST with the key of this clone. Raises Unanswered, Problem with what the exporter says."""
    try:
        key = (layout.state / "exporter/admin.key").read_text().strip()
    except OSError as error:
        raise Unanswered(f"the key cannot be read: {error}") from None
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/api/processes/{path}", json.dumps(body).encode(), headers)
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            said = error.read().decode(errors="replace")
        if error.code in (401, 403, 404, 405):  # somebody else has its port
            raise Unanswered(said) from None
        raise Problem(_detail(said)) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise Unanswered(str(error)) from None


def _detail(text: str) -> str:
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        return text


def _json(path: Any) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
