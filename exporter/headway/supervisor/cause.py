"""Why a command failed, from the last lines it wrote. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

LONGEST: Final = 500
# The exception line at the end of a Python traceback, also of one raised while handling another.
EXCEPTION: Final = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning|Fault|Timeout)\b(?::.*)?")
TRACEBACK: Final = "Traceback (most recent call last):"
# Lines by which compilers, shells, servers and package managers say what went wrong; the strongest first.
SAYS_WHY: Final = (
    re.compile(r"(?i)\b(fatal|panic|critical)\b\s*[:!\]]"),
    re.compile(r"(?i)(^|[\s\[(])(error|err!|e:)\s*[:\[\]\d]|\berror\[E\d+\]|\berror:"),
    re.compile(r"\bE(ADDRINUSE|ACCES|NOENT|CONNREFUSED|CONNRESET|NOSPC|PERM|MFILE|TIMEDOUT)\b"),
    re.compile(r"(?i)\b(command not found|no such file or directory|permission denied|out of memory|address already in use)\b"),
    re.compile(r"(?i)\b(failed|cannot|could not|unable to|exception)\b"),
)
# Says that something failed before it, not what.
SAYS_NOTHING: Final = re.compile(
    r"(?i)^(make(\[\d+\])?: \*\*\* .*|npm ERR! A complete log.*|npm ERR! *|.*exit (status|code) \d+\.?|\s*at .+|[\s=\-_*~^.]*)$"
)


def cause(lines: Sequence[str], exit_code: int | None = None) -> str | None:
    """The line among the last ones (oldest first) that says best why it failed; None when they say nothing.

    The exception of a Python traceback; else the last line of the strongest sort that names an error; else the last one with words
    in it, after the `exit_code` unless it is an exception: nothing in such a line says that it is about a failure.
    """
    told = [line.strip() for line in lines if line.strip()]
    if TRACEBACK in told:
        last = len(told) - 1 - told[::-1].index(TRACEBACK)
        for line in told[last + 1 :]:
            if EXCEPTION.fullmatch(line):
                return line[:LONGEST]
    telling = [line for line in told if not SAYS_NOTHING.match(line)]
    for pattern in SAYS_WHY:
        for line in reversed(telling):
            if pattern.search(line):
                return line[:LONGEST]
    worded = [line for line in telling if re.search(r"[^\W\d_]{2}", line)]
    if not worded:
        return None
    final = worded[-1]
    return (final if exit_code is None or EXCEPTION.fullmatch(final) else f"exit code {exit_code}: {final}")[:LONGEST]
