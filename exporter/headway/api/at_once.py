"""What reporters call all day, answered without a task and the messages between server and application.

Only what is right in every respect: updates of known processes, one by one or in batches, and creations.
Progress is answered between two reads of the socket; what must be durable first, when it is. For everything else (what is wrong,
what is written unusually) nothing has changed, and the request goes the way of all others, where the same functions answer it or
say what is wrong with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Final

from starlette.responses import Response
from starlette.types import Scope

from headway.api import reports
from headway.api.access import Guard
from headway.api.context import Context
from headway.api.direct import BASE, BATCH, DURABLE, ONE
from headway.api.problems import error_response, internal
from headway.api.protocol import Reply
from headway.api.reports import Promise
from headway.errors import HeadwayError, StoreUnavailable

log = logging.getLogger(__name__)

_ONE: Final = ONE.removesuffix("{id}").encode()
_BASE: Final = BASE.encode()
_BATCH: Final = BATCH.encode()


class AtOnce:
    """Called by :class:`headway.api.protocol.Protocol`, on the event loop, with method, target, scope and the whole body. True:
    `reply` was called, or will be. False: nothing has happened."""

    def __init__(self, guard: Guard, context: Context) -> None:
        self.guard = guard
        self.context = context

    def __call__(self, method: bytes, target: bytes, scope: Scope, body: bytes, reply: Reply) -> bool:
        started = time.perf_counter()
        answer: bytes | Promise | None
        try:
            if method == b"PATCH" and target.startswith(_ONE):
                name, route, answer = "PATCH", ONE, self.one(target[len(_ONE) :], scope, body)
            elif method == b"POST" and target == _BATCH:
                name, route, answer = "POST", BATCH, self.batch(scope, body)
            elif method == b"POST" and target == _BASE:
                name, route, answer = "POST", BASE, self.creation(scope, body)
            else:
                return False
        except HeadwayError:
            return False
        except Exception:
            log.exception("a report could not be answered at once")
            return False
        if answer is None:
            return False
        if isinstance(answer, bytes):
            self.context.own.observe_request(name, route, 200, time.perf_counter() - started)
            reply(200, None, answer)
        else:
            answer.stored.add_done_callback(partial(self._keep, answer, name, route, started, reply))
        return True

    def one(self, process_id: bytes, scope: Scope, body: bytes) -> bytes | Promise | None:
        who = self.guard.admitted(scope, len(body))
        # An id that is written otherwise is in nobody's hands, or it has a query.
        return None if who is None else reports.update_at_once(self.context, who, process_id.decode("latin-1"), body)

    def batch(self, scope: Scope, body: bytes) -> bytes | None:
        if DURABLE in dict(scope["headers"]):
            return None
        who = self.guard.admitted(scope, len(body))
        return None if who is None else reports.update_many_at_once(self.context, who, body)

    def creation(self, scope: Scope, body: bytes) -> Promise | None:
        who = self.guard.admitted(scope, len(body))
        return None if who is None else reports.create_at_once(self.context, who, body)

    def _keep(self, promise: Promise, name: str, route: str, started: float, reply: Reply, stored: asyncio.Future[None]) -> None:
        problem: Response | None = None
        try:
            if stored.cancelled():
                raise StoreUnavailable("the exporter is stopping; send it again in a moment")
            stored.result()
            status, body = promise.answer()
        except HeadwayError as error:
            problem = error_response(error)
        except Exception:
            log.exception("what is stored could not be told")
            problem = internal()
        if problem is not None:
            status, body = problem.status_code, bytes(problem.body)
        self.context.own.observe_request(name, route, status, time.perf_counter() - started)
        reply(status, None if problem is None else problem.raw_headers, body)
