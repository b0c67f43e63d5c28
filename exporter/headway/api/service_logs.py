"""The log of a service: its last lines, and each new one, over all starts of the service and all files of the log."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, Final

_BLOCK: Final = 65_536
# Between two looks at a log that is followed (s). A look at one that has not grown costs a read and a stat.
LOOK: Final = 0.25
# What is read at one look, and the longest line.
_MOST: Final = 1_048_576


def last_lines(path: Path, count: int, files: int) -> list[str]:
    """From the end of a log and, where that is too short, of the files before it. Empty when there is none yet."""
    found: list[bytes] = []
    for older in _names(path, files):
        if len(found) >= count:
            break
        try:
            with older.open("rb") as file:
                lines, rest = _tail(file, count - len(found))
        except OSError:
            continue  # not there yet, or just becoming the one before
        found = [*lines, *([rest] if rest else []), *found][-count:]
    return [_shown(line) for line in found]


async def follow(path: Path, count: int, files: int, over: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The last lines, then each new one, until `over`."""
    log = Followed(path, files)
    try:
        # Always something, so that whoever asked has an answer.
        yield b"".join(_line(line) for line in await asyncio.to_thread(log.begin, count))
        while not over():
            new = await asyncio.to_thread(log.more)
            if new:
                yield b"".join(_line(line) for line in new)
            else:
                await asyncio.sleep(LOOK)
    finally:
        log.close()


class Followed:
    """A log that is read on while it grows, and whose files become PATH.1, PATH.2 … meanwhile, `files` of them. Blocking."""

    def __init__(self, path: Path, files: int) -> None:
        self._names = _names(path, files)
        self._file: BinaryIO | None = None
        self._rest = b""

    def begin(self, count: int) -> list[bytes]:
        """The last lines that are complete; to be called first. `more` goes on after them."""
        lines: list[bytes] = []
        for older in self._names:
            if self._file is not None and len(lines) >= count:
                break
            try:
                file = older.open("rb")
            except OSError:
                continue
            before, rest = _tail(file, max(0, count - len(lines)))
            if self._file is None:
                self._file, self._rest = file, rest
            else:
                file.close()
            lines = [*before, *lines]
        return lines[-count:] if count else []

    def more(self) -> list[bytes]:
        """The lines that were completed since. Empty when there are none yet."""
        # Which comes after this file is looked for before its end is: whoever writes has then left it, and it grows no more.
        following = self._following()
        read = self._file.read(_MOST) if self._file is not None else b""
        if not read and following is not None:
            self.close()
            self._file = following
            following, read = None, self._file.read(_MOST)
        if following is not None:
            following.close()
        *lines, self._rest = (self._rest + read).split(b"\n")
        if len(self._rest) > _MOST:
            lines, self._rest = [*lines, self._rest], b""
        return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _following(self) -> BinaryIO | None:
        """The file after the present one, which may have been moved on several times; None when that is still the last."""
        mine = None if self._file is None else _identity(os.fstat(self._file.fileno()))
        known = [(name, identity) for name in self._names if (identity := _identity_of(name)) is not None]
        newer = known[: next((index for index, (_, identity) in enumerate(known) if identity == mine), None)]
        if not newer:
            return None
        name, identity = newer[-1]
        try:
            file = name.open("rb")
        except OSError:
            return None
        if _identity(os.fstat(file.fileno())) != identity:  # moved on in between; the next look finds it
            file.close()
            return None
        return file


def _names(path: Path, files: int) -> list[Path]:
    """Newest first."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, files))]


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _tail(file: BinaryIO, count: int) -> tuple[list[bytes], bytes]:
    """The last lines that are complete, and what follows them. The file is then read to its end."""
    end = at = file.seek(0, os.SEEK_END)
    text = b""
    while at and text.count(b"\n") <= count:
        step = min(_BLOCK, at)
        at -= step
        file.seek(at)
        text = file.read(step) + text
    file.seek(end)
    *lines, rest = text.split(b"\n")
    return lines[-count:] if count else [], rest


def _shown(line: bytes) -> str:
    # A bar that is drawn again and again is one line: what it showed last.
    return re.split(r"\r(?=.)", line.decode("utf-8", "replace").rstrip("\r"))[-1]


def _line(line: bytes) -> bytes:
    return f"{_shown(line)}\n".encode()
