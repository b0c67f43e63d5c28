"""Error messages without what differs from run to run, so that one error is one group. Pure and without memory: the same message
always gives the same text, whatever came before, which learned templates (drain3) cannot promise."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from headway.cleaning import brief
from headway.model import Process

LONGEST: Final = 200
GROUPS: Final = 5

# In this order: what may hold other things comes first.
_MASKS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), mask)
    for pattern, mask in (
        (r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)\]]+", "<url>"),
        (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", "<email>"),
        (r"(?<!\w)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`|«[^»\n]*»|“[^”\n]*”|‘[^’\n]*’)(?!\w)", "<value>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
        (r"(?<![\w:])\d\d?:\d\d:\d\d(?:[.,]\d+)?(?![\w:])", "<time>"),
        (r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d+)?(?![\w.])", "<address>"),
        (r"\[?(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:])\]?(?::\d+)?", "<address>"),
        (r"(?<![\w./\\-])[a-z]:\\[^\s:;,)\]\"']*", "<path>"),
        (r"(?<![\w<>])(?:~|\.{1,2})?/[^\s:;,)\]\"'=]+", "<path>"),
        (r"\b[\w.-]+(?:/[\w.-]+)+\.\w{1,5}\b", "<path>"),
        (r"\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z][a-z0-9-]*:\d{2,5}\b", "<address>"),
        (r"\b0x[0-9a-f]+\b", "<hex>"),
        (r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}\b", "<id>"),
    )
)
# A number that says which error it is, and no quantity, stays.
_NUMBER: Final = re.compile(
    r"(?P<kept>\b(?:exit(?:ed)?(?: with)?(?: code| status)?|code|status|errno|http(?:/\d\.\d)?|signal|sqlstate)"
    r"[ =:]{1,2}\(?-?\d{1,3}\b)"
    r"|(?P<number>(?<![a-z<])[-+]?\d+(?:[.,_]\d+)*(?:e[-+]?\d+)?)|(?P<inside>\d+)",
    re.IGNORECASE,
)


@lru_cache(maxsize=8192)
def normalised(message: str) -> str:
    """The message with a mask in place of each path, id, number, address, time and quoted value."""
    text = brief(telling_line(message), 4 * LONGEST)
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    text = _NUMBER.sub(lambda match: match["kept"] or "<n>", text)
    # Lists of whatever length are one.
    text = re.sub(r"(<\w+>)(?:(?:, ?| |; ?)\1)+", r"\1…", text)
    return brief(text, LONGEST)


def telling_line(message: str) -> str:
    """The line that says what was wrong: the last of a Python traceback, else the first that is not empty."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith("Traceback (most recent call last)") else lines[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """`message` normalised; `example` as it was last said, by `last_id`."""

    message: str
    count: int
    example: str
    last_id: str
    last_at: float


def groups(failed: Iterable[Process], most: int = GROUPS) -> tuple[ErrorGroup, ...]:
    """The most common errors first, of equally common ones the latest first. Who gave no error counts by how it ended."""
    found: dict[str, list[Process]] = {}
    for process in failed:
        found.setdefault(normalised(said(process)), []).append(process)
    every = []
    for message, processes in found.items():
        last = max(processes, key=lambda p: (p.finished_at or 0.0, p.id))
        example = brief(telling_line(said(last)), LONGEST)
        at = last.finished_at or 0.0
        every.append(ErrorGroup(message=message, count=len(processes), example=example, last_id=last.id, last_at=at))
    every.sort(key=lambda group: (-group.count, -group.last_at, group.message))
    return tuple(every[:most])


def said(process: Process) -> str:
    """Its error, else how it ended."""
    if process.error and process.error.strip():
        return process.error
    if process.signal is not None:
        return f"ended by signal {process.signal}"
    if process.exit_code is not None:
        return f"exit code {process.exit_code}"
    return f"{process.status}, without an error"
