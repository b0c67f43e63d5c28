"""What reporters call all day, answered between two reads of the socket: no task, no messages, no waiting.

Only what needs nothing but memory and is right in every respect: updates of known processes that leave their status alone, one by
one or in batches. For everything else (what must be durable before it is answered, what is wrong, what is written unusually) the
answer is None, nothing has changed, and the request goes the way of all others, where the same functions answer it or say what is
wrong with it.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import Scope

from headway.api import reports
from headway.api.access import Guard
from headway.api.context import Context
from headway.api.direct import BATCH, DURABLE, ONE
from headway.errors import HeadwayError

log = logging.getLogger(__name__)

_ONE: Final = ONE.removesuffix("{id}").encode()
_BATCH: Final = BATCH.encode()


class AtOnce:
    """Called by :class:`headway.api.protocol.Protocol`, on the event loop, with method, target, scope and the whole body."""

    def __init__(self, guard: Guard, context: Context) -> None:
        self.guard = guard
        self.context = context

    def __call__(self, method: bytes, target: bytes, scope: Scope, body: bytes) -> bytes | None:
        started = time.perf_counter()
        try:
            if method == b"PATCH" and target.startswith(_ONE):
                answer = self.one(target[len(_ONE) :], scope, body)
            elif method == b"POST" and target == _BATCH:
                answer = self.batch(scope, body)
            else:
                return None
        except HeadwayError:
            return None
        except Exception:
            log.exception("a report could not be answered at once")
            return None
        if answer is not None:
            name, route = ("PATCH", ONE) if method == b"PATCH" else ("POST", BATCH)
            self.context.own.observe_request(name, route, 200, time.perf_counter() - started)
        return answer

    def one(self, process_id: bytes, scope: Scope, body: bytes) -> bytes | None:
        who = self.guard.admitted(scope, len(body))
        # An id that is written otherwise is in nobody's hands, or it has a query.
        return None if who is None else reports.update_at_once(self.context, who, process_id.decode("latin-1"), body)

    def batch(self, scope: Scope, body: bytes) -> bytes | None:
        if DURABLE in dict(scope["headers"]):
            return None
        who = self.guard.admitted(scope, len(body))
        return None if who is None else reports.update_many_at_once(self.context, who, body)
