"""What others wrote, made safe to print. Pure: standard library only."""

from __future__ import annotations

import re

# C0 but for the tab, DEL, C1, line and paragraph separators, and the marks that turn the direction of text: a name or a line of
# output must not be able to move the cursor, change the title or hide what follows.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def clean(text: object) -> str:
    """One line that is safe to print: colours and other terminal sequences go, other control characters become a space."""
    found = text if isinstance(text, str) else str(text)
    return _CONTROL.sub(" ", _ESCAPES.sub("", found))


def brief(text: object, longest: int) -> str:
    """The same with single spaces, at most `longest` characters."""
    found = " ".join(clean(text).split())
    return found if len(found) <= longest else found[: longest - 1].rstrip() + "…"
