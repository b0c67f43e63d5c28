"""The client of one command that asks an exporter on this machine: without requests, which takes longer to load than most commands
to run."""

from __future__ import annotations

import json
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from headway.cli.exchange import exchange
from headway.reporter.client import Client, Unreachable, answered
from headway.reporter.link import is_loopback, root_cause

if TYPE_CHECKING:
    import requests

TIMEOUT: Final = 10.0


def client_of(url: str, key: str | None) -> Client:
    """Of the exporter at this address. Raises Unreachable: it is no address."""
    try:
        parts = urlsplit(url)
        near = parts.scheme == "http" and is_loopback(url) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        near = False
    return Near(url, key) if near else Client(url, key)


class Answer:
    """As much of `requests.Response` as the client looks at."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status_code = status
        self.reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
        self.content = body

    def json(self) -> Any:
        return json.loads(self.content)


class Near(Client):
    """What is answered at once is fetched by hand; what is followed, and all that is no JSON, as the client does it."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url
        self.timeout = TIMEOUT
        self._key = key
        self._parts = urlsplit(url)

    @cached_property
    def _session(self) -> requests.Session:  # type: ignore[override]
        return Client(self.url, self._key)._session

    def close(self) -> None:
        if "_session" in vars(self):
            self._session.close()

    def _envelope(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        params, wait = more.get("params"), more.get("timeout") or self.timeout
        data = b"" if method == "GET" else json.dumps(more.get("json") or {}).encode()
        where = self._parts.path + path + (f"?{urlencode(params)}" if params else "")
        host, port = self._parts.hostname or "", self._parts.port or 80
        try:
            found = Answer(*exchange(host, port, method, where, data, self._key, wait))
        except TimeoutError:
            raise Unreachable(self.url, f"no answer within {wait:g} s") from None
        except (OSError, ValueError) as error:
            raise Unreachable(self.url, root_cause(error)) from None
        return answered(found)
