"""The audit: one line in the log for each thing that people do to processes and each sign-in, and a count of it in the metrics."""

from __future__ import annotations

import json
import logging
from types import TracebackType
from typing import Final, Self

from headway.api.access import Caller
from headway.api.context import Context
from headway.errors import Forbidden, HeadwayError, Unauthenticated

log = logging.getLogger("headway.audit")
# Whatever is logged of the rest.
log.setLevel(logging.INFO)
# A request that could not be read is no action.
_UNREAD: Final = frozenset({400, 413, 415, 422})


class Audit:
    """Around an action: `with Audit(…) as audit`, in it `audit.result(…)`. An error is a result too, and goes on."""

    def __init__(self, context: Context, who: Caller, action: str, what: str) -> None:
        self.context = context
        self.who = who
        self.action = action
        self.what = what
        self._outcome = ("failed", "no result")

    def result(self, words: str, done: bool = True) -> None:
        self._outcome = ("done" if done else "failed", words)

    def dry(self) -> None:
        """Nothing was done, and nothing is written down."""
        self._outcome = ("", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        outcome, words = self._outcome
        if isinstance(error, HeadwayError):
            if error.status in _UNREAD:
                return
            refused = isinstance(error, Forbidden | Unauthenticated) or error.status == 429
            outcome, words = "refused" if refused else "failed", error.detail
        elif error is not None:
            outcome, words = "failed", f"{type(error).__name__}"
        if not outcome:
            return
        self.context.own.count_action(self.action, outcome)
        who, what = quoted(self.who.name), self.what
        log.info("%s %s by %s (%s): %s: %s", self.action, what, who, self.who.role, outcome, quoted(words))


def quoted(text: str) -> str:
    """One word of a line, whatever it contains."""
    return json.dumps(text, ensure_ascii=False)
