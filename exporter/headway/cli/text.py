"""Text for terminals and pipes: columns, and what others wrote made safe to print."""

from __future__ import annotations

from collections.abc import Sequence

from headway.cleaning import clean

__all__ = ["clean", "columns"]


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text, two spaces between the columns, none at the ends of lines."""
    table = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[number]) for row in table) for number in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)
