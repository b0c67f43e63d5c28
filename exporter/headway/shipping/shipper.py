"""The thread that brings entries to Loki: in batches, and again and again while it is away."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from headway.metrics.shipping import REASONS, ShippingFigures
from headway.shipping.backlog import Backlog
from headway.shipping.entries import Entry
from headway.shipping.loki import Verdict

log = logging.getLogger(__name__)

GATHER: Final = 1.0  # s; a line is in Loki so long after it was said
BATCH_ENTRIES: Final = 5000
BATCH_BYTES: Final = 1_000_000  # a limit of 4 MB a second is Loki's default
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
# Between two words in the log about the same trouble (s).
QUIET: Final = 60.0


class Target(Protocol):
    def push(self, entries: Sequence[Entry]) -> Verdict:
        """Blocking; never raises."""


class Shipper:
    """`put` belongs to the event loop and costs it a lock that is held for moments; all the rest happens in a thread of its own,
    one request at a time, so that a stream stays in order. What does not fit into `buffer_bytes` goes, the oldest first.

    The counters are written by one thread each and may be read from any.
    """

    def __init__(self, target: Target, buffer_bytes: int, *, gather: float = GATHER, first_pause: float = FIRST_PAUSE) -> None:
        self.delivered = self.retries = 0
        self.up: bool | None = None  # None before the first answer
        self._refused = self._stopped = 0
        self._target = target
        self._backlog = Backlog(buffer_bytes)
        self._gather, self._first_pause = gather, first_pause
        self._in_hand = 0
        self._deadline: float | None = None
        self._said = (0.0, "")
        self._thread = threading.Thread(target=self._run, name="headway-shipper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, entries: Sequence[Entry]) -> None:
        self._backlog.put(entries)

    def close(self, within: float) -> None:
        """Sends what waits, for `within` seconds at most; what is left then is dropped. Blocking."""
        self._deadline = time.monotonic() + within
        self._backlog.close()
        if self._thread.is_alive():
            self._thread.join(within)
        left = self.pending
        if left:
            self._stopped += left
            log.warning("%d lines were not sent to Loki before the exporter stopped", left)

    @property
    def pending(self) -> int:
        return len(self._backlog) + self._in_hand

    def figures(self, cut: int) -> ShippingFigures:
        return ShippingFigures(
            up=self.up,
            pending=self.pending,
            delivered=self.delivered,
            retries=self.retries,
            cut=cut,
            dropped=dict(zip(REASONS, (self._backlog.dropped, self._refused, self._stopped), strict=True)),
        )

    # ── on the thread ──────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while batch := self._backlog.take(BATCH_ENTRIES, BATCH_BYTES, self._gather):
            self._in_hand = len(batch)
            if not self._deliver(batch):
                return
            self._in_hand = 0

    def _deliver(self, batch: Sequence[Entry]) -> bool:
        """Until Loki has taken or refused all of it. False when there is no time left for that."""
        pause = self._first_pause
        while True:
            verdict = self._target.push(batch)
            self._tell(verdict)
            if verdict.too_large and len(batch) > 1:
                half = len(batch) // 2
                return self._deliver(batch[:half]) and self._deliver(batch[half:])
            if not verdict.again:
                refused = len(batch) if verdict.too_large else verdict.refused
                self._refused += refused
                self.delivered += len(batch) - refused
                self._in_hand -= len(batch)
                return True
            self.retries += 1
            wait = pause * random.uniform(0.75, 1.25) if verdict.after is None else verdict.after
            if self._left(wait):
                return False
            pause = min(LONGEST_PAUSE, 2 * pause)

    def _left(self, wait: float) -> bool:
        """Waits, and says whether the time is over. Near the end nobody is waited for longer than that."""
        if self._deadline is None:
            self._backlog.pause(wait)
        if self._deadline is None:
            return False
        left = self._deadline - time.monotonic()
        time.sleep(max(0.0, min(wait, left)))
        return time.monotonic() >= self._deadline

    def _tell(self, verdict: Verdict) -> None:
        """In the log, but not at every try."""
        self.up = not verdict.again
        if verdict.problem is None:
            if self._said[1]:
                log.info("Loki takes lines again")
                self._said = (0.0, "")
            return
        at, problem = self._said
        if verdict.problem[:40] != problem[:40] or time.monotonic() - at >= QUIET:
            self._said = (time.monotonic(), verdict.problem)
            log.warning("%s; %s", verdict.problem, "it is tried again" if verdict.again else "those lines are not sent again")
