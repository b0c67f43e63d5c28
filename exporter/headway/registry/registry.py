"""The registry: the current truth, and the only writer of process records.

Its verbs are synchronous, contain no await and run on the event-loop thread, so that each is atomic. A verb that creates a
process or changes its status hands the change to the writer and returns a future: when it resolves the change is durable and has
been published; when it fails the registry has already undone it. Progress and log lines are written behind.

In memory are the active processes and the ended ones that have not faded; older ones are read from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from msgspec import UNSET, UnsetType, structs

from headway.errors import Conflict, InvalidInput, NotFound, StoreUnavailable
from headway.ids import check_id, new_id
from headway.model import Ending, Orphaned, Process, Status, Stopping, Transition
from headway.names import NameStats
from headway.registry.changes import (
    FINAL,
    REPORTED,
    HostFacts,
    about_state,
    advanced,
    at_work,
    changes_anything,
    ignored_after_the_end,
    ignored_repeat,
    new_process,
    pid_missing,
    same_creation,
    updated,
    visible,
    whole,
    without_standstill,
)
from headway.registry.commits import Commits
from headway.registry.derive import seen_by, view_of
from headway.registry.entry import Entry
from headway.registry.feed import Feed
from headway.registry.lifecycle import advance, needs_attention
from headway.registry.logs import LogTail, split_lines
from headway.registry.marks import Marks
from headway.registry.outcome import Outcome, Writes
from headway.registry.roll import Roll
from headway.registry.together import as_asked_above
from headway.registry.told import Told
from headway.registry.totals import Totals
from headway.schemas.reports import CreateIn, ProgressItem, ProgressUpdate, UpdateIn
from headway.settings import Settings
from headway.store.base import LogLine
from headway.used import NOTHING, Used
from headway.view import View

# A peak of memory that is higher than the one that is stored by less than this factor is not worth a write.
KEPT_FROM: Final = 1.05
# Processes that are looked at before others have their turn.
SLICE: Final = 100


class Registry:
    """`clock` gives unix seconds; `host` says which pids this exporter may believe. `feed` is what changed, in order; `totals` are
    what is counted over many; `roll` is who is in memory, `commits` what makes it durable; `moved` whose OS process became another
    one since those to be sampled were last asked for."""

    def __init__(self, settings: Settings, writer: Writes, host: HostFacts, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.host = host
        self.clock = clock
        self.feed = Feed()
        self.totals = Totals(settings.max_names)
        self.marks = Marks()
        self.moved: set[str] = set()
        self.roll = Roll(settings, self.feed, self.totals)
        self.commits = Commits(settings, writer, self.roll, self.feed, self.totals, self.marks, clock)
        self.entries = self.roll.entries  # it never becomes another one
        self._writer = writer

    # ── verbs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, form: CreateIn, *, process_id: str | None = None) -> Outcome:
        """A new process. Raises Conflict when the id is in use for something else, InvalidInput, TooLarge.

        With an id that exists for the same creation nothing changes and `created` is false.
        """
        given = form.id if form.id is not UNSET else process_id
        if given is not None:
            try:
                check_id(given)
            except ValueError as error:
                raise InvalidInput(f"id: {error}", field="id") from None
            known = self.entries.get(given)
            if known is not None:
                if not same_creation(known.process, form):
                    raise Conflict(
                        f"id {given} is in use by {known.process.kind} {known.process.name!r}; leave id away to get a new one",
                        field="id",
                    )
                return Outcome(known.process, known.pending)
        now = self.clock()
        process = new_process(given or new_id(), form, now=now, host=self.host, metadata_limit=self.settings.max_metadata_bytes)
        entry = self.roll.insert(process, now)
        self._look_for_pid(entry, now)
        key = self.totals.key_of(process)
        stats = self.totals.names.get(key)
        born = None if stats is not None else NameStats(name=key[0], kind=process.kind)
        if born is not None:
            self.totals.put(key, born)
        self.totals.count(None, process.status)
        stored = self.commits.commit(
            entry,
            before=None,
            transition=Transition(process.id, process.spec.created_at, None, process.status, "created"),
            names=None if born is None else (key, stats, born),
        )
        if "retry_of" in process.metadata:
            self._superseded_by(process)
        return Outcome(process, stored, created=True)

    def _superseded_by(self, process: Process) -> None:
        """A failure that is being run again needs nobody's attention: this one says how it ends. It stays in the history.

        Only those of the same job are believed to be that: whoever reports one could as well have ended it so.
        """
        first = process.metadata["retry_of"]
        for entry in list(self.entries.values()):
            before = entry.process
            row = before.id == first or before.metadata.get("retry_of") == first
            same = (before.name, before.kind, before.spec.user) == (process.name, process.kind, process.spec.user)
            if not (row and same and before.status.ended and before.dismissed_at is None and needs_attention(before)):
                continue
            # What cannot be stored is undone, and somebody dismisses it by hand: the creation stands.
            with suppress(StoreUnavailable):
                if (stored := self.dismiss(before.id).stored) is not None:
                    stored.add_done_callback(lambda future: future.cancelled() or future.exception())

    def update(self, process_id: str, form: UpdateIn | ProgressUpdate) -> Outcome:
        """Applies what the reporter said. Raises NotFound, Conflict (illegal transition), InvalidInput, TooLarge."""
        entry = self.entry(process_id)
        return self.report(entry, form, self.clock()) or Outcome(entry.process)

    def report(self, entry: Entry, form: UpdateIn | ProgressUpdate, now: float) -> Outcome | None:
        """The same at `now` for a process in hand; None: it is done, and there is nothing to wait for or to tell of it."""
        # Arguments by place, and no call where there is nothing to do: this runs for every update.
        before = entry.process
        entry.contact_at = now
        if form.seq is not UNSET and form.seq <= before.activity.seq:
            return Outcome(before, entry.pending, False, True, ignored_repeat(before, form))
        at = now
        if form.age:
            at, born = now - form.age, before.spec.created_at
            if at < born:  # a creation that lies in the future was before the clock was set back
                at = min(born, now)
        if isinstance(form, ProgressUpdate) and before.state.status.active:
            process, progressed = advanced(before, form, at, now)
            lines: Sequence[LogLine] = ()
            ignored = None
        else:
            form = whole(form)
            if form.alive and before.status.active and not changes_anything(form):
                return None if before.cancel_requested_at is None else Outcome(before)  # nothing to write, and nothing to tell of
            if type(before.state) is Orphaned and self._speaks_again(entry, form, at):
                form = structs.replace(form, status=Status.RUNNING)
            if entry.in_hand and type(before.state) is Stopping:
                form = without_standstill(form)
            ignored = ignored_after_the_end(before, form, at) if type(before.state) in FINAL else None
            texts = () if form.log is UNSET else split_lines(form.log)
            last_line = texts[-1] if texts else None
            process, progressed = updated(before, form, at, now, last_line, self.settings.max_metadata_bytes, self.host)
            lines = entry.log.append(process.id, at, texts) if texts else ()
        entry.process = process
        if progressed and entry.estimator is not None and (current := process.activity.current) is not None:
            entry.estimator.add(at, current)
        if process.state is not before.state:
            entry.process = process = as_asked_above(process, at, self.entries)
            moved = process.spec.os_process is not before.spec.os_process
            missing = moved and self._move(entry, now)
            told = form.used if isinstance(form, UpdateIn) else UNSET
            used = NOTHING if told is UNSET else Used(told.cpu_seconds, told.io_read_bytes, told.io_written_bytes)
            stored = self.commits.settle(entry, before, at, REPORTED, lines, used)
            return Outcome(entry.process, stored, ignored=ignored, pid_missing=missing)
        self._writer.behind(process, lines)
        self.feed.touch(entry)
        return None if process.cancel_requested_at is None and ignored is None else Outcome(process, ignored=ignored)

    def _move(self, entry: Entry, now: float) -> bool:
        """The work is another OS process than the one that was watched until `now`. Returns whether nobody has its pid."""
        entry.forget_samples()
        self.moved.add(entry.process.id)
        entry.gone_since = None
        return self._look_for_pid(entry, now)

    def _look_for_pid(self, entry: Entry, now: float) -> bool:
        """Whether nobody has the pid that was named. With its namespace it is known to be gone; without one the number may be one
        of a container: then the lease decides."""
        missing, root = pid_missing(entry.process, self.host), entry.process.spec.os_process
        if missing and root is not None and root.pid_namespace is not None:
            entry.gone_since = now
        return missing

    def _speaks_again(self, entry: Entry, form: UpdateIn, at: float) -> bool:
        """Whether a reporter that was given up because nothing was heard of it shows that it lives. Whose OS process is known to be
        gone may only deliver late."""
        before = entry.process
        lost_at = before.finished_at
        if lost_at is None or at <= lost_at or entry.gone_since is not None or visible(before, self.host) is not None:
            return False
        return at_work(form) and not about_state(form)

    def advance(self, items: Iterator[tuple[int, ProgressItem, Entry]], now: float) -> int | None:
        """What :meth:`report` does of one (place, item, entry) after the other, where an item says only that more work is done: in
        a fraction of the time, since the record is made when somebody looks. Returns the place of the first that says something
        else, of which nothing has changed and after which it may be called again; None when there are no more."""
        for place, item, entry in items:
            current, at, seq, told = item.progress.current, now - item.age, item.seq, entry.told
            if told is None:
                if (told := self._begin(entry, current, at, seq)) is None:
                    return place
            elif current <= told.current or at < told.at or (seq is not UNSET and seq <= told.seq):
                return place
            if at < told.calm_until:
                told.owed = True
            elif (estimator := entry.estimator) is not None:
                if told.owed:
                    estimator.add(told.at, told.current)
                    told.owed = False
                estimator.add(at, current)
                told.calm_until = estimator.calm_until(at)
            told.now, told.at, told.current = now, at, current
            if seq is not UNSET:
                told.seq = seq
            entry.contact_at = now
        return None

    def _begin(self, entry: Entry, current: float, at: float, seq: int | UnsetType) -> Told | None:
        """Lets progress be told without a record, from this on; None where that is not enough, or this is nothing new."""
        told = Told.after(entry.process, at)
        if told is None or current <= told.current or (seq is not UNSET and seq <= told.seq):
            return None
        self._writer.behind_of(told.before.id, entry)
        self.feed.touch(entry)
        entry.tell(told)
        return told

    def end(
        self,
        process_id: str,
        status: Status,
        *,
        at: float,
        cause: str,
        error: str | None = None,
        exit_code: int | None = None,
        signal: int | None = None,
        summary: str | None = None,
        requested: bool = False,
    ) -> Outcome:
        """Ends a process for a reason that Headway itself saw; `requested`: someone asked for it. Raises NotFound, Conflict."""
        entry = self.entry(process_id)
        before = entry.process
        state = advance(before, status, at=at, exit_code=exit_code, error=error, signal=signal, requested=requested)
        activity = replace(before.activity, updated_at=self.clock(), summary=summary or before.activity.summary)
        entry.process = replace(before, state=state, activity=activity)
        stored = self.commits.settle(entry, before, at, cause, [])
        return Outcome(entry.process, stored)

    def move(
        self,
        process_id: str,
        status: Status,
        *,
        cause: str,
        cancel_requested_at: float | UnsetType | None = UNSET,
        ending: Ending | None = None,
    ) -> Outcome:
        """From one active status to another, by what was done to the OS process from here. `cancel_requested_at`: since when it is
        to end; None takes that back. `ending`: how it is being ended, of one that is stopping. Raises NotFound, Conflict."""
        entry = self.entry(process_id)
        before, now = entry.process, self.clock()
        state = before.state if before.status is status else advance(before, status, at=now)
        if isinstance(state, Stopping):
            state = replace(state, ending=ending)
        asked = before.cancel_requested_at if cancel_requested_at is UNSET else cancel_requested_at
        entry.process = replace(before, state=state, cancel_requested_at=asked, activity=replace(before.activity, updated_at=now))
        return Outcome(entry.process, self.commits.settle(entry, before, now, cause, []))

    def request_cancel(self, process_id: str) -> Outcome:
        """Asks the reporter to end: its next answer says so. Raises NotFound, Conflict when it has ended already."""
        entry = self.entry(process_id)
        before = entry.process
        if before.status.ended:
            raise Conflict(f"process {process_id} has already ended: {before.status}")
        if before.cancel_requested_at is None:
            entry.process = replace(before, cancel_requested_at=self.clock())
        return Outcome(entry.process, self.commits.commit(entry, before=before))

    def dismiss(self, process_id: str) -> Outcome:
        """Takes an ended process out of the active view; its history stays. Raises NotFound, Conflict while it is active."""
        entry = self.entry(process_id)
        before = entry.process
        if before.status.active:
            raise Conflict(f"process {process_id} is {before.status}; only an ended one can be dismissed. Cancel it first.")
        if before.dismissed_at is None:
            entry.process = replace(before, dismissed_at=self.clock())
        return Outcome(entry.process, self.commits.commit(entry, before=before))

    # ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

    def entry(self, process_id: str) -> Entry:
        """Raises NotFound."""
        entry = self.entries.get(process_id)
        if entry is None:
            raise NotFound(f"there is no process {process_id[:64]} (ended ones are kept for the time of history_retention)")
        return entry

    def view(self, entry: Entry, now: float | None = None, user: str | None = None, *, patient: bool = False) -> View:
        """`user`: for somebody who sees the processes of this user only, and so no names of others; None: for who sees all.
        `patient`: for who asks for all of them at once."""
        at = self.clock() if now is None else now
        found = view_of(entry, self.entries, self.totals.of(entry.process), self.settings, at, patient=patient)
        return found if user is None else seen_by(user, found, self.entries)

    def archived(self, process: Process) -> Entry:
        """A process that is only in the history, in the form of an entry; not inserted."""
        return Entry(process, LogTail(0, 0), None, 0.0)

    # ── start, samples and time ────────────────────────────────────────────────────────────────────────────────────

    def load(
        self,
        processes: Iterable[Process],
        names: Iterable[NameStats],
        status_counts: Mapping[Status, int],
        lines: Callable[[str], Sequence[LogLine]],
    ) -> None:
        """Takes over what the store kept. Called once, before any verb."""
        now = self.clock()
        self.totals.load(names, status_counts)
        for process in processes:
            self.roll.insert(process, now, lines(process.id))

    def recall(self, process: Process, lines: Sequence[LogLine]) -> Entry:
        """Brings one process back from the history, because its reporter spoke again."""
        return self.entries.get(process.id) or self.roll.insert(process, self.clock(), lines)

    def fade(self) -> list[str]:
        """Takes out of the active view what ended well a while ago, was dismissed, or was lost long ago; returns the ids."""
        now = self.clock()
        gone = []
        for process_id, entry in self.entries.items():
            process = entry.process
            finished_at = process.finished_at
            if finished_at is None:
                continue
            faded = not needs_attention(process) and now - finished_at >= self.settings.active_retention
            old = now - finished_at >= self.settings.history_retention
            # Since it was found to be lost: it may have been seen last long before, while no exporter ran.
            lost = process.status is Status.ORPHANED and now - process.activity.updated_at >= self.settings.orphan_retention
            if faded or old or lost or process.dismissed_at is not None:
                gone.append(process_id)
        self.roll.drop(gone)
        return gone

    def changed(self, entry: Entry) -> None:
        """Says that what is derived from this process changed (conditions, samples)."""
        self.feed.touch(entry)

    def trip(self, process: Process, gates: Iterable[str]) -> None:
        """Counts conditions that begin to hold."""
        key = self.totals.key_of(process)
        stats = self.totals.names.get(key) or NameStats(name=key[0], kind=process.kind)
        for gate in gates:
            stats = stats.with_gate_trip(gate)
        self.totals.put(key, stats)
        self.totals.say(key)
        self._writer.behind(names=[stats])

    def keeping_usage(self) -> Generator[None, None, None]:
        """Writes down what active processes used so far, where it became notably more: samples do not outlive the exporter. In
        steps, between which others may have their turn."""
        for number, entry in enumerate(list(self.entries.values())):
            if number % SLICE == SLICE - 1:
                yield
            if entry.process.status.active and entry.peak_memory_bytes > KEPT_FROM * _peak(entry.process):
                entry.process = replace(entry.process, usage=entry.usage())
                self._writer.behind(entry.process)


def _peak(process: Process) -> int:
    return 0 if process.usage is None else process.usage.peak_memory_bytes or 0
