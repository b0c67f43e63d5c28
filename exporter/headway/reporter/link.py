"""The connection to one exporter. Used by the background thread and the command line; imports requests when it is first used."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from headway.places import NO_TLS
from headway.reporter.address import find_key
from headway.reporter.trust import Trust
from headway.version import VERSION

if TYPE_CHECKING:
    import requests

USER_AGENT: Final = f"headway/{VERSION}"
# Seconds to connect, and of silence while an answer is awaited. The script never waits for either.
TIMEOUT: Final = (3.05, 10.0)
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
LONGEST_RETRY_AFTER: Final = 60.0
# Of one request; the exporter accepts 1,000 items and 4 MiB unless it was set otherwise.
MAX_ITEMS: Final = 500
MAX_BYTES: Final = 1024 * 1024


class Undelivered(Exception):
    """A request that brought nothing. `cause` is one word, to warn once of each."""

    def __init__(self, cause: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.cause = cause
        self.retry_after = retry_after


class Refused(Exception):
    """The exporter will never take this request; a smaller one may pass. `status` is 400, 413 or 422."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Link:
    """One exporter as one key sees it. `not_before` is when the next try is due, on the caller's clock. `via`: where it is reached,
    if not at the address that it is known by; `trust`: of its certificate, by default what the environment says."""

    def __init__(self, url: str, key: str | None, via: str | None = None, trust: Trust | None = None) -> None:
        self.url = url
        self.via = via or url
        self.trust = trust
        self.not_before = 0.0
        self.failures = 0
        self._given_key = key
        self._session: requests.Session | None = None

    def deliver(
        self, items: Sequence[bytes], held: Callable[[int], bool] = lambda index: False
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Sends these batch items (JSON each) in requests that fit and gives the index and result of each as it is known. Before
        each request `held` is asked which of its items are not to be sent after all; these have no result.

        A request that is refused as a whole is divided, until one wrong item is left alone with the refusal as its result.
        Raises Undelivered when the exporter cannot be reached or cannot take them now.
        """
        for part in divided(items):
            yield from self._deliver(items, part, held)

    def _deliver(
        self, items: Sequence[bytes], part: Sequence[int], held: Callable[[int], bool]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        part = [index for index in part if not held(index)]
        if not part:
            return
        try:
            results = self._post([items[index] for index in part])
        except Refused as error:
            if len(part) == 1:
                yield part[0], {"status": error.status, "error": {"detail": str(error)}}
                return
            middle = len(part) // 2
            yield from self._deliver(items, part[:middle], held)
            yield from self._deliver(items, part[middle:], held)
        else:
            yield from zip(part, results, strict=True)

    def _post(self, items: Sequence[bytes]) -> list[dict[str, Any]]:
        """The results of one request. Raises Undelivered or Refused."""
        try:
            import requests
        except ImportError:
            raise Undelivered("unreachable", "the package requests is not installed") from None
        body = b'{"items":[' + b",".join(items) + b"]}"
        try:
            session = self._session or self._open()
            # Progress comes again with the next update; a line that was acknowledged does not.
            durable = {"Headway-Durable": "1"} if any(b'"log":' in item for item in items) else {}
            url = f"{self.via}/api/processes/batch"
            answer = session.post(url, data=body, headers=durable, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            self.close()
            raise Undelivered("unreachable", f"{self.url} cannot be reached ({root_cause(error)})") from None
        except (OSError, ValueError) as error:
            self.close()
            raise Undelivered("unreachable", f"{self.url} cannot be used ({error})") from None
        if answer.status_code != 200:
            raise self._refusal(answer)
        try:
            results = answer.json()["data"]
            if len(results) != len(items) or not all(isinstance(result["status"], int) for result in results):
                raise ValueError("another number of results than items")
        except (ValueError, TypeError, KeyError):
            raise Undelivered("foreign", f"{self.url} does not answer like a Headway exporter") from None
        return list(results)

    def _open(self) -> requests.Session:
        import requests

        session = requests.Session()
        # A proxy for the outside world knows nothing of this machine's loopback.
        session.trust_env = not is_loopback(self.via)
        (self.trust or Trust.of()).mount(session)
        session.headers.update({"Content-Type": "application/json", "User-Agent": USER_AGENT})
        key = find_key(self._given_key)
        if key is not None:
            # As bytes: a key with a stray character must be refused by the exporter, not raise here.
            session.headers["Authorization"] = f"Bearer {key}".encode("utf-8", "replace")
        self._session = session
        return session

    def _refusal(self, answer: requests.Response) -> Undelivered | Refused:
        status = answer.status_code
        said = f"{self.url} answers {status}{_detail(answer)}"
        if status in (401, 403):
            self.close()  # the key file may hold a new key at the next try
            # The exporter's own words say so, those of a proxy before it do not.
            fix = "" if "HEADWAY_KEY" in said else "; set HEADWAY_KEY to a key with the role reporter"
            return Undelivered("key", f"{said.rstrip('.')}{fix}")
        if status in (400, 413, 422):
            return Refused(status, said)
        if 300 <= status < 500 and status not in (408, 429):
            return Undelivered("foreign", f"{said.rstrip('.')}; that seems to be no Headway exporter")
        return Undelivered("failing", said, retry_after=_retry_after(answer))

    def succeeded(self) -> None:
        self.failures = 0
        self.not_before = 0.0

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """Doubles the pause before the next try, up to 15 s; a random part of it keeps many reporters from coming back at once."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failures, 10))
        pause *= random.uniform(0.5, 1.0)
        if retry_after is not None:
            pause = max(pause, min(retry_after, LONGEST_RETRY_AFTER) * random.uniform(1.0, 1.2))
        self.failures += 1
        self.not_before = now + pause

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def encode(item: object) -> bytes:
    """One batch item, or a part of it, as JSON. ASCII only, so that no text of a script can make invalid UTF-8."""
    return json.dumps(item, separators=(",", ":"), allow_nan=False).encode("ascii")


def divided(items: Sequence[bytes]) -> list[range]:
    """Ranges of `items` that fit into a request each."""
    ranges: list[range] = []
    start, size = 0, 0
    for index, item in enumerate(items):
        if index > start and (index - start >= MAX_ITEMS or size + len(item) > MAX_BYTES):
            ranges.append(range(start, index))
            start, size = index, 0
        size += len(item)
    ranges.append(range(start, len(items)))
    return ranges


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def root_cause(error: BaseException) -> str:
    """The innermost reason in a chain of wrapped errors, short: "Connection refused"."""
    found: BaseException = error
    for _ in range(10):
        # The system's own words. What was being handled when it said them (__context__) has nothing to do with it.
        if isinstance(found, ConnectionError) or getattr(found, "strerror", None):
            break
        inner = getattr(found, "reason", None) or next((a for a in found.args if isinstance(a, BaseException)), None)
        inner = inner or found.__cause__ or found.__context__
        if not isinstance(inner, BaseException):
            break
        found = inner
    reason = str(getattr(found, "strerror", None) or str(found) or type(found).__name__)
    if "WRONG_VERSION_NUMBER" in reason:  # OpenSSL's words for an answer that is no TLS
        return NO_TLS
    return reason.rpartition(": ")[2][:200]


def _detail(answer: requests.Response) -> str:
    try:
        body = answer.json()
        detail = body.get("detail") or body.get("title")
    except (ValueError, AttributeError):
        return ""
    return f": {str(detail)[:300]}" if detail else ""


def _retry_after(answer: requests.Response) -> float | None:
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
