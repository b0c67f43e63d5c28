"""What a terminal would show of a stream of text: lines for a log, and the states of lines that are drawn again and again.

Not an emulation of a terminal: it follows what progress bars use (carriage return, backspace, moves and erasures of the cursor, a
status line at a saved position) and drops every other escape and control character. Memory is bounded: a line by LONGEST_LINE, the
lines that can still be redrawn by HIGHEST, an escape by what ESCAPE accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

LONGEST_LINE: Final = 4096  # a longer one goes on as another line
HIGHEST: Final = 64  # rows that a program may go up to redraw them
ASIDE: Final = -1_000_000  # number of the status line
QUIET: Final = 64  # new lines without a move upwards, after which nobody redraws those above

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[(?P<arguments>[0-?]{0,64})[ -/]{0,4}(?P<final>[@-~])"
    r"|[\]PX^_](?P<string>[^\x07\x1b\n]{0,2048})(?:\x07|\x1b\\)"
    r"|[ -/]{0,4}(?P<short>[0-OQ-WYZ`-~]))"
)
# The beginning of an escape at the end of what has arrived so far.
_CUT: Final = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}|[\]PX^_][^\x07\x1b\n]{0,2048}\x1b?|[ -/]{0,4})?\Z")
_FURTHEST_CUT: Final = 2100
_TOKEN: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f-\x9f]+|[\x00-\x1f\x7f-\x9f]")


class Row:
    """A line that may still change."""

    __slots__ = ("changed", "emitted", "redrawn", "text")

    def __init__(self, emitted: str | None = None) -> None:
        self.text = ""
        self.changed = False  # since it was last reported as seen
        self.redrawn = False
        self.emitted = emitted  # what of it is in the log already


class Screen:
    """Calls `seen(text, number of the line, redrawn)` for each finished state of a line."""

    def __init__(self, seen: Callable[[str, int, bool], None], plain: Callable[[list[str], int], None]) -> None:
        self._seen = seen
        self._plain = plain  # the same for many finished lines that were never redrawn
        self._rows = [Row()]
        self._at = 0
        self._column = 0
        self._reach = 0  # how far up the program goes to redraw
        self._quiet = 0
        self._returned = False  # a carriage return whose effect depends on what follows
        self._aside: Row | None = None  # a status line somewhere else on the terminal
        self._kept_column = 0
        self._cut = ""
        self.first = 0  # number of the first line that can still be redrawn

    @property
    def row(self) -> Row:
        return self._rows[self._at] if self._aside is None else self._aside

    @property
    def number(self) -> int:
        return ASIDE if self._aside else self.first + self._at

    @property
    def fresh(self) -> str:
        """What was written since the cursor returned and is not yet reported as seen."""
        row = self.row
        return (row.text if self._returned else row.text[: self._column]) if row.changed else ""

    def feed(self, text: str) -> list[str]:
        lines: list[str] = []
        text = self._cut + text
        self._cut = ""
        if "\x1b" in text:
            if cut := _CUT.search(text, max(0, len(text) - _FURTHEST_CUT)):
                self._cut = text[cut.start() :]
                text = text[: cut.start()]
            coloured, colours = _COLOUR.subn("", text)
            if colours == text.count("\x1b"):  # otherwise what is left could join to another escape
                text = coloured
        if "\r\n" in text:
            text = text.replace("\r\n", "\n")
        if not text:
            return lines
        if self._is_simple() and not _CONTROL.search(text):
            self._feed_plain(text, lines)
            return lines
        for token in _split(text):
            self._take(token, lines)
        return lines

    def close(self) -> list[str]:
        lines: list[str] = []
        for token in _split(self._cut):
            self._take(token, lines)
        self._cut = ""
        self._returned = False
        self._leave_aside()
        self._report(self.row.redrawn)
        if not self._rows[-1].text:
            self._rows.pop()  # the text ended with a new line
        while self._rows:
            self._emit(lines)
        self._rows = [Row()]
        self._at = self._column = 0
        return lines

    def _is_simple(self) -> bool:
        at_end = len(self._rows) == 1 and self._column == len(self._rows[0].text)
        return at_end and not self._reach and not self._returned and self._aside is None

    def _feed_plain(self, text: str, lines: list[str]) -> None:
        parts = text.split("\n")
        begun = self._rows[0].text or self._rows[0].redrawn or self._rows[0].emitted is not None
        if len(parts) == 1 or begun or len(max(parts, key=len)) > LONGEST_LINE:
            # What was begun is finished by itself; usually the rest is plain.
            self._write(parts[0], lines)
            for position, part in enumerate(parts[1:], 1):
                self._new_line(lines)
                if self._is_simple() and position == 1 and len(max(parts[1:], key=len)) <= LONGEST_LINE:
                    parts = parts[1:]
                    break
                self._write(part, lines)
            else:
                return
        lines += parts[:-1]
        if len(parts) > 1:
            self._plain(parts[:-1], self.first)
            self.first += len(parts) - 1
            self._quiet = min(QUIET + 1, self._quiet + len(parts) - 1)
        self._write(parts[-1], lines)

    def _take(self, token: str, lines: list[str]) -> None:
        first = token[0]
        if first == "\t" or " " <= first < "\x7f" or first >= "\xa0":
            if self._returned:
                self._return()
            self._write(token, lines)
        elif first == "\n":
            self._returned = False
            self._new_line(lines)
        elif first == "\r":
            self._returned = True
        elif first == "\b":
            if self._returned:
                self._return()
            self._redraw()
            self._column = max(0, self._column - 1)
        elif first == "\x1b" and (escape := _ESCAPE.fullmatch(token)):
            if final := escape["final"]:
                self._move(final, escape["arguments"], lines)
            elif escape["short"] == "8":
                self._leave_aside()

    def _move(self, final: str, arguments: str, lines: list[str]) -> None:
        if final not in "ABCDEFGHJKfu" or arguments[:1] in ("?", ">", "<", "="):
            return
        if self._returned:
            self._return()
        given = arguments.split(";")
        count = int(given[0][:4]) if given[0].isascii() and given[0].isdigit() else 0
        steps = max(1, count)
        if final in "CDG":
            if final != "C":
                self._redraw()
            target = {"C": self._column + steps, "D": self._column - steps, "G": steps - 1}[final]
            self._column = min(max(0, target), LONGEST_LINE)
        elif final in "AF":
            self._report(True)
            self._up(steps)
            self._column = 0 if final == "F" else self._column
        elif final in "BE":
            self._report(True)
            if self._aside is None:
                self._at = min(self._at + steps, len(self._rows) - 1)
            self._column = 0 if final == "E" else self._column
        elif final in "Hf":
            self._report(True)
            if self._aside is None:
                self._kept_column = self._column
            self._aside = Row()
            self._aside.redrawn = True
            self._column = 0
        elif final == "u":
            self._leave_aside()
        else:
            self._erase(final, count)

    def _erase(self, final: str, count: int) -> None:
        row = self.row
        if final == "K" and count == 0 and self._column >= len(row.text):
            return
        self._redraw()
        if count == 0:
            row.text = row.text[: self._column]
        elif count == 1:
            row.text = " " * min(self._column, len(row.text)) + row.text[self._column :]
        else:
            row.text = ""
        if final == "J" and count == 0 and self._aside is None:
            del self._rows[self._at + 1 :]

    def _up(self, steps: int) -> None:
        if self._aside is not None:
            return
        self._at -= min(steps, HIGHEST)
        if self._at < 0:
            missing = -self._at
            self._rows[:0] = [Row(emitted="") for _ in range(missing)]
            self.first -= missing
            self._at = 0
            del self._rows[2 * HIGHEST :]
        self._reach = max(self._reach, min(HIGHEST, len(self._rows) - 1 - self._at))
        self._quiet = 0
        self._rows[self._at].redrawn = True

    def _leave_aside(self) -> None:
        if self._aside is not None:
            self._report(True)
            self._aside = None
            self._column = self._kept_column

    def _return(self) -> None:
        self._returned = False
        self._redraw()
        self._column = 0

    def _redraw(self) -> None:
        self._report(True)
        self.row.redrawn = True

    def _report(self, redrawn: bool) -> None:
        row = self.row
        if row.changed:
            row.changed = False
            self._seen(row.text, self.number, redrawn or row.redrawn)

    def _write(self, text: str, lines: list[str]) -> None:
        row = self.row
        column = self._column
        if not text:
            return
        row.changed = True
        if column == len(row.text):
            row.text += text
        else:
            row.text = row.text[:column].ljust(column) + text + row.text[column + len(text) :]
        self._column = column + len(text)
        while len(row.text) > LONGEST_LINE:
            if row is not self._aside:
                lines.append(row.text[:LONGEST_LINE])
            row.text = row.text[LONGEST_LINE:]
            self._column = max(0, self._column - LONGEST_LINE)

    def _new_line(self, lines: list[str]) -> None:
        if self._aside is not None:
            self._leave_aside()
            return
        self._report(False)
        self._column = 0
        self._at += 1
        if self._at < len(self._rows):
            self._rows[self._at].redrawn = True
            return
        self._rows.append(Row())
        self._quiet = min(QUIET + 1, self._quiet + 1)
        if self._quiet > QUIET:
            self._reach = 0
        while len(self._rows) > self._reach + 1:
            self._emit(lines)
            self._at -= 1

    def _emit(self, lines: list[str]) -> None:
        """The first row can no longer change."""
        row = self._rows.pop(0)
        self.first += 1
        text = row.text.rstrip() if row.redrawn else row.text
        if text != row.emitted and (text or not row.redrawn):
            lines.append(text)


def _split(text: str) -> list[str]:
    """Printable runs, control characters and escapes, in order."""
    tokens: list[str] = []
    position = 0
    while position < len(text):
        found = _ESCAPE.match(text, position) if text[position] == "\x1b" else _TOKEN.match(text, position)
        token = found[0] if found else text[position]
        tokens.append(token)
        position += len(token)
    return tokens
