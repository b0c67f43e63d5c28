"""Counts tokens in lines of a transcript. Pure; looks at numbers and the name of the model, at nothing that was said.

Claude Code: a line for each part of an answer, each repeating `message.usage` of its request. Codex: `token_count` events, whose
`total_token_usage` is the sum so far. Gemini CLI: `tokens` of each message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

# Only lines that hold this are read as JSON.
MARKS: Final[Mapping[str, bytes]] = {"claude-code": b'"usage"', "codex": b'"token_count"', "gemini": b'"tokens"'}
# Parts of one answer stand close together.
REMEMBERED: Final = 200


class Count:
    """Sums of one transcript so far. `input` is what was read anew; what came out of the provider's cache is `cache_read`."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.model: str | None = None
        self._total: dict[str, int] = {}
        self._parts: dict[str, dict[str, int]] = {}  # the latest answers by id: what is said of one again replaces it

    @property
    def tokens(self) -> dict[str, int]:
        """`input`, `output`, `cache_read`; empty before the first answer."""
        found = dict(self._total)
        for part in self._parts.values():
            for name, number in part.items():
                found[name] = found.get(name, 0) + number
        return found

    def line(self, line: bytes) -> None:
        """Takes a line into account; one that is no JSON, or of another shape, says nothing."""
        if MARKS[self.agent] not in line:
            return
        try:
            given = json.loads(line)
        except (ValueError, RecursionError):
            return
        if isinstance(given, Mapping):
            {"claude-code": self._claude, "codex": self._codex, "gemini": self._gemini}[self.agent](given)

    def whole(self, content: bytes) -> None:
        """A transcript that is one JSON document with a list `messages`."""
        try:
            messages = json.loads(content)["messages"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, Mapping):
                self._gemini(message)

    def _claude(self, given: Mapping[str, Any]) -> None:
        message = _mapping(given.get("message"))
        usage = _mapping(message.get("usage"))
        # Sub-agents have transcripts of their own.
        if given.get("type") != "assistant" or given.get("isSidechain") is True or not usage:
            return
        sums = {
            "input": _number(usage, "input_tokens") + _number(usage, "cache_creation_input_tokens"),
            "output": _number(usage, "output_tokens"),
            "cache_read": _number(usage, "cache_read_input_tokens"),
        }
        self._add(str(message.get("id") or given.get("requestId") or given.get("uuid")), sums, message.get("model"))

    def _codex(self, given: Mapping[str, Any]) -> None:
        payload = _mapping(given.get("payload"))
        usage = _mapping(_mapping(payload.get("info")).get("total_token_usage"))
        if payload.get("type") != "token_count" or not usage:
            return
        cached = _number(usage, "cached_input_tokens")
        read = max(0, _number(usage, "input_tokens") - cached)
        self._parts = {"": {"input": read, "output": _number(usage, "output_tokens"), "cache_read": cached}}

    def _gemini(self, given: Mapping[str, Any]) -> None:
        usage = _mapping(given.get("tokens"))
        if not usage:
            return
        cached = _number(usage, "cached")
        sums = {
            "input": max(0, _number(usage, "input") - cached) + _number(usage, "tool"),
            "output": _number(usage, "output") + _number(usage, "thoughts"),
            "cache_read": cached,
        }
        self._add(str(given.get("id")), sums, given.get("model"))

    def _add(self, part: str, sums: dict[str, int], model: object) -> None:
        self._parts.pop(part, None)
        self._parts[part] = sums
        if isinstance(model, str) and model and not model.startswith("<"):
            self.model = model[:200]
        while len(self._parts) > REMEMBERED:
            oldest = self._parts.pop(next(iter(self._parts)))
            for name, number in oldest.items():
                self._total[name] = self._total.get(name, 0) + number


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0
