"""Ids of processes: made by a client or the server, part of a URL path, and sortable by the time they were made."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LONGEST_ID: Final = 64
ACCEPTED: Final = "1 to 64 letters, digits, _ and -"

# The last word of some path below /api/processes, now or in a later version: an id of this spelling would hide that call.
PATH_WORDS: Final = frozenset(
    {
        "all",
        "analyze",
        "batch",
        "cancel",
        "cleanup",
        "count",
        "create",
        "delete",
        "discovered",
        "ensure",
        "events",
        "export",
        "forecast",
        "forecasts",
        "groups",
        "health",
        "history",
        "kill",
        "limits",
        "list",
        "logs",
        "new",
        "output",
        "pause",
        "query",
        "ready",
        "recommend",
        "recommendations",
        "report",
        "restart",
        "resume",
        "retry",
        "run",
        "schedules",
        "search",
        "services",
        "signal",
        "snooze",
        "start",
        "start-all",
        "stats",
        "status",
        "stop",
        "stop-all",
        "stream",
        "suggest",
        "summary",
        "track",
        "tree",
        "trends",
        "update",
    }
)

_ALLOWED: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_last_stamp = 0


def new_id() -> str:
    """A UUID version 7 (RFC 9562, 36 characters): 48 bits of unix milliseconds, 12 bits of the fraction of that millisecond
    (section 6.2, method 3), 62 random bits. Ids made one after the other in this process sort in that order."""
    global _last_stamp
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    # No lock: two threads may take the same stamp, then the random bits tell their ids apart and only their order is open.
    stamp = max((milliseconds << 12) | (rest * 4096 // 1_000_000), _last_stamp + 1)
    _last_stamp = stamp
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = (stamp >> 12 & (1 << 48) - 1) << 80 | 7 << 76 | (stamp & 0xFFF) << 64 | 2 << 62 | random
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(*parts: str) -> str:
    """An id that follows from names, always the same for the same ones: of a session, by agent and the agent's own id for it."""
    whole = "-".join(parts)
    found = "".join(c if c in _ALLOWED else "-" for c in whole)
    # Two long ones that differ at their end stay two, and so do two that differ in what an id cannot hold.
    if len(found) > LONGEST_ID or (found != whole and ":" not in whole):
        from zlib import crc32

        return f"{found[: LONGEST_ID - 9]}-{crc32(whole.encode('utf-8', 'replace')):08x}"
    return found


def check_id(text: str) -> str:
    """`text` itself if it can be the id of a process; else ValueError that says what an id looks like.

    Path words are refused in any spelling of upper and lower case.
    """
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_ID or not _ALLOWED.issuperset(text):
        raise ValueError(f"an id is {ACCEPTED}")
    if text.lower() in PATH_WORDS:
        raise ValueError(f"{text} cannot be an id: it is a word of the API's paths")
    return text
