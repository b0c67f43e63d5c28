"""What events are made into: ids that need no lookup, creations that are the same each time, lines without secrets."""

from __future__ import annotations

import json
import os

from headway.ids import derived_id as process_id

__all__ = ["LABEL", "SUMMARY", "WAITING_LENGTH", "action", "creation", "item", "known", "line", "process_id", "telling", "word"]

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

LINE: Final = 300
SUMMARY: Final = 1000
WAITING_LENGTH: Final = 160
LABEL: Final = 200
# So much of a tool's input is looked at; what is shown of it is shorter.
LOOKED_AT: Final = 2000
# An agent that waits for its user says nothing: after so long it counts as lost, until it says something again (s).
LEASE: Final = 2 * 3600.0
STUCK_AFTER: Final = 30 * 60.0
# What tells most about a tool call, best first.
_TELLING: Final = (
    *("command", "cmd", "description", "file_path", "path", "absolute_path", "pattern", "query", "url", "task", "label"),
)


def creation(name: str, agent: str, cwd: object, parent_id: str | None) -> dict[str, Any]:
    """The same facts for each event of a session, so that whichever comes first creates it and the others change nothing."""
    folder = cwd if isinstance(cwd, str) else None
    project = os.environ.get("HEADWAY_PROJECT") or (os.path.basename(folder.rstrip("/\\")) if folder else None)  # noqa: PTH119
    made: dict[str, Any] = {"name": name, "type": "subagent", "agent": agent, "lease": LEASE}
    made["thresholds"] = {"stuck_after": STUCK_AFTER}
    for field, value in (
        ("project", project),
        ("task", os.environ.get("HEADWAY_TASK")),
        ("cwd", folder),
        ("parent_id", parent_id),
        ("host", os.uname().nodename if hasattr(os, "uname") else None),
    ):
        if value:
            made[field] = value[:LABEL] if field != "cwd" else value[:4000]
    return made


def action(tool: object, given: object) -> str:
    """ "Bash: make test", on one line."""
    return line(f"{word(tool) or 'tool'}: {telling(given)}")


def telling(given: object) -> str:
    if isinstance(given, dict):
        found = next((given[name] for name in _TELLING if given.get(name)), given)
        given = " ".join(map(str, found)) if isinstance(found, list) else found
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
    return text[:LOOKED_AT]


def line(text: object, longest: int = LINE) -> str:
    """One line without secrets, cut."""
    from headway.masking import mask_command  # its patterns take longer than all the rest: only where there is text

    found = " ".join(mask_command(str(text)[: LOOKED_AT + LABEL]).split())
    return found if len(found) <= longest else f"{found[: longest - 1]}…"


def word(value: object) -> str | None:
    """A short label: a tool, a model, a type of agent."""
    return " ".join(value.split())[:LABEL] or None if isinstance(value, str) else None


def known(**facts: object) -> dict[str, object]:
    return {name: value for name, value in facts.items() if value is not None}


def item(process: str, made: Mapping[str, Any] | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """One item of a batch: its creation if it may be new, and what the event says about it."""
    found: dict[str, Any] = {"id": process, "age": 0.0}
    if made is not None:
        found["create"] = made
    return found | (dict(said) or {"alive": True})
