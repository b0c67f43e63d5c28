"""The headers of a request, read once: the guard asks for a dozen of them, and each request passes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import overload


class Headers:
    """`raw` as ASGI has them: names in lower case. Of a repeated one the first counts, unless all are asked for."""

    __slots__ = ("_first", "_raw")

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = list(raw)
        self._first = dict(reversed(self._raw))

    def __contains__(self, name: str) -> bool:
        return name.encode("latin-1") in self._first

    def __getitem__(self, name: str) -> str:
        """Raises KeyError."""
        return self._first[name.encode("latin-1")].decode("latin-1")

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        value = self._first.get(name.encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def getlist(self, name: str) -> list[str]:
        wanted = name.encode("latin-1")
        return [value.decode("latin-1") for key, value in self._raw if key == wanted]
