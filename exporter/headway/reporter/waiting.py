"""`with reporter.waiting("approval of the release"):` the script stands still until a person has done something."""

from __future__ import annotations

import os

from headway.reporter.hub import hub

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from headway.reporter.reporter import Reporter


class Waiting:
    """One reason to wait. Of several at once, in threads or coroutines, the one that began last and still lasts is told; the
    process goes on when the last of them is over. A forked child that leaves the block ends nothing."""

    __slots__ = ("_owner", "_reporter", "_what")

    def __init__(self, reporter: Reporter, what: object) -> None:
        self._reporter = reporter
        self._what = what
        self._owner = 0

    def __enter__(self) -> Self:
        self._owner = os.getpid()
        with hub().lock:
            self._reporter._waits[self] = self._what
            self._tell()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._owner != os.getpid():
            return
        with hub().lock:
            self._reporter._waits.pop(self, None)
            self._tell()

    def _tell(self) -> None:
        waits = self._reporter._waits
        self._reporter._more(None, waiting_for=waits[next(reversed(waits))] if waits else "")
