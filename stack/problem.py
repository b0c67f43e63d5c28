"""Something a person has to do something about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Problem(Exception):
    """Its text is the whole message: what is wrong, and what to do. Nothing was left half-done."""


class Problems:
    """Several, gathered, so that they are mended at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        try:
            yield
        except Problem as problem:
            self._found.append(str(problem))

    def end(self) -> None:
        """Raises Problem when there was one."""
        if self._found:
            raise Problem("\n".join(self._found)) from None
