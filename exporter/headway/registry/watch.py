"""What happens without a request: samples arrive, OS processes vanish, reporters fall silent, conditions begin and end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from typing import Final

from headway import gates
from headway.duplicates import Kin, ancestors_of, duplicates, strangers
from headway.model import DISCOVERED_BY, ConditionReport, OSProcess, Process, Status
from headway.registry.changes import visible
from headway.registry.derive import expected_of, limits_of, own_pace, pace_of
from headway.registry.entry import Entry
from headway.registry.neighbours import Neighbours
from headway.registry.outcome import Outcome
from headway.registry.registry import Registry
from headway.registry.servers import Servers
from headway.registry.together import ended_with
from headway.registry.unheard import unheard
from headway.samples import Exit, Sample
from headway.turns import at_once
from headway.view import Limits

log = logging.getLogger(__name__)

# A script's last words may arrive a moment after its end was seen: so long is waited for them (s).
LAST_WORDS: Final = 5.0
# Nobody is expected to report while a person is waited for; but after so long (s) the person, or it, has gone.
WAITING_LEASE: Final = 86400.0
# Processes that are looked at before others may have their turn: one or two milliseconds.
STEP: Final = 50
# Forecasts that are due and are made in one look, at most: this share of all, so that those of processes that began together come
# apart, and this many anyway.
RENEWED_SHARE: Final = 1 / 3
RENEWALS: Final = 100


class Watch:
    """Applies what was read of the host to the registry, on the event-loop thread. `watching_since`: silence before the exporter
    began to watch is no evidence of anything. `exit_of` says what is known of the end of a process, by its id, where exits are
    noticed as they happen; where they are not, samples tell. `kin`: who is of one program."""

    def __init__(self, registry: Registry, exit_of: Callable[[str], Exit | None] = lambda _: None) -> None:
        self.registry = registry
        self.exit_of = exit_of
        self.watching_since = registry.clock()
        self.neighbours = Neighbours()
        self.servers = Servers(registry)
        self.kin: Kin = strangers
        self._last = self.watching_since

    def roots(self) -> dict[str, OSProcess]:
        """The OS processes to sample: of active processes on this host, in a pid namespace that this exporter shares."""
        self.registry.moved.clear()
        return {
            process_id: root
            for process_id, entry in self.registry.entries.items()
            if entry.process.status.active and (root := self.visible(entry.process)) is not None
        }

    def visible(self, process: Process) -> OSProcess | None:
        """The OS process of a record, if its pid means something here."""
        return visible(process, self.registry.host)

    def exited(self, process_id: str, exit: Exit) -> None:
        """Its OS process has just ended: the time for the last words of its reporter begins."""
        entry = self.registry.entries.get(process_id)
        if entry is not None and entry.process.status.active and entry.gone_since is None:
            entry.gone_since = exit.at

    def apply(self, samples: Mapping[str, Sample]) -> None:
        """Keeps the samples; a process whose OS process is gone, without a last word, becomes orphaned."""
        at_once(self.applying(samples))

    def applying(self, samples: Mapping[str, Sample]) -> Generator[None, None, None]:
        """The same in steps; between them others may have their turn."""
        now, moved = self.registry.clock(), self.registry.moved
        for number, (process_id, sample) in enumerate(samples.items(), 1):
            if number % (5 * STEP) == 0:
                yield
                now = self.registry.clock()
            entry = self.registry.entries.get(process_id)
            if entry is None or entry.process.status.ended:
                continue
            if moved and process_id in moved:
                continue  # it is of who waited for its turn
            if sample.alive:
                before = entry.sample
                self.neighbours.waited(process_id, gates.cpu_wait_ratio(before, sample))
                entry.seen(sample)
                if entry.mark is None and entry.process.status is not Status.QUEUED:
                    self._meet(entry, sample, now)
                entry.contact_at = now
                if self.exit_of(process_id) is None:  # else the sample is older than the exit, or of a zombie
                    entry.gone_since = None
            elif entry.in_hand:
                continue
            elif entry.gone_since is None:
                entry.gone_since = now
            elif DISCOVERED_BY in entry.process.metadata or now - max(entry.gone_since, entry.contact_at) >= LAST_WORDS:
                self._lost(process_id, entry, entry.gone_since, sample.left_behind)

    def _meet(self, entry: Entry, sample: Sample, now: float) -> None:
        """From here on what it uses counts under its name."""
        registry = self.registry
        root = self.visible(entry.process)
        if root is not None:
            registry.marks.meet(entry, root, sample, registry.totals.key_of(entry.process), now)

    def _lost(self, process_id: str, entry: Entry, gone_since: float, left_behind: int) -> None:
        exit = self.exit_of(process_id)
        at = exit.at if exit is not None else entry.sample.at if entry.sample is not None else gone_since
        if DISCOVERED_BY in entry.process.metadata and entry.process.cancel_requested_at is None:
            status, words = unheard(exit)
            failed = status in (Status.FAILED, Status.KILLED)
            self._told(
                self.registry.end(
                    process_id,
                    status,
                    at=max(at, entry.process.started_at or at),
                    cause=words,
                    error=words if failed else None,
                    exit_code=None if exit is None else exit.code,
                    signal=None if exit is None else exit.signal,
                    summary=None if failed else words,
                )
            )
        else:
            what = f"its OS process is gone{f': {exit}' if exit is not None and exit.known else ''}"
            if left_behind:
                what += f"; {left_behind} that had left its tree {'lives' if left_behind == 1 else 'live'} on"
            self.orphan(entry, at, what)

    def expire(self) -> None:
        """Gives up reporters that cannot be watched and were silent for their lease."""
        at_once(self.expiring())

    def expiring(self) -> Generator[None, None, None]:
        """The same in steps; between them others may have their turn."""
        now = self.registry.clock()
        self._look_at_clock(now)
        for number, entry in enumerate(list(self.registry.entries.values()), 1):
            if number % (20 * STEP) == 0:
                yield
                now = self.registry.clock()
            process = entry.process
            if process.status.ended or process.status is Status.QUEUED or self.visible(process) is not None:
                continue
            if entry.gone_since is not None and now - max(entry.gone_since, entry.contact_at) >= LAST_WORDS:
                self.orphan(entry, entry.gone_since, "its OS process was gone before it was reported")
                continue
            lease = process.spec.lease or self.registry.settings.lease
            if process.waiting is not None:  # it has said why nothing is heard of it, and a person is told
                lease = max(lease, WAITING_LEASE)
            # While nobody watched it could not be heard, and what was heard by another clock does not count.
            watched = entry.contact_at > now or entry.contact_at < self.watching_since
            heard = self.watching_since if watched else entry.contact_at
            if now - heard >= lease:
                what = f"its reporter was silent for {gates.span(now - heard)}{gates.WATCHED if watched else ''}"
                self.orphan(entry, min(entry.contact_at, now), what)

    def orphan(self, entry: Entry, last_seen: float, what: str) -> None:
        process = entry.process
        started = process.started_at
        at = last_seen if started is None else max(last_seen, started)
        if process.status is Status.STOPPING and process.cancel_requested_at is not None:
            # It was being ended on request when the exporter went away, and it did end.
            outcome = self.registry.end(process.id, Status.KILLED, at=at, cause=f"{what}, as was asked", requested=True)
        elif DISCOVERED_BY in process.metadata:
            # Nobody promised to say how it would end, so this is no failure.
            outcome = self.registry.end(process.id, Status.DONE, at=at, cause=what, summary=f"{what}; how it ended is not known")
        else:
            with_whom = None if self.visible(process) is None else ended_with(process, at, self.registry.entries)
            error = f"{what}; {with_whom or 'it never said how it ended'}"
            outcome = self.registry.end(process.id, Status.ORPHANED, at=at, cause=what, error=error)
            if with_whom is not None:
                # Somebody wanted it so, or is told of the one above: this one is seen to. Its last words may still arrive.
                self._told(self.registry.dismiss(process.id))
        self._told(outcome)

    def _told(self, outcome: Outcome) -> None:
        """The registry undoes it if it cannot be stored, and the next round tries again."""
        if outcome.stored is not None:
            outcome.stored.add_done_callback(lambda future: future.cancelled() or future.exception())

    def evaluate(self) -> None:
        """Works out all conditions anew."""
        at_once(self.evaluating())

    def evaluating(self) -> Generator[None, None, None]:
        """The same in steps, a few milliseconds each; between them others may have their turn."""
        registry = self.registry
        now = registry.clock()
        self._look_at_clock(now)
        active = {i: e for i, e in registry.entries.items() if e.process.state.status.active}
        parents = {process_id: entry.process.spec.parent_id for process_id, entry in registry.entries.items()}
        yield
        children = activity_below(registry.entries, parents, now)
        yield
        twins = duplicates((entry.process for entry in active.values()), self.kin)
        yield
        waiting = self.neighbours.of(active, parents, now)
        yield
        now = registry.clock()
        blocked: dict[str, list[str]] = {}
        limits: dict[str, Limits] = {}
        renewals = max(RENEWALS, round(RENEWED_SHARE * len(active)))
        for number, (process_id, entry) in enumerate(active.items(), 1):
            if number % STEP == 0:
                yield
                now = registry.clock()  # what was heard meanwhile must not lie in the future
            if registry.entries.get(process_id) is not entry or entry.process.status.ended:
                continue  # meanwhile
            try:
                process, own = entry.process, limits_of(entry, registry.settings)
                expected, expected_runs = expected_of(process.spec, registry.totals.of(process))
                limits[process_id] = own
                self.servers.consider(entry, own, children.get(process_id), self.watching_since, now)
                ancestors = frozenset(ancestors_of(process_id, parents)) if waiting else frozenset()
                neighbours = self.neighbours.near(process, entry.sample, own, waiting)
                # Nobody else asks for it, and a new forecast costs more than all gates. Those that a page left are made here.
                renewed = renewals > 0 and entry.estimator is not None and entry.estimator.due
                renewals -= renewed
                if renewed:
                    own_pace(entry, now)
                eta = None if expected is None else pace_of(entry, registry.entries, now, patient=True)[1]
                found = gates.conditions(
                    process,
                    now=now,
                    limits=own,
                    expected=expected,
                    expected_runs=expected_runs,
                    sample=last_seen(entry, now),
                    eta=eta,
                    child_activity_at=children.get(process_id),
                    watching_since=self.watching_since,
                    neighbours=neighbours,
                    ancestors=ancestors,
                    duplicate=twins.get(process_id),
                    zombie_after=registry.settings.zombie_after,
                    before=entry.conditions,
                )
                if neighbours and found:
                    by_cpu, by_memory = gates.blocks(
                        process, limits=own, sample=entry.sample, neighbours=neighbours, ancestors=ancestors
                    )
                    for neighbour in (*by_cpu, *by_memory):
                        blocked.setdefault(neighbour.id, []).append(process_id)
                self.note(entry, found)
            except Exception:  # one odd record must not silence the gates of all others
                log.exception("the gates of process %s could not be looked at; those of the others go on", process_id)
        self.neighbours.note_memory(limits, active)
        for process_id, entry in active.items():
            entry.blocked_by = tuple(dict.fromkeys(blocked.get(process_id, ())))

    def _look_at_clock(self, now: float) -> None:
        """Where it jumped, or the machine slept, nobody's silence counts."""
        if now < self._last or now - self._last > max(30.0, 10 * self.registry.settings.sample_interval):
            self.watching_since = now
        self._last = now

    def note(self, entry: Entry, found: tuple[ConditionReport, ...]) -> None:
        """Keeps the conditions, counts those that begin, and tells followers when the set of them changed."""
        if not found and not entry.conditions:
            return  # as nearly always
        had = {(report.condition, report.severity) for report in entry.conditions}
        has = {(report.condition, report.severity) for report in found}
        known = {condition for condition, _ in had}
        began = [report.condition for report in found if report.condition not in known]
        entry.conditions = found
        if began:
            self.registry.trip(entry.process, began)
        if had != has:
            self.registry.changed(entry)


def last_seen(entry: Entry, now: float) -> Sample | None:
    """Its last sample; not alive once its OS process is known to be gone, though its last words are still waited for."""
    if entry.gone_since is None:
        return entry.sample
    return Sample(at=now, alive=False) if entry.sample is None else entry.sample._replace(alive=False)


def activity_below(entries: Mapping[str, Entry], parents: Mapping[str, str | None], now: float) -> dict[str, float]:
    """By id of every process with children: when anything below it was last created, started, reported or ended (unix s). What lies
    after `now` was before the clock was set back, and does not count. Who waits for a person is why those above it are silent."""
    latest: dict[str, float] = {}
    for process_id, entry in entries.items():
        if parents.get(process_id) is None:
            continue
        process = entry.process
        waits = now if process.waiting is not None and process.status is Status.RUNNING else None
        seen = (process.spec.created_at, gates.last_activity(process, now=now), process.finished_at, waits)
        at = max((t for t in seen if t is not None and t <= now), default=None)
        if at is None:
            continue
        for ancestor in ancestors_of(process_id, parents):
            if latest.get(ancestor, 0.0) < at:
                latest[ancestor] = at
    return latest
