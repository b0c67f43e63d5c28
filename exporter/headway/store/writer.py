"""The thread between the event loop and the store: everything that waits for the disk waits here, and many share one sync."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from headway.errors import StoreCorrupt, StoreUnavailable
from headway.model import Process, Transition
from headway.names import NameStats
from headway.store.base import LogLine, Store
from headway.store.pending import Behind, Commit, Group, Holder, Item, Lines, NameKey, Pending

log = logging.getLogger(__name__)
T = TypeVar("T")

# 100,000 waiting commits are half a minute of work: whoever comes then is told so at once.
MAX_PENDING: Final = 100_000
MAX_LINES: Final = 200_000
# What is written behind is handed over this long after it came in; the rest of its second is for writing it.
HAND_OVER_AFTER: Final = 0.7
RETRY_AFTER: Final = 1.0

OnFailure = Callable[[Exception, Sequence[object]], None]


class Writer:
    """Group commits. All methods belong to the event-loop thread given to :meth:`start`; the store is used by the writer's thread.

    **What a caller gets.** `commit` returns a future that resolves when the commit is durable. `behind` costs a dictionary
    assignment; the record and the lines are durable within about a second, of several records of one process the last one. Commits
    become durable in the order of the calls. A change of status takes along all lines of its process that were handed in before
    it: whoever reads that a process has ended reads its last lines, too. When a commit cannot be made durable, neither can any that
    was handed in after it and before the loop learned of the failure, because those were built on a memory that must be undone: all
    of them fail together.
    `on_failure(error, tokens)` is then called once on the loop, with their tokens in reverse order, so that undoing each in turn
    leads back to the last durable state; it may call `behind` with the records it restored, and `forget`, but not `commit`. After
    that their futures get StoreUnavailable.

    **Why it is right.** The loop puts items (a commit, or a handful of what is written behind) into one queue; the thread takes
    them in that order, all that is there, and writes them in one transaction.

    1. *Order.* In the queue and in the thread's hands a newer record of a process always comes after an older one. `commit` drops
       what `behind` has collected of its processes, since the commit's record is newer; what is still in the thread's hands of them
       is dropped when the thread takes the commit. So no older record is ever written over a newer one.
    2. *Epochs.* Each item carries the epoch in which it was made. When the group of epoch e fails, the thread remembers e and from
       then on writes no commit of epoch e: it discards them. The loop keeps the commits that have no answer yet in order; answers
       come in order too, so when the failure reaches the loop, those left are exactly the failed group and what was handed in
       after it. The loop undoes them and goes on in epoch e + 1.
    3. *A record written behind never carries a status that was not committed.* Take a record R of process p, and a commit C of p
       handed in before R, whose status R may carry. By the order C is taken before R or together with it. If C is written, so is
       R: later or in the same transaction. If C fails or is discarded, the thread drops R, as every record of epoch e of a process
       that had a commit in e discarded; and the loop drops what it has collected of those processes before it calls `on_failure`.
       What `on_failure` hands in is built on the undone memory and belongs to the next epoch; of several records of one process
       the last counts, which is the oldest state, and of a process whose creation was undone none. The same holds for totals by
       name.
    4. *Lines* are facts and stay, but for those of a process whose creation failed. Those that wait on the loop travel with the
       commit of their process (`told`), and are pending like all others when the thread has them: so they stay when the commit
       fails. What is pending of a process whose status changes goes into the transaction of that change, before other lines.

    **Failures of what is written behind alone** undo nothing. It is kept, at most one record for each process and `max_lines`
    lines (the oldest go first, counted in `dropped_lines_total`), and tried again with the next group or after `RETRY_AFTER`.
    An error that is none of the store (a record that cannot be encoded) is a bug: then it is not kept, since it would fail every
    group to come. After any failure the store is tried every `RETRY_AFTER`, whether there is something to write or not, so that
    `trouble` ends when the trouble does.

    **Shutdown.** `close` writes what is there, ends the thread and raises what went wrong; after it every `commit` raises.

    The counters may be read from any thread; each is written by one.
    """

    def __init__(
        self,
        store: Store,
        on_failure: OnFailure | None = None,
        *,
        max_pending: int = MAX_PENDING,
        max_lines: int = MAX_LINES,
        hand_over_after: float = HAND_OVER_AFTER,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.commits_total = 0  # commits that became durable
        self.commit_groups_total = 0  # transactions that became durable
        self.commit_failures_total = 0  # transactions that did not
        self.last_commit_seconds: float | None = None  # how long the last transaction took, with its sync
        self.last_error: str | None = None  # why the last transaction failed; None when it, and a try after it, did not
        self.failing_since: float | None = None  # unix seconds, of the first of those that failed in a row
        self._store = store
        self._on_failure = on_failure
        self._max_pending = max_pending
        self._hand_over_after, self._retry_after = hand_over_after, retry_after
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        # Of the loop:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unanswered: deque[Commit] = deque()
        self._epoch = 0
        self._undoing = False
        self._closing = False
        self._behind: dict[str, Process | Holder] = {}
        self._behind_names: dict[NameKey, NameStats] = {}
        self._behind_lines = Lines(max_lines)
        self._timer: asyncio.TimerHandle | None = None
        self._handed_over: Behind | None = None
        # Of the thread:
        self._pending = Pending(max_lines)
        self._failed_epoch = -1
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="headway-writer", daemon=True)

    # ── on the loop ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def pending(self) -> int:
        """Commits that have no answer yet."""
        return len(self._unanswered)

    @property
    def trouble(self) -> str | None:
        """In a sentence that nothing is being stored, since when and why; None while all is well."""
        error, since = self.last_error, self.failing_since
        if error is None or since is None:
            return None
        moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(since))
        return f"nothing is being stored since {moment}, and what is reported now is refused: {error}"

    @property
    def dropped_lines_total(self) -> int:
        """Log lines given up because the store took none for too long."""
        return self._behind_lines.dropped + self._pending.dropped_lines

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins to write. What was handed in before is written too."""
        self._loop = loop
        self._thread.start()
        self._collect()

    def commit(
        self,
        *,
        processes: Sequence[Process] = (),
        transitions: Sequence[Transition] = (),
        names: Sequence[NameStats] = (),
        lines: Sequence[LogLine] = (),
        token: object = None,
    ) -> asyncio.Future[None]:
        """Durable when the future resolves. `token` is what `on_failure` gets to undo it; None when there is nothing to undo.

        Raises StoreUnavailable at once when the writer is closed or has too much to do: then nothing of it is handed in, and
        the caller takes its own change back.
        """
        if self._closing:
            raise StoreUnavailable("the exporter is stopping; send it again in a moment")
        if len(self._unanswered) >= self._max_pending:
            raise StoreUnavailable(f"{len(self._unanswered)} changes wait for the disk already; send it again in a moment")
        told: Sequence[LogLine] = ()
        for process in processes:
            self._behind.pop(process.id, None)
            if self._behind_lines:
                told = [*told, *self._behind_lines.take(process.id)]
        for stats in names:
            self._behind_names.pop((stats.name, stats.kind), None)
        return self._put_commit(processes, transitions, names, lines, token, told)

    def behind(self, process: Process | None = None, lines: Sequence[LogLine] = (), names: Sequence[NameStats] = ()) -> None:
        """Writes these within about a second; `lines` are of one process. Never fails; never tells when it is done (:meth:`flush`
        does)."""
        if process is not None:
            self._behind[process.id] = process
        if lines:
            self._behind_lines.add(lines)
        for stats in names:
            self._behind_names[stats.name, stats.kind] = stats
        if self._timer is None:
            self._collect()

    def behind_of(self, process_id: str, holder: Holder) -> None:
        """The same with the record that `holder` has when it is handed over: for who changes more often than is written."""
        self._behind[process_id] = holder
        if self._timer is None:
            self._collect()

    def forget(self, process_ids: Iterable[str]) -> None:
        """Deletes all rows of these processes, and what is on its way of them; written behind. What is handed in later stays."""
        ids = dict.fromkeys(process_ids)
        self._withdraw(ids, ids)
        if ids:
            self._queue.put(Behind(self._epoch, forget=tuple(ids)))

    async def flush(self) -> None:
        """Everything handed in before is durable. Raises StoreUnavailable when it is not; what was written behind is then kept
        and tried again."""
        self._hand_over()
        await self._put_commit((), (), (), (), None)

    async def settled(self, within: float, *, behind: bool = False) -> None:
        """Waits until every commit that was handed in before is durable, or undone, so that nobody is shown what may still be
        undone; with `behind` what is written behind is on the disk too. For `within` seconds at most, and a store that takes
        nothing is no error: who only reads is answered whatever the disk does."""
        if behind:
            self._hand_over()
            with suppress(StoreUnavailable):  # not started, or closed
                self._put_commit((), (), (), (), None)
        if self._unanswered:
            last = self._unanswered[-1].future
            last.add_done_callback(lambda future: future.cancelled() or future.exception())  # if nobody else waits for it
            await asyncio.wait((last,), timeout=within)

    async def run(self, work: Callable[[Store], T]) -> T:
        """`work(store)` in a thread: for upkeep and reads that block. It sees the last committed state; commits go on beside it
        between the store's own small transactions."""
        return await asyncio.to_thread(work, self._store)

    async def close(self) -> None:
        """Writes what is there and ends the thread. Raises StoreUnavailable when not everything could be written."""
        if self._closing:
            return
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is None:
            return
        try:
            await self.flush()
        finally:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _put_commit(
        self,
        processes: Sequence[Process],
        transitions: Sequence[Transition],
        names: Sequence[NameStats],
        lines: Sequence[LogLine],
        token: object,
        told: Sequence[LogLine] = (),
    ) -> asyncio.Future[None]:
        if self._loop is None:
            raise StoreUnavailable("the exporter is starting; send it again in a moment")
        if self._undoing:
            raise RuntimeError("commit() inside on_failure: memory is only half undone")
        commit = Commit(self._epoch, processes, transitions, names, lines, token, self._loop.create_future(), told)
        self._unanswered.append(commit)
        self._queue.put(commit)
        return commit.future

    def _collect(self) -> None:
        """Lets what is written behind gather for a while."""
        if self._loop is not None and not self._closing and (self._behind or self._behind_lines or self._behind_names):
            self._timer = self._loop.call_later(self._hand_over_after, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # One handful at a time: while the disk hangs, new records replace older ones here and do not pile up in the queue.
        if self._handed_over is None or self._handed_over.taken:
            self._hand_over()
        else:
            self._collect()

    def _hand_over(self) -> None:
        if self._behind or self._behind_lines or self._behind_names:
            processes = {i: found if isinstance(found, Process) else found.process for i, found in self._behind.items()}
            self._handed_over = Behind(self._epoch, processes, self._behind_names, self._behind_lines.take_all())
            self._behind, self._behind_names = {}, {}
            self._queue.put(self._handed_over)

    def _succeeded(self, commits: int) -> None:
        for _ in range(commits):
            future = self._unanswered.popleft().future
            if not future.done():  # whoever waited for it may have been cancelled; it is durable all the same
                future.set_result(None)

    def _barrier_failed(self, commits: int, error: Exception) -> None:
        """A group in which nothing was to be undone."""
        _fail([self._unanswered.popleft() for _ in range(commits)], error)

    def _epoch_failed(self, error: Exception) -> None:
        failed = list(self._unanswered)
        self._unanswered.clear()
        undone = Group.of(failed)
        for key in undone.name_keys:
            self._behind_names.pop(key, None)
        self._withdraw(undone.process_ids, undone.unborn)
        self._epoch += 1
        self._undoing = True
        try:
            if self._on_failure is not None:
                self._on_failure(error, [commit.token for commit in reversed(failed) if commit.token is not None])
        except Exception:
            log.exception("undoing what could not be stored failed")
        finally:
            self._undoing = False
        # Undoing the second change of a process hands in what the first had made of it, before that is undone too.
        self._withdraw(undone.unborn, undone.unborn)
        _fail(failed, error)

    def _withdraw(self, process_ids: Collection[str], without_lines: Collection[str]) -> None:
        for process_id in process_ids:
            self._behind.pop(process_id, None)
        for process_id in without_lines:
            self._behind_lines.take(process_id)

    # ── on the thread ──────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        stopping = False
        while not stopping:
            items, stopping = self._take()
            group = self._sort(items)
            again = time.monotonic() >= self._retry_at
            if group.commits or (self._pending and again):
                self._write(group)
            elif self.last_error is not None and again:
                self._try()

    def _take(self) -> tuple[list[Item], bool]:
        """All items that are there, at least one unless it is time to write what is pending; whether the end was among them."""
        items: list[Item] = []
        try:
            waiting = self._pending or self.last_error is not None
            wait = max(0.0, self._retry_at - time.monotonic()) if waiting else None
            item = self._queue.get(timeout=wait) if wait != 0.0 else self._queue.get_nowait()
            while item is not None and len(items) < Group.LIMIT:
                items.append(item)
                item = self._queue.get_nowait()
            if item is None:
                return items, True
            items.append(item)
        except Empty:
            pass
        return items, False

    def _sort(self, items: Iterable[Item]) -> Group:
        """Puts each item where it belongs: commits of an epoch that failed are discarded, the others are the group to write."""
        group = Group()
        for item in items:
            discarded = item.epoch <= self._failed_epoch
            if isinstance(item, Behind):
                item.taken = True
                if item.forget:
                    group.forget(item.forget)
                self._pending.add(item, discarded=discarded)
                continue
            if discarded:
                self._pending.undo(Group.of([item]))
            else:
                self._pending.supersede(item)
                group.add(item)
            if item.told:
                self._pending.keep(item.told)
        return group

    def _write(self, group: Group) -> None:
        everything = any(commit.barrier for commit in group.commits)
        handful = self._pending.handful(lambda: group.process_ids, everything=everything)
        started = time.monotonic()
        batch = group.batch(handful)
        try:
            self._store.write(batch)
        except Exception as error:
            self._failed(group, error)
            return
        self.last_commit_seconds = time.monotonic() - started
        self.commit_groups_total += 1
        self.commits_total += len(group.commits)
        self._retry_at = 0.0
        if batch and self.last_error is not None:  # a small one may find room where the next finds none
            self._try()
        self._pending.written(handful)
        if group.commits:
            self._tell(self._succeeded, len(group.commits))

    def _try(self) -> None:
        """Whether the store works again."""
        try:
            found = self._store.check()
        except Exception as error:
            found = str(error)
        if found is None:
            self.last_error = self.failing_since = None
        else:
            self.last_error = found
            self._retry_at = time.monotonic() + self._retry_after

    def _failed(self, group: Group, error: Exception) -> None:
        self.commit_failures_total += 1
        if self.failing_since is None:
            self.failing_since = time.time()
        self.last_error = str(error)
        self._retry_at = time.monotonic() + self._retry_after
        if not isinstance(error, StoreUnavailable | StoreCorrupt):
            log.exception("a group of changes cannot be stored: %d commits", len(group.commits), exc_info=error)
            self._pending.give_up()
        if not all(commit.barrier for commit in group.commits):
            self._failed_epoch = group.commits[0].epoch
            self._pending.undo(group)
            self._tell(self._epoch_failed, error)
        elif group.commits:
            self._tell(self._barrier_failed, len(group.commits), error)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            log.warning("the event loop ended before the writer was closed")


def _fail(commits: Iterable[Commit], error: Exception) -> None:
    for commit in commits:
        if not commit.future.done():
            refused = StoreUnavailable(str(error))
            refused.__cause__ = error
            commit.future.set_exception(refused)
            commit.future.exception()  # on_failure has reported it, whether or not anyone awaits it
