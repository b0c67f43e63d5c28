"""Following: a reporter that is not told how far the work is, but asks when it sends: a bar that counts pays nothing for it."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FrameType
from typing import Any, Final

from headway.reporter.ending import final_of
from headway.reporter.hub import clock, hub
from headway.reporter.reporter import Reporter
from headway.reporter.tracking import _left, script

# Bars within one bar that are processes of their own; a loop over thousands of short ones shall not fill the history.
MOST_NESTED: Final = 100
_INHERITED: Final = ("user", "project", "task", "attempt", "agent", "group")
_open = threading.local()


class Following(Reporter):
    """`read` says how far the work is; None: as far as it was. It is called by the background thread about once a second."""

    __slots__ = ("_kept", "_read", "nested")

    def __init__(self, read: Callable[[], Any], name: str, *args: Any, **more: Any) -> None:
        self._read: Callable[[], Any] | None = read
        self._kept: Any = None
        self.nested = 0
        super().__init__(name, *args, **more)

    @property
    def _current(self) -> Any:
        found = None if self._read is None else self._read()
        return self._kept if found is None else found

    @_current.setter
    def _current(self, value: Any) -> None:
        self._kept = value
        if self._attention is not None:
            self._attend()

    def freeze(self) -> None:
        """From now on it is as far as it is now: whom it asked is going."""
        self._kept, self._read = self._current, None

    def leave(self, frame: FrameType | None) -> None:
        """The loop in `frame` over this bar was left before its end."""
        self.freeze()
        _forget(self)
        _left(self, frame)

    def conclude(self, error: BaseException | None = None, *, sure: bool = True) -> None:
        """The bar is over. `sure`: said by the script; else an exception that ends the script within a second counts more."""
        self.freeze()
        _forget(self)
        if self.ended or self._owner != os.getpid():
            return
        if error is not None and sure:
            self.__exit__(type(error), error, None)
            return
        total, current = self.total, self.current or 0
        summary = f"left after {current:g} of {total:g}" if _less(current, total) else None
        if error is not None:
            self._left = (clock(), final_of(error)[0])
        elif sure:
            self.done(summary)
        else:
            self._left = (clock(), {"status": "done", "summary": summary})


def follow(
    read: Callable[[], Any], name: str | None, total: Any, unit: str | None, begin: float, report: Mapping[str, Any] | None
) -> Following | None:
    """A process for a bar, nested in the one that is open in this thread; None where that has too many already.

    `name` is what the bar is called, `begin` where it begins (above 0 it is resumed), `report` what Reporter takes beside.
    """
    given = dict(report or {})
    above = innermost()
    if above is not None:
        above.nested += 1
        if above.nested > MOST_NESTED:
            if above.nested == MOST_NESTED + 1:
                above.log(f"more than {MOST_NESTED} bars in this one: those that follow are not reported")
            return None
        given.setdefault("parent_id", above.id)
        for field in _INHERITED:
            given.setdefault(field, above._given[field])
        given.setdefault("url", above._url)
        given.setdefault("key", above._key)
    called = given.pop("name", None) or (name or "").strip(" \t:.…") or (f"{above.name}, nested" if above else script())
    if begin:
        given.setdefault("current", begin)
    known = _known()
    for field in [field for field in given if field not in known]:
        del given[field]
        hub().complain(f"{field} in report of {called!r} ignored: Reporter takes {', '.join(sorted(known))}")
    reporter = Following(read, called, given.pop("type", "task"), given.pop("total", total), given.pop("unit", unit), **given)
    _stack().append(reporter)
    return reporter


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """What Reporter takes by name."""
    return frozenset(inspect.signature(Reporter.__init__).parameters) - {"self"}


def innermost() -> Following | None:
    """The bar that was opened last in this thread, and is open."""
    stack = _stack()
    while stack and stack[-1].ended:
        stack.pop()
    return stack[-1] if stack else None


def _stack() -> list[Following]:
    found: list[Following] = _open.__dict__.setdefault("bars", [])
    return found


def _forget(reporter: Following) -> None:
    stack = _stack()
    if reporter in stack:
        stack.remove(reporter)


def _less(current: Any, total: Any) -> bool:
    try:
        return total is not None and current < total
    except TypeError:
        return False
