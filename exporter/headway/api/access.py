"""Who calls, and what they may do: host and origin checks, the body limit and the key, for every request before any handler."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.api.headers import Headers
from headway.api.problems import error_response
from headway.errors import Forbidden, HeadwayError, MalformedRequest, TooLarge, Unauthenticated
from headway.keys import KeyRing, Role
from headway.settings import Settings

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")


class UnsupportedMediaType(HeadwayError):
    """A body that is not JSON."""

    status = 415
    title = "Unsupported media type"


@dataclass(frozen=True, slots=True)
class Caller:
    """`user`: sees only the processes of this user; None sees all. `name` is for the audit log. `keyed`: came with a key, and so
    perhaps from elsewhere; who has none is on this machine. `signed_in`: came by the cookie of a session of the pages; its requests
    that change something must carry `csrf` in the header `X-Headway-CSRF` (None: nothing of the kind is asked of this caller)."""

    role: Role
    user: str | None = None
    name: str = "anonymous"
    keyed: bool = False
    signed_in: bool = False
    csrf: str | None = None

    def require(self, role: Role) -> None:
        """Raises Forbidden unless the caller has at least this role, saying how to get it."""
        if not self.role.allows(role):
            raise Forbidden(
                f"this call needs the role {role.label}; {self.name} has {self.role.label}. "
                "Send a key of that role as «Authorization: Bearer KEY» (headway key create --role …)."
            )

    def sees(self, user: str | None) -> bool:
        return self.user is None or self.user == user


class Guard:
    """ASGI middleware. Puts the Caller into scope["state"]["caller"]; refuses everything that must not reach a handler."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: KeyRing) -> None:
        self.app = app
        self.settings = settings
        self.keys = keys
        self.hosts = LOOPBACK_NAMES | {h.lower() for h in settings.allowed_hosts} | {_host(settings.external_url)}
        listen = settings.address[0].lower()
        if listen not in ("0.0.0.0", "::", ""):
            self.hosts = self.hosts | {listen}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope["headers"])
        try:
            self.check_host(headers)
            if scope["method"] not in SAFE_METHODS:
                self.check_origin(headers)
                self.check_body(headers)
                receive = self.limited(receive)
            scope.setdefault("state", {})["caller"] = self.identify(scope, headers)
        except HeadwayError as error:
            await error_response(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def check_host(self, headers: Headers) -> None:
        """A page of another site that lets its own name point to this machine must not be answered (DNS rebinding)."""
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise MalformedRequest("exactly one Host header is needed")
        host = _host(f"//{hosts[0]}")
        if host not in self.hosts:
            raise Forbidden(f"this exporter does not answer for the host {host[:100]!r}; add it to allowed_hosts if it should")

    def check_origin(self, headers: Headers) -> None:
        """A browser says where a request comes from; only our own pages may change something."""
        site = headers.get("sec-fetch-site")
        if site is not None and site not in ("same-origin", "none"):
            raise Forbidden("requests from other sites may not change anything here (Sec-Fetch-Site)")
        origin = headers.get("origin")
        if origin is None:
            return
        own = {f"http://{headers['host']}", f"https://{headers['host']}", self.settings.external_url.rstrip("/")}
        if origin not in own:
            raise Forbidden("requests of pages from another origin may not change anything here (Origin)")

    def check_body(self, headers: Headers) -> None:
        length = headers.get("content-length")
        empty = length == "0" or (length is None and "transfer-encoding" not in headers)
        if length is not None and (not length.isdecimal() or int(length) > self.settings.max_body_bytes):
            raise self.too_large()
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if not empty and kind != "application/json":
            raise UnsupportedMediaType("the body must be JSON: send «Content-Type: application/json»")

    def too_large(self) -> TooLarge:
        return TooLarge(f"the body is over the limit of {self.settings.max_body_bytes} bytes (max_body_bytes); send it in parts")

    def limited(self, receive: Receive) -> Receive:
        """`receive` that stops reading a body which grows beyond the limit without having said so."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self.settings.max_body_bytes:
                raise self.too_large()
            return message

        return counted

    def identify(self, scope: Scope, headers: Headers) -> Caller:
        """The caller by key, or as anonymous on loopback. Raises Unauthenticated."""
        given = headers.get("authorization")
        if given is not None:
            scheme, _, text = given.partition(" ")
            key = self.keys.find(text.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                raise Unauthenticated("the key is unknown or was revoked; send «Authorization: Bearer KEY» with a valid one")
            return Caller(key.role, key.user, key.name, keyed=True)
        role = self.anonymous_role() if _is_local(scope, headers) else None
        if role is None:
            raise Unauthenticated("a key is needed here: send «Authorization: Bearer KEY» (headway key create makes one)")
        return Caller(role)

    def anonymous_role(self) -> Role | None:
        match self.settings.anonymous:
            case "none":
                return None
            case "viewer":
                return Role.VIEWER
            case "reporter":
                return Role.REPORTER
            case _:
                return Role.VIEWER if self.keys.configured else Role.REPORTER


def caller_of(scope: Any) -> Caller:
    caller: Caller = scope["state"]["caller"]
    return caller


def _is_local(scope: Scope, headers: Headers) -> bool:
    """Whether the request was made on this machine: a proxy on loopback speaks for others, and says so in a header."""
    if any(name in headers for name in FORWARDED):
        return False
    client = scope.get("client")
    return client is not None and _is_loopback(client[0])


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
