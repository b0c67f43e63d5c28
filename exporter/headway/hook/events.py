"""Events of agents that speak as Claude Code does: Claude Code itself, Codex, Gemini CLI (other names for some events)."""

from __future__ import annotations

import os

from headway.hook.shapes import SUMMARY, WAITING_LENGTH, action, creation, item, known, line, process_id, word

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
# Notifications that nothing goes on until somebody answers; versions that give them no type say so in words alone.
ASKING: Final = frozenset(
    {"permission_prompt", "elicitation_dialog", "elicitation_url_dialog", "agent_needs_input", "ToolPermission"}
)
ASKING_WORDS: Final = ("needs your", "waiting for your approval")
# Its turn is over, and the user may come back tomorrow: that is no question.
IDLE: Final = "idle_prompt"
IDLE_WORDS: Final = "waiting for your input"
ANSWERED: Final = frozenset({"elicitation_complete", "elicitation_response"})
# With these whatever was waited for is over.
GOES_ON: Final = frozenset(
    {"PreToolUse", "UserPromptSubmit", "Stop", "StopFailure", "SessionStart", "PreCompact", "ElicitationResult"}
)
# Tools that are questions to the user themselves, whatever is permitted.
QUESTIONS: Final = {
    "AskUserQuestion": "an answer to its question",
    "request_user_input": "an answer to its question",
    "ExitPlanMode": "approval of the plan",
}


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
    if name == "PermissionRequest" or (agent == "gemini" and name == "Notification" and asks(event)):
        said["metadata"] = {**said.get("metadata", {}), "asked": command(event)}
    child, kind = event.get("agent_id"), word(event.get("agent_type"))
    if not isinstance(child, str) or not child:
        return [item(session_id, made, said | waiting(agent, name, event))]
    # Its session must be there first, whichever event is delivered first. A permission that a sub-agent wants may have been told
    # of as one that the session wants, by a notification.
    part = None if kind is None else creation(f"{title}: {kind}", agent, event.get("cwd"), session_id)
    waits = waiting(agent, name, event)
    return [
        item(session_id, made, known(waited_for=waits.get("waited_for"))),
        item(process_id(agent, session, child), part, said | waits),
    ]


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
        stage = WAITING if asks(event) or rests(event) else None
        said = known(log=line(f"notification: {event.get('message') or ''}"), stage=stage)
    elif name in ("PermissionRequest", "Elicitation"):
        said = {"stage": WAITING}
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


def waiting(agent: str, name: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Whether it waits for a person from this event on (`waiting_for`), or goes on: whatever it waited for (None), or if it waited
    for just that (`waited_for`), as of several tools at once one may be done while another needs a permission. Gemini CLI asks in
    other words than it calls the tool by: any end of one will do.

    No event tells that a permission was given: the next one that shows it is the end of the tool. What was refused is over with
    the next tool, prompt, or end of the turn. Where hooks run in the background, the beginning of a tool may be written after the
    request for its permission; the notification some seconds later says it once more.
    """
    tool = word(event.get("tool_name"))
    question = None if tool is None or agent == "gemini" else QUESTIONS.get(tool)
    wanted = question or f"permission to use {tool or 'a tool'}"
    if name == "PermissionRequest" or (name == "PreToolUse" and question is not None):
        return {"waiting_for": line(wanted, WAITING_LENGTH)}
    if name == "Elicitation":
        return {"waiting_for": line(f"an answer for {word(event.get('mcp_server_name')) or 'a tool'}", WAITING_LENGTH)}
    if name == "Notification":
        if asks(event):
            return {"waiting_for": line(asked(event), WAITING_LENGTH)}
        return {"waiting_for": None} if rests(event) or event.get("notification_type") in ANSWERED else {}
    if name in ("PostToolUse", "PostToolUseFailure", "PermissionDenied") and agent != "gemini":
        return {"waited_for": line(wanted, WAITING_LENGTH)}
    return {"waiting_for": None} if name in GOES_ON or name == "PostToolUse" else {}


def command(event: Mapping[str, Any]) -> str | None:
    """What a tool is to run, by which the exporter sees that it was allowed; None for other tools."""
    given = event.get("tool_input") or event.get("details")
    found = given.get("command") if isinstance(given, dict) else None
    words = " ".join(found) if isinstance(found, list) and all(isinstance(one, str) for one in found) else found
    return line(words) if isinstance(words, str) and words.strip() else None


def asks(event: Mapping[str, Any]) -> bool:
    """Whether a notification means that nothing goes on until the user does something."""
    kind, message = event.get("notification_type"), event.get("message")
    if isinstance(kind, str) and kind:
        return kind in ASKING
    return isinstance(message, str) and any(words in message.lower() for words in ASKING_WORDS)


def rests(event: Mapping[str, Any]) -> bool:
    """Whether a notification means that the turn is over and the next prompt is waited for."""
    kind, message = event.get("notification_type"), event.get("message")
    if isinstance(kind, str) and kind:
        return kind == IDLE
    return isinstance(message, str) and IDLE_WORDS in message.lower()


def asked(event: Mapping[str, Any]) -> str:
    """What a notification asks for: "permission to use Bash". The same words as the request for the permission has, where it is
    that; what Gemini CLI is about to do stands in the details."""
    message = str(event.get("message") or "").strip()
    _, needs, rest = message.partition(" needs your ")
    if needs and rest:
        tool = rest.partition("permission to use ")[2]
        return QUESTIONS.get(tool, rest)
    details = event.get("details")
    if isinstance(details, dict):
        for field, what in (("rootCommand", "run"), ("fileName", "change"), ("toolName", "use")):
            if told := word(details.get(field)):
                return f"permission to {what} {told}"
    return message or "an answer"


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
