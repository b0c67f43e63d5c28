"""The OpenAPI document: built from the same shapes that requests are checked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headway.alerting.message import MessageIn
from headway.schemas.control import CleanupIn, EmptyIn, KillIn, KillScopeIn, ServiceIn, ServicesIn
from headway.schemas.queries import NoParams
from headway.schemas.reports import BatchIn, CreateIn, UpdateIn

REF = "#/components/schemas/{name}"
BODIES = (CreateIn, UpdateIn, BatchIn, EmptyIn, KillIn, KillScopeIn, CleanupIn, ServiceIn, ServicesIn, MessageIn)
ID_PARAMETER = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a process",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
SERVICE_PARAMETER = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The name of a configured service",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
}
RECEIVER_PARAMETER = {
    "name": "receiver",
    "in": "path",
    "required": True,
    "description": "The receiver: its secret file without the ending",
    "schema": {"type": "string", "pattern": "^[a-z]{1,20}(\\.critical)?$"},
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do"},
        "field": {"type": "string", "description": "The path of the offending field or parameter"},
    },
}


def components() -> dict[str, Any]:
    """The schemas of all request bodies, and of a problem."""
    _, schemas = msgspec.json.schema_components(BODIES, ref_template=REF)
    return {**schemas, "Problem": PROBLEM}


def parameters(shape: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The query parameters that a struct describes."""
    (schema,), defs = msgspec.json.schema_components([shape], ref_template=REF)
    own = defs[shape.__name__]
    assert schema
    return [
        {"name": name, "in": "query", "required": False, "schema": not_null(_inline(what, defs))}
        for name, what in own["properties"].items()
    ]


def not_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A query parameter is absent or has a value; it is never null."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**rest, **options[0]} if len(options) == 1 else dict(schema)


def _inline(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema without references: parameters stand outside of the components."""
    if "$ref" in schema:
        return dict(defs[schema["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in schema:
        return {**schema, "anyOf": [_inline(option, defs) for option in schema["anyOf"]]}
    return dict(schema)


def operation(
    *,
    answers: Mapping[int, str],
    body: type[msgspec.Struct] | None = None,
    body_required: bool = True,
    params: type[msgspec.Struct] = NoParams,
    media_types: Sequence[str] = ("application/json",),
    on_process: bool = False,
    on_service: bool = False,
    on_receiver: bool = False,
) -> dict[str, Any]:
    """What FastAPI cannot see in a handler that reads its request itself. `answers`: status → meaning."""
    problems = {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}}
    responses: dict[str, Any] = {}
    for status, meaning in answers.items():
        content = {media_type: {} for media_type in media_types} if status < 400 else problems
        responses[str(status)] = {"description": meaning, "content": content}
    found: dict[str, Any] = {"responses": responses, "parameters": parameters(params) if params is not NoParams else []}
    if on_process:
        found["parameters"] = [ID_PARAMETER, *found["parameters"]]
    if on_service:
        found["parameters"] = [SERVICE_PARAMETER, *found["parameters"]]
    if on_receiver:
        found["parameters"] = [RECEIVER_PARAMETER, *found["parameters"]]
    if body is not None:
        found["requestBody"] = {
            "required": body_required,
            "content": {"application/json": {"schema": {"$ref": REF.format(name=body.__name__)}}},
        }
    return found
