"""Who calls, and what they may do: host and origin checks, the body limit and the key, for every request before any handler."""

from __future__ import annotations

import hmac
import time
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.api.caller import Caller as Caller
from headway.api.caller import caller_of as caller_of
from headway.api.entrance import again, to_login
from headway.api.headers import Headers
from headway.api.identity import Identity
from headway.api.problems import error_response
from headway.errors import Forbidden, HeadwayError, MalformedRequest, TooLarge, Unauthenticated
from headway.keys import Role
from headway.settings import Settings

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# Forms of the page, sent without a script: not JSON, and so from a browser that says where it comes from.
FORMS: Final = frozenset({"/login", "/logout"})
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
STATIC: Final = "/static/"
# How often who follows a stream is asked for again (s); a stream says something at least every 15 s.
LOOK_AGAIN: Final = 1.0
CSRF: Final = "x-headway-csrf"
# How many sets of headers are remembered to be right, and how large one may be.
PASSED: Final = 1024
PASSED_BYTES: Final = 2048
# Where a scope remembers that.
ADMITTED: Final = "headway.admitted"


class UnsupportedMediaType(HeadwayError):
    """A body that is not JSON."""

    status = 415
    title = "Unsupported media type"


class Guard:
    """ASGI middleware. Puts the Caller into scope["state"]["caller"]; refuses everything that must not reach a handler."""

    def __init__(self, app: ASGIApp, settings: Settings, identity: Identity) -> None:
        self.app = app
        self.settings = settings
        self.identity = identity
        self.hosts = LOOPBACK_NAMES | {h.lower() for h in settings.allowed_hosts} | {_host(settings.external_url)}
        # Headers that passed all checks, by themselves but for the length of the body (clients send the same again and again), and
        # whether they say nothing of who sent them.
        self._passed: dict[tuple[tuple[bytes, bytes], ...], tuple[Headers, bool]] = {}
        listen = settings.address[0].lower()
        if listen not in ("0.0.0.0", "::", ""):
            self.hosts = self.hosts | {listen}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, path = Headers(scope["headers"]), scope["path"]
        safe = scope["method"] in SAFE_METHODS
        try:
            self.check_host(headers)
            if not safe:
                self.check_origin(headers, path in FORMS)
                self.check_body(headers, FORM if path in FORMS else JSON)
                receive = self.limited(receive)
            elif self.identity.token(scope, headers) is None and (answer := again(scope, headers)) is not None:
                await answer(scope, receive, send)
                return
            if self.identity.web is not None:
                await self.identity.verify(scope, headers)
            who = self.identify(scope, headers, path, safe)
            scope.setdefault("state", {})["caller"] = who
        except HeadwayError as error:
            answer = to_login(scope, headers) if isinstance(error, Unauthenticated) else None
            await (answer or error_response(error, self.asks_for_a_password(headers)))(scope, receive, send)
            return
        await self.app(scope, receive, self.watched(scope, headers, who, send) if safe else send)

    def admitted(self, scope: Scope, length: int) -> Caller | None:
        """The caller of a request that changes something, by the same checks as any other, where it has a JSON body of `length`
        bytes and no password is to be looked up; else None. Who it is is found out anew each time: keys are revoked. Raises
        HeadwayError."""
        if self.identity.web is not None or length > self.settings.max_body_bytes:
            return None
        found: tuple[Headers, bool] | None = scope.get(ADMITTED)  # a connection that sends the same again has the same scope
        if found is None:
            found = scope[ADMITTED] = self._pass(scope)
            if found is None:
                return None
        headers, silent = found
        return self.identity.anonymous(scope) if silent else self.identify(scope, headers, "", safe=False)

    def _pass(self, scope: Scope) -> tuple[Headers, bool] | None:
        key = tuple([header for header in scope["headers"] if header[0] != b"content-length"])
        found = self._passed.get(key)
        if found is None:
            headers = Headers(key)
            if content_type(headers) != JSON:
                return None
            self.check_host(headers)
            self.check_origin(headers)
            found = headers, self.identity.says_nothing(headers)
            if sum(len(name) + len(value) for name, value in key) <= PASSED_BYTES:
                if len(self._passed) >= PASSED:
                    self._passed.clear()
                self._passed[key] = found
        return found

    def identify(self, scope: Scope, headers: Headers, path: str, safe: bool) -> Caller:
        """The caller, who for a session also proves to have read our page. Raises Unauthenticated, Forbidden."""
        if path in FORMS or path.startswith(STATIC):  # whoever cannot sign in must be able to
            try:
                return self.identity.of(scope, headers)
            except Unauthenticated:
                return Caller(Role.VIEWER)
        who = self.identity.of(scope, headers, changes=not safe)
        if not safe and who.csrf is not None and not hmac.compare_digest(headers.get(CSRF, "").encode(), who.csrf.encode()):
            raise Forbidden(
                "this request does not come from a page of this session (X-Headway-CSRF): load the page anew, then try again"
            )
        return who

    def asks_for_a_password(self, headers: Headers) -> bool:
        """Whether a browser may ask: not in the middle of a page, whose scripts know better what to do."""
        return headers.get("sec-fetch-mode", "navigate") == "navigate" and bool(self.identity.users)

    def watched(self, scope: Scope, headers: Headers, who: Caller, send: Send) -> Send:
        """`send` that ends a stream when who follows it may not any more: the key was revoked, the session is over."""
        looked, over = time.monotonic(), False

        async def watching(message: Message) -> None:
            nonlocal looked, over
            if over:
                return
            if message.get("more_body") and (now := time.monotonic()) - looked >= LOOK_AGAIN:
                looked = now
                try:
                    over = self.identity.of(scope, headers) != who
                except HeadwayError:
                    over = True
                if over:
                    message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        return watching

    def check_host(self, headers: Headers) -> None:
        """A page of another site that lets its own name point to this machine must not be answered (DNS rebinding)."""
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise MalformedRequest("exactly one Host header is needed")
        host = _host(f"//{hosts[0]}")
        if host not in self.hosts:
            raise Forbidden(f"this exporter does not answer for the host {host[:100]!r}; add it to allowed_hosts if it should")

    def check_origin(self, headers: Headers, told: bool = False) -> None:
        """A browser says where a request comes from; only our own pages may change something. `told`: it has to be said."""
        site = headers.get("sec-fetch-site")
        if site is not None and site not in ("same-origin", "none"):
            raise Forbidden("requests from other sites may not change anything here (Sec-Fetch-Site)")
        origin = headers.get("origin")
        if origin is None:
            if told and site is None:
                raise Forbidden("a browser has to say that this form is on our own page (Origin); programs send a key instead")
            return
        own = {f"http://{headers['host']}", f"https://{headers['host']}", self.settings.external_url.rstrip("/")}
        if origin not in own:
            raise Forbidden("requests of pages from another origin may not change anything here (Origin)")

    def check_body(self, headers: Headers, accepted: str) -> None:
        length = headers.get("content-length")
        empty = length == "0" or (length is None and "transfer-encoding" not in headers)
        if length is not None and (not length.isdecimal() or int(length) > self.settings.max_body_bytes):
            raise self.too_large()
        if not empty and content_type(headers) != accepted:
            what = "JSON" if accepted == JSON else "a form"
            raise UnsupportedMediaType(f"the body must be {what}: send «Content-Type: {accepted}»")

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


def content_type(headers: Headers) -> str:
    return headers.get("content-type", "").split(";")[0].strip().lower()


@lru_cache(maxsize=256)
def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
