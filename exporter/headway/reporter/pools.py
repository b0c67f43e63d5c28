"""Connections of which a forked child keeps nothing."""

from __future__ import annotations

import os
from functools import cache
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests


class _Own(LifoQueue[Any]):
    """The idle connections of a pool. When the interpreter ends, urllib3 takes all out of each pool, for which it needs the queue's
    lock: a child that was forked at the moment when a thread of its parent had that would wait for it without end."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._of = os.getpid()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if os.getpid() != self._of:
            raise Empty
        return super().get(block, timeout)


@cache
def _kinds() -> dict[str, type]:
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    kinds = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
    return {scheme: type(kind.__name__, (kind,), {"QueueCls": _Own}) for scheme, kind in kinds.items()}


def keep_apart(session: requests.Session) -> None:
    """Lets the pools of this session, whose adapters are mounted, be of this OS process alone."""
    from requests.adapters import HTTPAdapter

    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            adapter.poolmanager.pool_classes_by_scheme = _kinds()
