"""Files of /proc that stay open between two passes: reading one costs half of opening, reading and closing it."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
_READ: Final = os.O_RDONLY | os.O_CLOEXEC
LENGTH: Final = 4096
# Of the descriptors that this process may have, this share is for files that are kept; the rest is for everything else it does.
_SHARE: Final = 0.5
NOT_KEPT: Final = -1


def default_limit() -> int:
    """How many files may be kept: half of what RLIMIT_NOFILE leaves us."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 65_536 if soft == resource.RLIM_INFINITY else int(soft * _SHARE)


class KeptFiles:
    """At most `limit` files are kept open; whoever comes later is read by path. A kept file of a process that ended answers ESRCH
    (ProcessLookupError), even when its pid has come round again.

    `on_shortage` is called when this process has no descriptor left: it must close everything that is kept. From then on fewer
    are kept.
    """

    def __init__(self, limit: int, on_shortage: Callable[[], None]) -> None:
        self.limit = limit
        self.count = 0
        self._on_shortage = on_shortage

    def open(self, path: str) -> int:
        """A descriptor to keep, or NOT_KEPT when there are enough. Raises ProcessLookupError, PermissionError."""
        if self.count >= self.limit:
            return NOT_KEPT
        kept = self._open(path)
        self.count += 1
        return kept

    def close(self, kept: int) -> None:
        if kept != NOT_KEPT:
            self.count -= 1
            os.close(kept)

    def read(self, path: str) -> bytes:
        """Its text, without keeping it. Raises ProcessLookupError, PermissionError."""
        handle = self._open(path)
        try:
            return os.read(handle, LENGTH)
        finally:
            os.close(handle)

    def names(self, path: str) -> list[str]:
        """What a folder holds. Raises ProcessLookupError, PermissionError."""
        return self._with_room(lambda: os.listdir(path), path)  # noqa: PTH208

    def _open(self, path: str) -> int:
        return self._with_room(lambda: os.open(path, _READ), path)

    def _with_room(self, opens: Callable[[], T], path: str) -> T:
        try:
            return opens()
        except FileNotFoundError as error:
            raise ProcessLookupError(path) from error
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self.count:
                raise
        self.limit = self.count // 2
        self._on_shortage()
        return self._with_room(opens, path)
