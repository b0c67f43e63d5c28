"""The file that keeps everything a command wrote, and begins anew before it becomes too large."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROTATE_AT: Final = 10_000_000  # bytes
KEPT: Final = 5  # files of one run, the present one included
KEPT_FOR: Final = 7 * 86_400.0  # s after the last word in it


def directory(environ: Mapping[str, str] = os.environ) -> Path:
    """$HEADWAY_LOG_DIR, else /var/lib/headway/logs for root, else $XDG_STATE_HOME/headway/logs (~/.local/state/headway/logs)."""
    if given := environ.get("HEADWAY_LOG_DIR"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/headway/logs")
    state = environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "headway/logs"


class LogFile:
    """Appends bytes as they came to `path`; when that has `rotate_at` bytes it becomes PATH.1, what was PATH.1 becomes PATH.2 …,
    and `kept` files remain. Not thread-safe. Every call may raise OSError."""

    def __init__(self, path: Path, rotate_at: int = ROTATE_AT, kept: int = KEPT) -> None:
        self.path = path
        self._rotate_at = rotate_at
        self._kept = kept
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._rotate_at:
            self._rotate()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._size += len(data)

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        # Output may hold what only its owner should read.
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _rotate(self) -> None:
        os.close(self._fd)
        for number in range(self._kept - 1, 0, -1):
            older = self.path if number == 1 else self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        if self._kept == 1:
            self.path.unlink(missing_ok=True)
        self._fd = self._open()
        self._size = 0

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def remove_old(folder: Path, now: float | None = None, kept_for: float = KEPT_FOR) -> None:
    """Removes log files of runs whose last word is older than that. What cannot be removed stays."""
    limit = (time.time() if now is None else now) - kept_for
    try:
        found = [*folder.glob("*.log"), *folder.glob("*.log.[0-9]")]
    except OSError:
        return
    for path in found:
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
        except OSError:
            pass
