"""Signing in on the page with a key, or as a user with a password, and out again."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headway.api import pages
from headway.api.audit import Audit
from headway.api.caller import Caller
from headway.api.context import Context, caller, context_of
from headway.api.entrance import local
from headway.api.headers import Headers
from headway.durations import format_duration
from headway.errors import Forbidden, HeadwayError, InvalidInput, TooManyTries
from headway.keys import Role
from headway.sessions import Owner, csrf_of

NO_STORE: Final = {"Cache-Control": "no-store"}


async def show(request: Request) -> Response:
    """The form; for who is signed in already, who that is and the way out."""
    return form(request, local(request.query_params.get("next", "/")))


async def sign_in(request: Request) -> Response:
    """Opens a session for the owner of a key, and goes where they wanted to."""
    context, fields = context_of(request), await read(request)
    goal = local(fields.get("next", "/"))
    try:
        owner = await admit(context, request, fields)
    except HeadwayError as error:
        return form(request, goal, error)
    token = await asyncio.to_thread(context.identity.sessions.open, owner)
    answer = RedirectResponse(goal, 303, NO_STORE)
    name, secure = cookie(context, request)
    answer.set_cookie(
        name, token, int(context.settings.session_lifetime), path="/", secure=secure, httponly=True, samesite="strict"
    )
    return answer


async def admit(context: Context, request: Request, fields: dict[str, str]) -> Owner:
    """Who signs in. Raises Unauthenticated, TooManyTries, KeyFileError; each try is audited."""
    address = request.client.host if request.client else "?"
    with Audit(context, Caller(Role.VIEWER), "sign_in", f"from {address}") as audit:
        owner = await context.identity.admit(fields.get("user", ""), fields.get("key", ""), address)
        audit.who = Caller(owner.role, owner.user, owner.name)
        audit.result(f"for {format_duration(context.settings.session_lifetime)}")
    return owner


async def sign_out(request: Request) -> Response:
    """Ends the session, here and for whoever else holds its cookie."""
    context, who, fields = context_of(request), caller(request), await read(request)
    headers = Headers(request.scope["headers"])
    token = context.identity.token(request.scope, headers)
    if token is not None:
        proof = fields.get("csrf") or headers.get("x-headway-csrf", "")
        if not hmac.compare_digest(proof.encode(), csrf_of(token).encode()):
            raise Forbidden("this request does not come from a page of this session: load the page anew, then try again")
        if who.signed_in:
            with Audit(context, who, "sign_out", f"from {request.client.host if request.client else '?'}") as audit:
                await asyncio.to_thread(context.identity.sessions.close, token)
                audit.result("the session is over")
    answer = RedirectResponse("/login", 303, NO_STORE)
    name, secure = cookie(context, request)
    answer.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="strict")
    return answer


def form(request: Request, goal: str, error: HeadwayError | None = None) -> Response:
    context, who = context_of(request), caller(request)
    answer = pages.page(
        context,
        "login.html",
        "Sign in",
        "/login",
        0,
        who=who,
        goal=goal,
        users=bool(context.identity.users),
        wrong=error.detail if error else None,
    )
    if error is not None:
        answer.status_code = error.status
    if isinstance(error, TooManyTries):
        answer.headers["Retry-After"] = str(error.wait)
    return answer


def cookie(context: Context, request: Request) -> tuple[str, bool]:
    """Name of the cookie, and whether it is for TLS only."""
    secure = context.identity.is_secure(request.scope, Headers(request.scope["headers"]))
    return context.identity.cookie_name(secure), secure


async def read(request: Request) -> dict[str, str]:
    """The fields of a form, of each the first. Raises InvalidInput."""
    try:
        found = parse_qs((await request.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise InvalidInput("the form cannot be read: it has other fields than those of the page") from None
    return {name: values[0] for name, values in found.items()}
