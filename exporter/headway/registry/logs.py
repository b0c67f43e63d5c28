"""The rolling buffer of the last lines of one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from headway.schemas.fields import MAX_LINE_CHARS
from headway.store.base import LogLine


def split_lines(log: str | Iterable[str]) -> list[str]:
    """Lines as they are kept: a text is split at its line ends, a line beyond 8,192 characters is cut and says so."""
    texts = (log,) if isinstance(log, str) else log
    lines: list[str] = []
    for text in texts:
        parts = text.split("\n") if "\n" in text else [text]
        if len(parts) > 1 and not parts[-1]:
            parts.pop()
        for part in parts:
            line = part.removesuffix("\r")
            if len(line) > MAX_LINE_CHARS:
                line = f"{line[:MAX_LINE_CHARS]} … ({len(line) - MAX_LINE_CHARS} more characters cut)"
            lines.append(line)
    return lines


class LogTail:
    """At most `max_lines` lines and `max_bytes` bytes of text, the newest. Numbers count from 1 and are never used twice."""

    __slots__ = ("_bytes", "_lines", "_max_bytes", "_max_lines", "next_number")

    def __init__(self, max_lines: int, max_bytes: int, lines: Sequence[LogLine] = ()) -> None:
        self._max_lines, self._max_bytes = max_lines, max_bytes
        self._lines: deque[LogLine] = deque()
        self._bytes = 0
        self.next_number = 1
        for line in lines:
            self._push(line)

    def append(self, process_id: str, at: float, texts: Sequence[str]) -> list[LogLine]:
        """The new lines, numbered."""
        added = [LogLine(process_id, self.next_number + i, at, text) for i, text in enumerate(texts)]
        for line in added:
            self._push(line)
        return added

    def withdraw(self, numbers: Iterable[int]) -> None:
        """Takes back lines whose change could not be stored. What they pushed out of the buffer stays out."""
        gone = set(numbers)
        self._lines = deque(line for line in self._lines if line.number not in gone)
        self._bytes = sum(_size(line) for line in self._lines)

    def tail(self, count: int | None = None) -> list[LogLine]:
        """The last `count` lines (all without a count), oldest first."""
        lines = list(self._lines)
        return lines if count is None else lines[max(0, len(lines) - count) :]

    @property
    def first_number(self) -> int | None:
        return self._lines[0].number if self._lines else None

    def _push(self, line: LogLine) -> None:
        self._lines.append(line)
        self._bytes += _size(line)
        self.next_number = line.number + 1
        while len(self._lines) > self._max_lines or (self._bytes > self._max_bytes and len(self._lines) > 1):
            self._bytes -= _size(self._lines.popleft())


def _size(line: LogLine) -> int:
    return len(line.text.encode("utf-8", "surrogatepass")) + 1
