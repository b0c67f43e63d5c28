"""Events of OpenClaw, as integrations/openclaw passes them on: {"hook": its name, "event": …, "context": …}.

`sessions_spawn` creates a sub-agent, `sessions_list` tells about those that there are, and their end comes as `subagent_ended`.
"""

from __future__ import annotations

import json

from headway.hook.shapes import SUMMARY, action, creation, item, known, line, process_id, word

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Final

AGENT: Final = "openclaw"
TITLE: Final = "OpenClaw"
ENDS: Final = {"ok": "done", "error": "failed", "timeout": "failed", **dict.fromkeys(("killed", "reset", "deleted"), "cancelled")}
ROWS: Final = 100


def items(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an event means, as items of a batch. Empty for one that belongs to no session."""
    event, context = fields(given.get("event")), fields(given.get("context"))
    hook = given.get("hook")
    key = event.get("sessionKey") or context.get("sessionKey") or event.get("sessionId") or context.get("sessionId")
    if hook == "subagent_spawned":
        return list(spawned(event.get("childSessionKey"), context.get("requesterSessionKey"), event))
    if hook == "subagent_ended":
        return list(ended(event))
    if not isinstance(key, str) or not key:
        return []
    said: dict[str, Any] = {}
    more: list[dict[str, Any]] = []
    if hook == "session_start":
        said = {"log": "session: " + ("resumed" if event.get("resumedFrom") else "startup")}
    elif hook == "session_end":
        said = {"status": "done", "log": line(f"session ended: {event.get('reason') or 'no reason given'}")}
    elif hook == "before_tool_call":
        said = {"stage": word(event.get("toolName")), "log": action(event.get("toolName"), event.get("params"))}
    elif hook == "after_tool_call":
        said = {"stage": "thinking"}
        if event.get("error"):
            said["log"] = line(f"{word(event.get('toolName'))} failed: {event['error']}")
        elif event.get("toolName") == "sessions_spawn":
            found = result(event.get("result"))
            more = list(spawned(found.get("childSessionKey"), key, fields(event.get("params"))))
        elif event.get("toolName") == "sessions_list":
            more = list(listed(result(event.get("result")).get("sessions")))
    elif hook == "llm_output":
        said = {"metadata": known(model=word(event.get("model")), tokens=tokens(event.get("totals")))}
    return [session(key, said), *more]


def session(key: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a session and of a sub-agent differ: which one it is stands in the key."""
    if ":subagent:" in key:
        return item(process_id(AGENT, key), creation(f"{TITLE}: sub-agent", AGENT, None, None), said)
    return item(process_id(AGENT, key), creation(TITLE, AGENT, None, None), said)


def spawned(child: object, parent: object, about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not isinstance(child, str) or not child:
        return
    made = creation(f"{TITLE}: sub-agent", AGENT, None, None)
    if isinstance(parent, str) and parent:
        yield session(parent, {})
        made["parent_id"] = process_id(AGENT, parent)
    if task := about.get("task") or about.get("label"):
        made["description"] = line(task, SUMMARY)
    facts = known(model=word(about.get("resolvedModel") or about.get("model")), agent_id=word(about.get("agentId")))
    yield item(process_id(AGENT, child), made, {"metadata": facts} if facts else {})


def ended(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    key = event.get("targetSessionKey")
    if not isinstance(key, str) or not key:
        return
    outcome = str(event.get("outcome") or ("error" if event.get("error") else "ok"))
    said: dict[str, Any] = {"status": ENDS.get(outcome, "done")}
    if said["status"] == "failed":
        said["error"] = line(event.get("error") or f"{outcome}: {event.get('reason') or 'no reason given'}", SUMMARY)
    else:
        said["summary"] = line(event.get("summary") or f"{outcome}: {event.get('reason') or ''}".rstrip(": "), SUMMARY)
    yield item(process_id(AGENT, key), session(key, {})["create"], said)


def listed(rows: object) -> Iterator[dict[str, Any]]:
    """What `sessions_list` says about sub-agents: model and tokens so far."""
    for row in rows[:ROWS] if isinstance(rows, list) else ():
        about = fields(row)
        key = about.get("key")
        if isinstance(key, str) and ":subagent:" in key:
            total = about.get("totalTokens")
            facts = known(model=word(about.get("model")), tokens_total=total if isinstance(total, int) else None)
            yield session(key, {"metadata": facts} if facts else {})


def tokens(totals: object) -> dict[str, int] | None:
    """The sums that the plugin keeps: input and output of a session so far."""
    found = {way: count for way, count in fields(totals).items() if way in ("input", "output") and isinstance(count, int)}
    return found or None


def result(given: object) -> Mapping[str, Any]:
    """What a tool returned: itself, its details, or the JSON in its text."""
    found = fields(given)
    if "details" in found:
        return fields(found["details"])
    content = found.get("content")
    if isinstance(content, list) and content:
        try:
            return fields(json.loads(fields(content[0]).get("text", "")))
        except (ValueError, TypeError):
            return {}
    return found


def fields(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
