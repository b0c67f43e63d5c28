"""Sessions of people who signed in on the pages: a random token in a cookie, of which only the hash is kept.

The file `sessions.json` in the data directory is a JSON list of :class:`Session`, mode 0600, replaced as a whole at each sign-in
and sign-out, so that a session outlives a restart of the exporter. A session is worth what its owner is worth now: it ends with its
key, at its time, and when its owner signs out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from headway.errors import HeadwayError
from headway.keys import Role, write_secret

log = logging.getLogger(__name__)

SESSIONS_FILE: Final = "sessions.json"
# The oldest end first: whoever holds a key may sign in as often as they like.
MOST_SESSIONS: Final = 1000
_TOKEN_LENGTH: Final = 43


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whom a session acts for. `id` names the credential (`key:<id>`, `user:<name>`); `proof` changes when it is replaced."""

    id: str
    proof: str
    name: str
    role: Role
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`token_hash`: SHA-256 of the cookie's value; `proof_hash`: of the credential it was opened with. Times in unix seconds."""

    token_hash: str
    owner_id: str
    proof_hash: str
    began_at: float
    ends_at: float


class Sessions:
    """All sessions of one exporter. `owner_of` gives who stands behind an owner's id now, None when nobody does any more.

    Lookups belong to the event loop and touch no disk; `open` and `close` write the file, may be called in any thread, and count
    from their call on, also where the file cannot be written (that is logged: then a restart forgets them, or a sign-out).
    """

    def __init__(
        self, data_dir: Path, lifetime: float, owner_of: Callable[[str], Owner | None], now: Callable[[], float] = time.time
    ) -> None:
        self.path = data_dir / SESSIONS_FILE
        self.lifetime = lifetime
        self._owner_of = owner_of
        self._now = now
        self._changing = threading.Lock()
        self._sessions: Mapping[str, Session] = self._read()

    def open(self, owner: Owner) -> str:
        """Begins a session; returns the token for the cookie."""
        token, now = secrets.token_urlsafe(32), self._now()
        fresh = Session(
            token_hash=_hash(token),
            owner_id=owner.id,
            proof_hash=_hash(owner.proof),
            began_at=now,
            ends_at=now + self.lifetime,
        )
        with self._changing:
            kept = [one for one in self._sessions.values() if self._owner(one) is not None][-(MOST_SESSIONS - 1) :]
            self._replace({one.token_hash: one for one in [*kept, fresh]})
        return token

    def find(self, token: str) -> Owner | None:
        """Who is behind this token now; None when the session is unknown or over."""
        session = self._sessions.get(_hash(token)) if len(token) == _TOKEN_LENGTH else None
        return None if session is None else self._owner(session)

    def close(self, token: str) -> None:
        """Ends a session; one that is over already is no error."""
        with self._changing:
            gone = _hash(token)
            if gone in self._sessions:
                self._replace({one.token_hash: one for one in self._sessions.values() if one.token_hash != gone})

    def _owner(self, session: Session) -> Owner | None:
        # A clock that was set back must not prolong it.
        if not session.began_at - 60 <= self._now() < session.ends_at:
            return None
        owner = self._owner_of(session.owner_id)
        return owner if owner is not None and hmac.compare_digest(_hash(owner.proof), session.proof_hash) else None

    def _replace(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = sessions
        try:
            write_secret(self.path, json.dumps([asdict(one) for one in sessions.values()], indent=1) + "\n")
        except HeadwayError as error:
            log.error("sessions of the pages do not outlive a restart: %s", error.detail)

    def _read(self) -> Mapping[str, Session]:
        """What an earlier exporter left. A file that is damaged, or that others may write, counts for nothing."""
        try:
            if self.path.stat().st_mode & 0o022:
                raise ValueError("others may write it")
            found = [_session(row) for row in json.loads(self.path.read_bytes())]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s is not used, everybody has to sign in again: %s", self.path, error)
            return {}
        return {one.token_hash: one for one in found[-MOST_SESSIONS:] if self._now() < one.ends_at <= one.began_at + self.lifetime}


def csrf_of(token: str) -> str:
    """What the pages of a session say beside the cookie. Other sites can make a browser send the cookie, but cannot read this."""
    return hmac.new(token.encode("ascii", "replace"), b"headway csrf", hashlib.sha256).hexdigest()


def _session(row: Any) -> Session:
    """Raises TypeError, ValueError."""
    found = Session(**row)
    texts = (found.token_hash, found.owner_id, found.proof_hash)
    if not all(isinstance(text, str) for text in texts) or not all(
        type(t) in (int, float) for t in (found.began_at, found.ends_at)
    ):
        raise ValueError("a session has a field of the wrong type")
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
