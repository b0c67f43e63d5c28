"""tqdm that reports: `from headway.integrations.tqdm import tqdm` instead of `from tqdm import tqdm`.

The bar is tqdm's own, with all it can do. Beside it runs a process of Headway, also where the bar is disabled.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

try:
    from tqdm import std
except ModuleNotFoundError as error:
    if error.name != "tqdm":
        raise
    raise ModuleNotFoundError("headway.integrations.tqdm needs tqdm: pip install tqdm", name="tqdm") from None

from headway.integrations.following import Following, follow

__all__ = ["tqdm", "trange"]


class tqdm(std.tqdm):  # type: ignore[type-arg]
    """Takes what tqdm takes, and `report`: what Reporter takes beside (name, type, project, timeout …), or False for no process.

    The name is `desc`, else that of the script; the description that is set later is its stage, the postfix is in its metadata. A
    bar within the loop of another is nested in it. See docs/sdk.md for how it ends.
    """

    # Of bars whose construction failed, too: tqdm closes those at the end of their life.
    _reporter: Following | None = None
    _looping = False
    _dropped = False
    _done: float = 0

    def __init__(
        self,
        iterable: Iterable[Any] | None = None,
        desc: str | None = None,
        total: float | None = None,
        *args: Any,
        report: Mapping[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(iterable, desc, total, *args, **kwargs)
        self._told = self.total
        if report is False:
            return
        unit = kwargs.get("unit", getattr(self, "unit", None))  # a disabled bar does not keep it
        bar = weakref.ref(self)

        def read() -> float | None:
            alive = bar()
            return None if alive is None else alive._done if alive._looping else alive.n

        given = report if isinstance(report, Mapping) else None
        self._reporter = follow(read, desc, self.total, None if unit == "it" else unit, self.n, given)
        if self.disable:
            self.__class__ = _Disabled

    def __iter__(self) -> Iterator[Any]:
        reporter, inner = self._reporter, super().__iter__()
        if reporter is None:
            yield from inner
            return
        done = self._done = self.n
        self._looping = True
        try:
            for item in inner:
                yield item
                done += 1
                self._done = done
                if reporter._attention is not None:
                    reporter._attend()
        except GeneratorExit:
            reporter.leave(sys._getframe().f_back)
            raise
        except BaseException as error:
            reporter.conclude(error)
            raise
        finally:
            inner.close()  # type: ignore[attr-defined]
            self._looping = False
            self.n = done
        reporter.conclude()

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        # Ten times a second at most: what changes rarely is looked at here.
        reporter = self._reporter
        if reporter is not None:
            if self.total != self._told:
                self._told = self.total
                reporter.update(total=self.total)
            if reporter._attention is not None:
                reporter._attend()
        return super().refresh(*args, **kwargs)

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
        super().set_description(desc, refresh)
        self._stage(desc)

    def set_description_str(self, desc: str | None = None, refresh: bool | None = True) -> None:
        super().set_description_str(desc, refresh)
        self._stage(desc)

    def _stage(self, desc: str | None) -> None:
        if self._reporter is not None and desc:
            self._reporter.update(stage=desc)

    def set_postfix(self, ordered_dict: Any = None, refresh: bool | None = True, **kwargs: Any) -> None:
        super().set_postfix(ordered_dict, refresh, **kwargs)
        self._said(self.postfix)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        super().set_postfix_str(s, refresh)
        self._said(s)

    def _said(self, postfix: Any) -> None:
        if self._reporter is not None:
            self._reporter.update(metadata={"postfix": postfix or None})

    def close(self) -> None:
        super().close()
        reporter = self._reporter
        if reporter is None or self._looping or reporter.ended or reporter._left is not None:
            return
        error = sys.exc_info()[1]
        complete = self.total is not None and self.n >= self.total
        # In `finally` on the way out of a failure: what that comes to is known a moment later.
        reporter.conclude(None if complete else error, sure=complete or (error is None and not self._dropped))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._reporter is not None and error is not None:
            self._reporter.conclude(error)
        super().__exit__(kind, error, trace)

    def __del__(self) -> None:
        self._dropped = True
        super().__del__()


class _Disabled(tqdm):
    """One that draws nothing. tqdm does not even count then."""

    def update(self, n: float | None = 1) -> bool | None:
        self.n += n or 0
        reporter = self._reporter
        if reporter is not None and reporter._attention is not None:
            reporter._attend()
        return None


def trange(*args: Any, **kwargs: Any) -> tqdm:
    """tqdm(range(*args), **kwargs)."""
    return tqdm(range(*args), **kwargs)
