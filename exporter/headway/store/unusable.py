"""A store that cannot be used: everything it is asked to keep is refused with the reason, and it remembers nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from headway.errors import HeadwayError
from headway.model import Process, Status, Transition
from headway.store.base import Batch, Loaded, LogLine, Query


class UnusableStore:
    """Stands in for a database that could not be opened, so that metrics keep working and /ready can say why. The file is not
    touched; a restart after the repair brings everything back."""

    def __init__(self, error: HeadwayError) -> None:
        self.error = error

    def write(self, batch: Batch) -> None:
        """Raises the error that was met at the opening."""
        raise self.error

    def load(self, *, done_since: float) -> Loaded:
        return Loaded((), ())

    def get(self, process_id: str) -> Process | None:
        return None

    def list(self, query: Query) -> Sequence[Process]:
        return ()

    def children(self, parent_ids: Collection[str]) -> Sequence[Process]:
        return ()

    def lines(self, process_id: str, tail: int) -> Sequence[LogLine]:
        return ()

    def transitions(self, process_id: str) -> Sequence[Transition]:
        return ()

    def status_counts(self) -> dict[Status, int]:
        return {}

    def prune(self, *, ended_before: float, failed_before: float, keep: int) -> Sequence[str]:
        return ()

    def trim_lines(self, process_ids: Iterable[str], *, keep_lines: int, keep_bytes: int) -> None:
        """There are none."""

    def backup(self, path: Path) -> None:
        """Raises the error that was met at the opening."""
        raise self.error

    def check(self) -> str | None:
        return self.error.detail

    def size_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""
