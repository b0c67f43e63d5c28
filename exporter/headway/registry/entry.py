"""What the registry keeps of one process beside its record: everything that is not saved and can be made anew."""

from __future__ import annotations

import asyncio

from headway.estimate import Estimator
from headway.model import ConditionReport, Process
from headway.registry.logs import LogTail
from headway.samples import Sample


class Entry:
    """Mutable, owned by the registry, touched on the event-loop thread only.

    `version` grows with every change of any process: a stream sends what is newer than the last one it sent.
    `contact_at` is when its reporter was last heard of; `gone_since` when its OS process was first missed; `pending` the last
    change that may not be durable yet: a repeated request must wait for it too; `in_hand` how many are ending, pausing or resuming
    its OS process right now: they will say what became of it.
    """

    __slots__ = (
        "blocked_by",
        "children",
        "conditions",
        "contact_at",
        "estimator",
        "gone_since",
        "in_hand",
        "log",
        "pending",
        "process",
        "sample",
        "version",
    )

    def __init__(self, process: Process, log: LogTail, estimator: Estimator | None, contact_at: float) -> None:
        self.process = process
        self.log = log
        self.estimator = estimator
        self.contact_at = contact_at
        self.gone_since: float | None = None
        self.pending: asyncio.Future[None] | None = None
        self.sample: Sample | None = None
        self.conditions: tuple[ConditionReport, ...] = ()
        self.blocked_by: tuple[str, ...] = ()
        self.in_hand = 0
        self.children: set[str] = set()
        self.version = 0
