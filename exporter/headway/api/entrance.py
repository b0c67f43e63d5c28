"""What a browser is answered that comes without a key or a session: the way to the page where one signs in."""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from headway.api.headers import Headers

NO_PAGES: Final = ("/api/", "/static/", "/metrics", "/health", "/ready", "/openapi.json", "/login", "/logout")
LONGEST: Final = 2000


def to_login(scope: Scope, headers: Headers) -> Response | None:
    """The redirect of who opens a page; None for programs, which get a 401, and for who came with a key that is wrong."""
    if not opens_a_page(scope, headers) or "authorization" in headers:
        return None
    return RedirectResponse(f"/login?next={quote(address(scope))}", 303, {"Cache-Control": "no-store", "Vary": "Accept, Cookie"})


def again(scope: Scope, headers: Headers) -> Response | None:
    """For who follows a link on another site (a chat, a mail): the browser keeps the cookie of a session back then, because it is
    SameSite=strict. The answer is a page that loads itself once more, now from our own site, and the cookie comes along."""
    if headers.get("sec-fetch-site") != "cross-site" or headers.get("sec-fetch-mode") != "navigate":
        return None
    if not opens_a_page(scope, headers) or "authorization" in headers:
        return None
    where = escape(address(scope), quote=True)
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Headway</title>'
        f'<meta http-equiv="refresh" content="0; url={where}"></head><body><a href="{where}">Go on</a></body></html>'
    )
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return HTMLResponse(
        html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
    )


def opens_a_page(scope: Scope, headers: Headers) -> bool:
    path = scope["path"]
    return scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", "") and not path.startswith(NO_PAGES)


def address(scope: Scope) -> str:
    """Path and query of a request, as a local address."""
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~-._")
    query = scope["query_string"].decode("ascii", "replace")
    return local(f"{path}?{query}" if query else path)


def local(address: str) -> str:
    """The address if it is one of this exporter's pages, else /: nobody may be sent elsewhere by a link to the sign-in page."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    plain = len(address) <= LONGEST and "\\" not in address and all(33 <= ord(character) < 127 for character in address)
    here = address.startswith("/") and not address.startswith("//") and not parts.scheme and not parts.netloc
    return address if plain and here and not parts.path.startswith(NO_PAGES) else "/"
