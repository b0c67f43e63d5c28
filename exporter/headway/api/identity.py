"""Who a request is from: by key, password or the session of somebody who signed in on the pages, or anonymous on this machine."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from headway.api.caller import Caller
from headway.api.headers import Headers
from headway.errors import TooManyTries, Unauthenticated
from headway.guesses import Guesses
from headway.keys import KeyRing, Role
from headway.sessions import Owner, Sessions, csrf_of
from headway.settings import Settings
from headway.webconfig.passwords import Passwords, credentials
from headway.webconfig.webfile import WebFile

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
_ANONYMOUS: Final = {role: Caller(role) for role in Role}
# What the setting `anonymous` says by itself; else keys and users decide.
_FIXED: Final[Mapping[str, Role | None]] = {"none": None, "viewer": Role.VIEWER, "reporter": Role.REPORTER}


class Identity:
    """Asked for every request. Browsers send cookies to every port of a host: exporters with different data directories have
    cookies of different names, so that signing in to one does not sign out of the other."""

    def __init__(self, settings: Settings, keys: KeyRing, web: WebFile | None = None) -> None:
        self.settings = settings
        self.keys = keys
        self.web = web
        self.passwords = Passwords()
        self.sessions = Sessions(settings.data_dir, settings.session_lifetime, self.owner)
        # Apart, so that a scrape with a wrong password keeps nobody from signing in.
        self.guesses, self.calls = Guesses(), Guesses()
        self._by_keys = settings.anonymous not in _FIXED
        self._anonymous = _FIXED.get(settings.anonymous)
        self._external = urlsplit(settings.external_url)
        self._cookie = f"headway_{hashlib.sha256(str(settings.data_dir.absolute()).encode()).hexdigest()[:8]}"

    def of(self, scope: Scope, headers: Headers, changes: bool = False) -> Caller:
        """The caller. Raises Unauthenticated; also when a session is over and the request `changes` something, because whoever
        pressed that button believes to be signed in."""
        given = headers.get("authorization")
        if given is not None:
            return self.by_authorization(given)
        token = self.token(scope, headers)
        if token is not None:
            owner = self.sessions.find(token)
            if owner is not None:
                return Caller(owner.role, owner.user, owner.name, keyed=True, signed_in=True, csrf=csrf_of(token))
            if changes:
                raise Unauthenticated("your session is over: sign in again on the page /login")
        return self.anonymous(scope if is_direct(headers) else None)

    def says_nothing(self, headers: Headers) -> bool:
        """Whether neither a key nor a session comes with them, nor a word of a proxy."""
        return "authorization" not in headers and "cookie" not in headers and is_direct(headers)

    def anonymous(self, scope: Scope | None) -> Caller:
        """Who says nothing of themselves, and came directly (None: not). Raises Unauthenticated."""
        role = self.anonymous_role() if scope is not None and is_local(scope) else None
        if role is None:
            raise Unauthenticated(
                "a key is needed here (headway key create makes one): HEADWAY_KEY, or «Authorization: Bearer KEY» by HTTP"
            )
        return _ANONYMOUS[role]

    @property
    def users(self) -> Mapping[str, str]:
        """Who may come with a password: bcrypt hashes by name, as the web configuration says it now."""
        return self.web.current().users if self.web is not None else {}

    @property
    def problem(self) -> str | None:
        """What is wrong with the web configuration; None when all is well."""
        if self.web is None:
            return None
        self.web.current()
        return self.web.problem

    async def verify(self, scope: Scope, headers: Headers) -> None:
        """Where a request comes with a password: finds out whether it is right, which takes time, so that `of` knows it. Raises
        TooManyTries."""
        given = headers.get("authorization")
        found = credentials(given) if given is not None and self.web is not None else None
        if found is None or self.passwords.known(self.users, *found):
            return
        address = scope["client"][0] if scope.get("client") else ""
        if wait := self.calls.wait(address):
            raise TooManyTries(wait)
        if not await self.passwords.check(self.users, *found):
            self.calls.failed(address)

    def by_authorization(self, given: str) -> Caller:
        found = credentials(given) if self.web is not None else None
        if found is not None:
            if not self.passwords.known(self.users, *found):
                raise Unauthenticated("user or password is wrong (basic_auth_users of the web configuration file)")
            return Caller(Role.VIEWER, None, found[0], keyed=True)
        scheme, _, text = given.partition(" ")
        key = self.keys.find(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise Unauthenticated("the key is unknown or was revoked; send «Authorization: Bearer KEY» with a valid one")
        return Caller(key.role, key.user, key.name, keyed=True)

    def anonymous_role(self) -> Role | None:
        if not self._by_keys:
            return self._anonymous
        if self.web is not None and self.users:
            return None
        return Role.VIEWER if self.keys.configured else Role.REPORTER

    def owner(self, owner_id: str) -> Owner | None:
        """Who stands behind an owner's id now."""
        kind, _, name = owner_id.partition(":")
        if kind == "user":
            proof = self.users.get(name)
            return None if proof is None else Owner(id=owner_id, proof=proof, name=name, role=Role.VIEWER)
        key = self.keys.get(name) if kind == "key" else None
        return None if key is None else Owner(id=owner_id, proof=key.hash, name=key.name, role=key.role, user=key.user)

    async def admit(self, user: str, secret: str, address: str) -> Owner:
        """Who signs in with this key, or as this user with this password. Raises Unauthenticated, TooManyTries.

        A key that is right is let in at any time: nobody can guess one, and so nobody can lock its owner out by wrong ones.
        """
        key = self.keys.find(secret.strip()) if not user else None
        owner = self.owner(f"key:{key.id}") if key is not None else None
        if owner is None and (wait := self.guesses.wait(address)):
            raise TooManyTries(wait)
        if user and await self.passwords.check(self.users, user, secret):
            owner = self.owner(f"user:{user}")
        if owner is not None:
            return owner
        self.guesses.failed(address)
        if user:
            raise Unauthenticated("User or password is wrong. Who signs in with a key leaves the user out.")
        raise Unauthenticated("This key is unknown or was revoked. «headway key list» shows those that there are.")

    # ── the cookie ─────────────────────────────────────────────────────────────────────────────────────────────────

    def cookie_name(self, secure: bool) -> str:
        # A name with this prefix can be set only over TLS, by this very host, for all of its paths (RFC 6265bis).
        return f"__Host-{self._cookie}" if secure else self._cookie

    def token(self, scope: Scope, headers: Headers) -> str | None:
        """What the cookie of a session holds, whether it is valid or not."""
        line = headers.get("cookie")
        if line is None or self._cookie not in line:
            return None
        wanted = self.cookie_name(self.is_secure(scope, headers))
        for part in line.split(";"):
            name, _, value = part.strip().partition("=")
            if name == wanted:
                return value
        return None

    def is_secure(self, scope: Scope, headers: Headers) -> bool:
        """Whether the browser came over TLS, here or up to a reverse proxy. A header that lies only makes the cookie stricter."""
        if scope.get("scheme") == "https" or headers.get("x-forwarded-proto", "").lower() == "https":
            return True
        return self._external.scheme == "https" and headers.get("host", "").lower() == self._external.netloc.lower()


def is_direct(headers: Headers) -> bool:
    """Whether nobody speaks for others: a proxy says so in a header."""
    return not any(name in headers for name in FORWARDED)


def is_local(scope: Scope) -> bool:
    """Whether the request was made on this machine, as far as the connection tells."""
    client = scope.get("client")
    return client is not None and _is_loopback(client[0])


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
