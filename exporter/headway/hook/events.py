"""Events of agents that speak as Claude Code does: Claude Code itself, Codex, Gemini CLI (other names for some events)."""

from __future__ import annotations

import os

from headway.hook.shapes import SUMMARY, action, creation, item, known, line, process_id, word

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

TITLES: Final = {"claude-code": "Claude Code", "codex": "Codex", "gemini": "Gemini CLI"}
# Gemini CLI calls the same moments so.
_SAME: Final = {
    "BeforeAgent": "UserPromptSubmit",
    "AfterAgent": "Stop",
    "BeforeTool": "PreToolUse",
    "AfterTool": "PostToolUse",
    "PreCompress": "PreCompact",
}
WAITING: Final = "waiting for the user"
ASKING: Final = frozenset({"permission_prompt", "idle_prompt", "elicitation_dialog", "agent_needs_input", "ToolPermission"})
ASKING_WORDS: Final = ("needs your", "waiting for your", "waiting for you")


def items(agent: str, event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an event means, as items of a batch. Empty for one that belongs to no session."""
    session = event.get("session_id")
    if not isinstance(session, str) or not session:
        return []
    name = str(event.get("hook_event_name"))
    name = _SAME.get(name, name)
    title = TITLES[agent]
    session_id = process_id(agent, session)
    made = creation(title, agent, event.get("cwd"), os.environ.get("HEADWAY_PARENT_ID"))
    said = saying(name, event)
    child, kind = event.get("agent_id"), word(event.get("agent_type"))
    if not isinstance(child, str) or not child:
        return [item(session_id, made, said)]
    # Its session must be there first, whichever event is delivered first.
    part = None if kind is None else creation(f"{title}: {kind}", agent, event.get("cwd"), session_id)
    return [item(session_id, made, {}), item(process_id(agent, session, child), part, said)]


def saying(name: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the update."""
    said: dict[str, Any] = {}
    if name == "PreToolUse":
        said = {"stage": word(event.get("tool_name")), "log": action(event.get("tool_name"), event.get("tool_input"))}
    elif name == "PostToolUseFailure":
        said = {"log": line(f"{word(event.get('tool_name')) or 'tool'} failed: {event.get('error') or 'no reason given'}")}
    elif name == "PostToolUse" or name == "UserPromptSubmit":  # a prompt is the user's, and stays theirs
        said = {"stage": "thinking"}
    elif name == "Notification":
        said = known(log=line(f"notification: {event.get('message') or ''}"), stage=WAITING if waits(event) else None)
    elif name == "PreCompact":
        said = {"log": "compacts its context"}
    elif name == "Stop":
        said = {"stage": WAITING, **summary(event)}
    elif name == "StopFailure":
        said = {"stage": WAITING, "log": line(f"turn failed: {event.get('error') or event.get('error_type') or 'no reason given'}")}
    elif name == "SubagentStop":
        said = {"status": "done", **summary(event)}
    elif name == "SessionStart":
        said = {"log": line(f"session: {word(event.get('source')) or 'startup'}")}
    elif name == "SessionEnd":
        said = {"status": "done", "log": line(f"session ended: {word(event.get('reason')) or 'no reason given'}")}
    if facts := known(model=word(event.get("model")), transcript=transcript(name, event)):
        said["metadata"] = facts
    return said


def waits(event: Mapping[str, Any]) -> bool:
    """Whether a notification means that nothing goes on until the user does something. Versions that give it no type say so in
    words alone."""
    kind, message = event.get("notification_type"), event.get("message")
    if isinstance(kind, str) and kind:
        return kind in ASKING
    return isinstance(message, str) and any(words in message.lower() for words in ASKING_WORDS)


def transcript(name: str, event: Mapping[str, Any]) -> str | None:
    """Where the agent keeps what was said, told at beginnings and ends: the exporter counts tokens there."""
    if name == "SubagentStop":
        path = event.get("agent_transcript_path")
    else:
        path = event.get("transcript_path") if name in ("SessionStart", "Stop", "SessionEnd") else None
    return path if isinstance(path, str) and 0 < len(path) <= 4000 else None


def summary(event: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent said last."""
    text = event.get("last_assistant_message") or event.get("prompt_response")
    return {"summary": line(text, SUMMARY)} if isinstance(text, str) and text.strip() else {}
