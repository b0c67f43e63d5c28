"""Errors as RFC 9457 problem details. The input is never echoed, but for the name of a field."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from headway.errors import HeadwayError, TooManyTries

MEDIA_TYPE = "application/problem+json"


def problem(status: int, title: str, detail: str, field: str | None = None) -> dict[str, Any]:
    """The members of a problem: `type` is about:blank (the title says it), `field` the path of the offending field."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if field is not None:
        body["field"] = field
    return body


def of_error(error: HeadwayError) -> dict[str, Any]:
    return problem(error.status, error.title, error.detail, error.field)


def response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), body["status"], dict(headers or {}), media_type=MEDIA_TYPE)


def error_response(error: HeadwayError, basic: bool = False) -> Response:
    """`basic`: a password would do as well, and the browser may ask for one."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="headway"'
        if basic:
            headers["WWW-Authenticate"] += ', Basic realm="headway", charset="UTF-8"'
    if isinstance(error, TooManyTries):
        headers["Retry-After"] = str(error.wait)
    if error.status in (503, 507):
        headers["Retry-After"] = "2"
    return response(of_error(error), headers)


def http_response(status: int, detail: str | None, headers: Mapping[str, str] | None = None) -> Response:
    """For errors of the framework itself: no such route, wrong method."""
    title = HTTPStatus(status).phrase
    if status == 404:
        detail = "there is nothing at this address; /docs lists all calls"
    elif status == 405:
        detail = "this address does not know that method; /docs lists all calls"
    return response(problem(status, title, detail or title), headers)


def broken_off() -> Response:
    return response(problem(400, "Request broken off", "the connection ended before the body was complete"))


def internal() -> Response:
    detail = "an error inside the exporter; its log says more. Nothing that was acknowledged is lost."
    return response(problem(500, "Internal error", detail))
