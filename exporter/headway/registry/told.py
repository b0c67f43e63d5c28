"""The progress of one process that nobody has looked at yet: figures that become a record when somebody does.

Scripts tell more than anybody reads: at 400,000 updates a second each of 20,000 processes has twenty, of which a scrape every two
seconds, the writer and the pages read one or two. So an update that says nothing but «so many items are done» changes three numbers
here; the record between two looks is never made.
"""

from __future__ import annotations

from headway.model import Activity, Process


class Told:
    """What was told of a process since `before`, its last record: mutable, of an entry of the registry.

    `now` is when it arrived last, `at` when it happened (unix s), `current` the items that were done by then, `seq` that of the
    reporter. Of what happens before `calm_until` the estimator needs only the last, and it does not have it yet if that is `owed`.
    """

    __slots__ = ("at", "before", "calm_until", "current", "now", "owed", "seq")

    def __init__(self, before: Process, now: float, at: float, current: float, seq: int) -> None:
        self.before, self.now, self.at, self.current, self.seq = before, now, at, current, seq
        self.calm_until, self.owed = at, False

    @classmethod
    def after(cls, before: Process, at: float) -> Told | None:
        """Nothing yet, to be told from `at` on; None for a process of which more is to be thought of than a number that grows."""
        activity = before.activity
        last, current = activity.last_progress_at, activity.current
        if last is None or current is None or not before.spec.created_at <= last <= at:
            return None
        if not before.state.status.active or before.cancel_requested_at is not None:
            return None
        return cls(before, activity.updated_at, last, current, activity.seq)

    def record(self) -> Process:
        """What :func:`headway.registry.changes.updated` would have made of all that was told, one after the other."""
        return further(self.before, self.now, self.current, self.at, self.seq)


def further(process: Process, now: float, current: float, last_progress_at: float | None, seq: int) -> Process:
    """The record after progress that arrived at `now`, and nothing else."""
    # Fields by place, and no replace(): this runs for most updates.
    old = process.activity
    activity = Activity(
        now,
        current,
        old.initial,
        old.total,
        old.unit,
        old.stage,
        old.summary,
        old.rate,
        old.ends_at,
        old.last_output_at,
        last_progress_at,
        old.last_line,
        seq,
        old.waiting,
    )
    asked, dismissed = process.cancel_requested_at, process.dismissed_at
    return Process(process.id, process.spec, process.state, activity, process.metadata, asked, dismissed, process.usage)
