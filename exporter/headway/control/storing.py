"""Waiting for several changes of the registry at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from headway.registry.outcome import Outcome


async def stored(changes: Iterable[Outcome]) -> None:
    """Until these changes are durable; all are waited for. Raises StoreUnavailable."""
    results = await asyncio.gather(*(c.stored for c in changes if c.stored is not None), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
