"""Text for terminals and pipes: columns, and what others wrote made safe to print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from headway.cleaning import clean

__all__ = ["clean", "columns", "terminal_width", "wrapped"]

GAP: Final = 2
# No column is cut to less; what still does not fit is broken by the terminal.
LEAST: Final = 8


def terminal_width() -> int | None:
    """How wide the terminal is that stdout is; None for a pipe or a file, where nothing is to be cut."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None, whole: Sequence[str] = ()) -> str:
    """A table in plain text, two spaces between the columns, none at the ends of lines. With a `width` the widest columns are cut
    until it fits, but for those whose head is in `whole`."""
    table = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[number]) for row in table) for number in range(len(head))]
    flexible = [number for number, name in enumerate(head) if name not in whole]
    while width is not None and flexible and sum(widths) + GAP * (len(widths) - 1) > width:
        widest = max(flexible, key=lambda number: widths[number])
        if widths[widest] <= LEAST:
            break
        widths[widest] -= 1
    table = [[shortened(cell, most) for cell, most in zip(row, widths, strict=True)] for row in table]
    gap = " " * GAP
    return "\n".join(gap.join(cell.ljust(most) for cell, most in zip(row, widths, strict=True)).rstrip() for row in table)


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def wrapped(lines: Iterable[str], width: int | None, hanging: int = 2) -> Iterator[str]:
    """The lines, those that are too long for `width` broken between words; what follows is indented by so much more."""
    for line in lines:
        if width is None or len(line) <= width:
            yield line
            continue
        from textwrap import wrap

        indent = len(line) - len(line.lstrip())
        inset = " " * min(indent + hanging, max(0, width - 20))
        yield from wrap(line, width, subsequent_indent=inset, break_long_words=False, break_on_hyphens=False) or [line]
