"""Processes that an exporter was ending when it stopped itself: the next one finds their records as stopping. It goes on to end
them (see headway.control.control); what lives on all the same, and what an older exporter left, comes to what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import UNSET

from headway.model import Process, Status, Stopping, Transition
from headway.registry.changes import REPORTED
from headway.registry.watch import Watch

CAUSE: Final = "it lives on: the exporter that was ending it stopped before that was done"
# Of one moment, as far as the record tells (s): asked to end, and began to be ended.
AT_ONCE: Final = 1.0


def left_stopping(processes: Sequence[Process]) -> list[Process]:
    """Those that may have been left by an exporter, among what it stored."""
    return [one for one in processes if one.status is Status.STOPPING and one.cancel_requested_at is not None]


class Unfinished:
    """`history`: the transitions of those that were left; who said itself that it is stopping is no concern of ours. Event-loop
    thread only."""

    def __init__(self, watch: Watch, history: Mapping[str, Sequence[Transition]]) -> None:
        self._watch = watch
        self._since = watch.registry.clock()
        self._left = {process_id for process_id, steps in history.items() if steps and steps[-1].cause != REPORTED}

    def settle(self) -> None:
        """To be called after each look at the host. They are given the time of `stop_grace`: they have heard the polite signal, and
        may be about to end. What is gone is the watch's, as ever."""
        if not self._left:
            return
        registry = self._watch.registry
        over = registry.clock() - self._since >= registry.settings.stop_grace
        for process_id in sorted(self._left):
            entry = registry.entries.get(process_id)
            if entry is None or entry.in_hand or not isinstance(entry.process.state, Stopping):
                self._left.discard(process_id)  # it has ended, went on by itself, or is being ended anew
                continue
            sample = entry.sample
            if sample is None or not sample.alive:
                continue
            if sample.zombie_since is not None:
                self._watch.orphan(entry, sample.zombie_since, "its OS process ended")
            elif over and entry.gone_since is None:
                asked = entry.process.cancel_requested_at
                asked_before = asked is not None and asked < entry.process.state.stopping_at - AT_ONCE
                outcome = registry.move(
                    process_id,
                    Status.PAUSED if sample.state == "stopped" else Status.RUNNING,
                    cause=CAUSE,
                    cancel_requested_at=UNSET if asked_before else None,
                )
                if outcome.stored is not None:  # undone if it cannot be stored, and then tried again
                    outcome.stored.add_done_callback(lambda future: future.cancelled() or future.exception())
