"""Text for terminals and pipes: columns, and what others wrote made safe to print."""

from __future__ import annotations

import re
from collections.abc import Sequence

# C0 but for the tab, DEL, C1, line and paragraph separators, and the marks that turn the direction of text: a name or a line of
# output must not be able to move the cursor, change the title or hide what follows.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def clean(text: object) -> str:
    """One line that is safe to print: colours and other terminal sequences go, other control characters become a space."""
    found = text if isinstance(text, str) else str(text)
    return _CONTROL.sub(" ", _ESCAPES.sub("", found))


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text, two spaces between the columns, none at the ends of lines."""
    table = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[number]) for row in table) for number in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
