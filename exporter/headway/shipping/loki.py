"""One request to Loki's push API, and what its answer means.

`POST /loki/api/v1/push`, JSON, compressed by gzip: streams of labels, each with entries of a time in ns as text, a line, and
structured metadata. Loki answers 204; 400 when it has left some entries out for ever, and kept the others; 429 when it is told too
much at once.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import msgspec

from headway.shipping.entries import Entry, Labels

PATH: Final = "/loki/api/v1/push"
TIMEOUT: Final = (3.0, 10.0)  # s: to connect, to be answered
LONGEST_WAIT: Final = 300.0  # s; whoever asks for more is asked again earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a request: so many entries `refused` for good; whether all of it is to be sent `again`, not before `after`
    seconds; whether it is `too_large` and to be sent in halves; the `problem` in words."""

    refused: int = 0
    again: bool = False
    after: float | None = None
    too_large: bool = False
    problem: str | None = None


class Loki:
    """`secret_file` holds the password of `user`, or without a user a bearer token. It is read for every request, so that it can
    be replaced while the exporter runs. Blocking; one thread."""

    def __init__(self, url: str, tenant: str | None = None, user: str | None = None, secret_file: Path | None = None) -> None:
        import requests  # not where nothing is sent

        self._requests = requests
        self._session = requests.Session()
        self._session.trust_env = False  # nobody's ~/.netrc or proxy
        self._url = url + PATH
        self._tenant, self._user, self._secret_file = tenant, user, secret_file

    def push(self, entries: Sequence[Entry]) -> Verdict:
        """Never raises."""
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        if self._tenant:
            headers["X-Scope-OrgID"] = self._tenant
        if self._secret_file is not None:
            try:
                secret = self._secret_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                return Verdict(again=True, problem=f"loki_secret_file: {self._secret_file} cannot be read: {error}")
            if self._user:
                both = base64.b64encode(f"{self._user}:{secret}".encode()).decode()
                headers["Authorization"] = f"Basic {both}"
            else:
                headers["Authorization"] = f"Bearer {secret}"
        body = gzip.compress(encoded(entries), 1)
        try:
            answer = self._session.post(self._url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        except self._requests.RequestException as error:
            return Verdict(again=True, problem=f"Loki does not answer at {self._url}: {type(error).__name__}")
        return verdict(answer.status_code, answer.text, answer.headers.get("Retry-After"), len(entries))


def encoded(entries: Iterable[Entry]) -> bytes:
    """The body of a request: each stream's entries by time."""
    streams: dict[Labels, list[Entry]] = {}
    for entry in entries:
        streams.setdefault(entry.labels, []).append(entry)
    return msgspec.json.encode(
        {
            "streams": [
                {
                    "stream": dict(labels),
                    "values": [[str(one.ns), one.text, one.metadata] for one in sorted(found, key=lambda one: one.ns)],
                }
                for labels, found in streams.items()
            ]
        }
    )


def verdict(status: int, text: str, retry_after: str | None, count: int) -> Verdict:
    """`count`: how many entries were sent."""
    problem = f"Loki answered {status}: {' '.join(text.split())[:300]}"
    if 200 <= status < 300:
        return Verdict()
    if status == 413:
        return Verdict(too_large=True, problem=problem)
    if status in (400, 422):
        # It names how many of a stream it left out when their times were wrong; what else is wrong it does not count.
        counts = [int(found) for found in re.findall(r"total ignored: (\d+) out of \d+", text)]
        return Verdict(refused=min(count, sum(counts)) if counts else count, problem=problem)
    # Keys and addresses are mended by somebody, and everything else passes.
    return Verdict(again=True, after=waiting(retry_after), problem=problem)


def waiting(retry_after: str | None, now: datetime | None = None) -> float | None:
    """Seconds that the header asks for: a number, or a date. None when it asks for nothing that can be understood."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            at = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    return min(LONGEST_WAIT, max(0.0, seconds)) if seconds == seconds else None
