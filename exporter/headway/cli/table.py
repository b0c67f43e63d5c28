"""The table of `ps`: for terminals with colours and bars (rich), for pipes as plain columns with whole ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from headway.cli.rows import ENDED, MARKS, Row, short_ids
from headway.cli.text import columns, shortened

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

HEAD: Final = ("", "NAME", "PROGRESS", "RATE", "LEFT", "ELAPSED", "CPU", "MEMORY", "FLAGS", "ID")
# What a narrow terminal does without, step by step: (longest name, longest note, bar), columns that go.
STEPS: Final = (
    ((40, 40, 12), ()),
    ((24, 32, 12), ()),
    ((24, 16, 10), ()),
    ((24, 16, 10), ("MEMORY",)),
    ((24, 16, 10), ("MEMORY", "CPU")),
    ((24, 16, 8), ("MEMORY", "CPU", "RATE")),
    ((20, 12, 6), ("MEMORY", "CPU", "RATE", "ELAPSED")),
    ((20, 0, 0), ("MEMORY", "CPU", "RATE", "ELAPSED")),
    ((16, 0, 0), ("MEMORY", "CPU", "RATE", "ELAPSED", "ID")),
)
NAME_LEAST: Final = 6
GAP: Final = 2
PLAIN_NAME: Final = 80  # one of 512 characters would make every line as long


def plain(rows: Sequence[Row]) -> str:
    """Columns for scripts: the status in words, whole ids, and names of at most 80 characters."""
    head = ("STATUS", "NAME", "PROGRESS", "PERCENT", "RATE", "LEFT", "ELAPSED", "CPU", "MEMORY", "FLAGS", "ID")
    cells = [
        [
            cell or "-"
            for cell in (
                r.status,
                shortened("  " * r.depth + r.name, PLAIN_NAME),
                r.count,
                r.percent,
                r.rate,
                r.left,
                r.elapsed,
                r.cpu,
                r.memory,
            )
        ]
        + [r.flags or "-", r.id]
        for r in rows
    ]
    return columns(head, cells)


def table(rows: Sequence[Row], width: int, unicode: bool = True) -> Table:
    """A table that fits into `width` columns."""
    from rich.table import Table

    ids = short_ids([row.id for row in rows])
    cells, shown = _fitted(rows, ids, width, unicode)
    found = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for column in shown:
        right = column in ("RATE", "LEFT", "ELAPSED", "CPU", "MEMORY")
        cut = column in ("NAME", "PROGRESS", "FLAGS")
        least = NAME_LEAST if cut else _column_width(cells, column)
        found.add_column(column, justify="right" if right else "left", no_wrap=True, overflow="ellipsis", min_width=least)
    for row, line in zip(rows, cells, strict=True):
        found.add_row(*(line[column] for column in shown), style="dim" if row.status in ("queued", "cancelled") else None)
    return found


def _fitted(rows: Sequence[Row], ids: Mapping[str, str], width: int, unicode: bool) -> tuple[list[dict[str, Text]], list[str]]:
    """The cells of each row by column, and the columns that fit into `width`. What still does not fit is cut by the table."""

    for (name, note, bar), dropped in STEPS:
        shown = [column for column in HEAD if column not in dropped]
        cells = [dict(zip(HEAD, _cells(row, ids[row.id], unicode, name, note, bar), strict=True)) for row in rows]
        if sum(_column_width(cells, column) + GAP for column in shown) - GAP <= width:
            break
    return cells, shown


def _column_width(cells: Sequence[Mapping[str, Text]], column: str) -> int:
    return max([len(column), *(line[column].cell_len for line in cells)])


def _cells(row: Row, short: str, unicode: bool, name_max: int, note: int, bar: int) -> tuple[Text, ...]:
    from rich.text import Text

    fancy, ascii_mark, colour = MARKS.get(row.status, ("?", "?", ""))
    name = Text("  " * row.depth + row.name)
    name.truncate(name_max, overflow="ellipsis")
    flags = Text(row.flags, style="bold red" if row.alarming else "yellow" if row.flags != row.status else colour)
    return (
        Text(fancy if unicode else ascii_mark, style=colour),
        name,
        _progress(row, unicode, bar, note),
        Text(row.rate),
        Text(row.left, style="bold"),
        Text(row.elapsed),
        Text(row.cpu),
        Text(row.memory),
        flags,
        Text(short, style="dim"),
    )


def _progress(row: Row, unicode: bool, bar: int, note: int) -> Text:
    """A bar with the count and the percentage; without a total the count and the last that was said."""
    from rich.text import Text

    text = Text()
    ended = row.status in ENDED
    if row.ratio is not None and row.status != "done":
        if bar and not ended:
            filled = int(row.ratio * bar)
            full, empty = ("━", "─") if unicode else ("=", "-")
            text.append(full * filled, style=row.colour or "cyan").append(empty * (bar - filled), style="dim").append(" ")
        text.append(f"{row.count} {row.percent}")
    else:
        text.append(row.count)
    if note and row.note and (row.ratio is None or ended):
        words = Text((" " if text else "") + row.note, style="dim")
        words.truncate(note, overflow="ellipsis")
        text.append_text(words)
    return text
