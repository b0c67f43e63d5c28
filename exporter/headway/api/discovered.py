"""GET /api/discovered: what the rules of discovery find among the OS processes of this host, and why not."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.answers import timestamp
from headway.api.context import Context, caller, context_of, data
from headway.api.processes import single
from headway.discovery.discovery import Discovery, Seen
from headway.keys import Role
from headway.schemas.decoding import parse_params
from headway.schemas.queries import NoParams


async def list_discovered(request: Request) -> Response:
    """OS processes that match a rule of discovery: why, and which process tracks each, or why none does. Beside them the rules that
    nobody matches, and the pid files that are stale."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    who.require(Role.VIEWER)
    return data(answer(context, context.discovery, who))


def answer(context: Context, discovery: Discovery, who: Caller) -> dict[str, Any]:
    """What this caller may see of the last look; a key of a user sees what is tracked as theirs, or would be."""
    findings = discovery.findings
    shown = [one for one in discovery.seen if who.sees(_user(context, one))]
    theirs = {rule.name for rule in discovery.rules if who.sees(rule.user)}
    rules = theirs | {one.match.rule.name for one in shown}
    return {
        "looked_at": None if findings is None else timestamp(findings.at),
        "seconds": None if findings is None else findings.seconds,
        "matches": [_match(one) for one in shown],
        "rules": [
            {
                "rule": rule.name,
                "finds": str(rule),
                "matches": sum(1 for one in shown if one.match.rule.name == rule.name),
                "reason": findings.unmatched.get(rule.name) if findings is not None and rule.name in theirs else None,
            }
            for rule in discovery.rules
            if rule.name in rules
        ],
        "stale": [
            {"rule": one.rule.name, "pid_file": one.path, "pid": one.pid, "reason": one.reason}
            for one in (findings.stale if findings is not None else ())
            if one.rule.name in theirs
        ],
    }


def _match(one: Seen) -> dict[str, Any]:
    match = one.match
    return {
        "rule": match.rule.name,
        "name": match.name,
        "pid": match.process.pid,
        "create_time": match.process.create_time,
        "user": match.user,
        "command": match.command,
        "cwd": match.cwd,
        "why": list(match.why),
        "process_id": one.process_id,
        "reason": one.reason,
    }


def _user(context: Context, one: Seen) -> str | None:
    entry = None if one.process_id is None else context.registry.entries.get(one.process_id)
    return one.match.user if entry is None else entry.process.spec.user
