"""track: a reporter around a loop.

for file in track(files, name="Compress"): …
async for page in track(pages(), name="Crawl"): …
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from headway.reporter.hub import clock
from headway.reporter.reporter import Reporter

T = TypeVar("T")

# The instruction that drops the iterator when a loop is left by break or return, by the names of different versions of CPython.
_LEAVING: Final = ("POP_TOP", "POP_ITER", "END_FOR")


class Track(Generic[T]):
    """What `track` returns: iterate over it once. `reporter` is the reporter; update, advance, log … of it are here too."""

    def __init__(self, items: Iterable[T] | AsyncIterable[T], reporter: Reporter, begin: float) -> None:
        self.reporter = reporter
        self._items: Any = items
        self._begin = begin

    def __iter__(self) -> Iterator[T]:
        reporter, done = self.reporter, self._begin
        try:
            for item in self._items:
                yield item
                done += 1
                reporter._current = done
        except GeneratorExit:
            _left(reporter, sys._getframe().f_back)
            raise
        except BaseException as error:
            reporter.__exit__(type(error), error, None)
            raise
        reporter.done()

    def __aiter__(self) -> AsyncIterator[T]:
        return _AsyncSteps(self._items, self.reporter, self._begin)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.reporter, name)

    def __len__(self) -> int:
        return len(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.reporter.__exit__(kind, error, trace)


class _AsyncSteps(Generic[T]):
    """Not an asynchronous generator: those are closed some time after the loop was left, from elsewhere."""

    def __init__(self, items: AsyncIterable[T], reporter: Reporter, done: float) -> None:
        self._next = items.__aiter__().__anext__
        self._reporter = reporter
        self._done = done
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        reporter = self._reporter
        try:
            if self._begun:
                self._done += 1
                reporter._current = self._done
            self._begun = False
            item: T = await self._next()
            self._begun = True
            return item
        except StopAsyncIteration:
            reporter.done()
            raise
        except BaseException as error:
            reporter.__exit__(type(error), error, None)
            raise

    def __del__(self) -> None:
        if self._reporter._final is None:
            _left(self._reporter, sys._getframe().f_back)


def track(
    items: Iterable[T] | AsyncIterable[T],
    name: str | None = None,
    type: str = "task",
    total: float | None = None,
    unit: str | None = None,
    **more: Any,
) -> Track[T]:
    """`items`, with a reporter that counts them; for `for` and `async for`. Takes what Reporter takes.

    The total is len(items) where there is one, the name that of the script. An exception of the iterable is its failure. A loop
    left by break or return is done, with how far it came as its summary; one left by an exception has failed.
    """
    if total is None:
        total = _length(items)
    reporter = Reporter(name or script(), type, total, unit, **more)
    return Track(items, reporter, more.get("current") or 0)


def _length(items: Any) -> int | None:
    try:
        return len(items)
    except Exception:
        return None


def script() -> str:
    """What the script is called: its file, of a package that is run the package, and "python" of what has no file (`-c`, a pipe, a
    prompt)."""
    path = sys.argv[0] if sys.argv else ""
    if os.path.basename(path) == "__main__.py":  # noqa: PTH119
        path = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
    return "python" if path in ("", "-", "-c") else os.path.basename(path) or "python"  # noqa: PTH119


def _left(reporter: Reporter, frame: FrameType | None) -> None:
    """The loop in `frame` was left before its end. Nothing tells an iterator why, but the instruction that its loop is at does:
    break and return drop the iterator, an exception is raised elsewhere."""
    if reporter._owner != os.getpid() or reporter._final is not None:
        return
    import opcode

    total = reporter.total
    summary = f"left after {reporter.current or 0}" + (f" of {total}" if total is not None else "")
    code, at = (b"", -1) if frame is None else (frame.f_code.co_code, frame.f_lasti)
    instruction = opcode.opname[code[at]] if 0 <= at < len(code) else ""
    if instruction in _LEAVING:
        reporter._left = (clock(), {"status": "done", "summary": summary})
    else:
        reporter._left = (clock(), {"status": "failed", "error": f"an exception ended the loop: {summary}"})
