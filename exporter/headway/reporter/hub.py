"""One per OS process: its reporters, and the thread that sends for all of them. This side of it is what the script touches.

The thread is started with the first reporter, sleeps without a timer while there is none, and ends with the interpreter. A forked
child has a hub of its own: it starts without reporters, and takes over an inherited one when the child first uses it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

    from headway.reporter.reporter import Reporter
    from headway.reporter.sender import Sender

# How long the end of the interpreter waits for the last request; what is not delivered by then goes to the spool.
EXIT_WAIT: Final = 2.0
# Between two looks whether a change of status has arrived.
STATUS_PAUSE: Final = 0.02
# The thread makes its sender once it has imported it.
SENDER_WAIT: Final = 1.0
# A fork waits this long at most for the thread to finish its imports, which take about 0.1 s.
LONGEST_IMPORT: Final = 5.0


def _find_clock() -> int:
    # Unlike CLOCK_MONOTONIC it goes on while the machine sleeps, as the ages that are sent must.
    return getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", -1))


_CLOCK: Final = _find_clock()


def clock() -> float:
    """Seconds that never go back, for ages."""
    return time.clock_gettime(_CLOCK) if _CLOCK >= 0 else time.monotonic()


class Attention:
    """Why the next call of a reporter must take the slow path."""

    ELSEWHERE: Final = 1  # it was made in another process, and is used in this one for the first time
    CANCEL: Final = 2


class Hub:
    """`lock` guards metadata and the start of the thread; `importing` is held while the thread imports, so that no fork copies a
    half-made import into a child, which would wait for it for ever."""

    def __init__(self) -> None:
        self.reporters: dict[int, Reporter] = {}
        self.lock = threading.RLock()
        self.importing = threading.Lock()
        # Unlike an Event it may be used in a signal handler: its put() is reentrant.
        self.wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.complaints: deque[str] = deque(maxlen=100)
        self.closing = False
        self.sender: Sender | None = None
        # Of the process that forked this one: what ran there then, and what its HEADWAY_PARENT_ID said.
        self.forked_from: tuple[Reporter, ...] = ()
        self.said_before: str | None = None
        self._thread: threading.Thread | None = None

    # ── called by reporters ────────────────────────────────────────────────────────────────────────────────────────

    def add(self, reporter: Reporter) -> None:
        """From now on what this reporter says is sent."""
        from headway.reporter import ending

        self.reporters[id(reporter)] = reporter
        ending.watch()
        if self._thread is None and not self.closing:
            self._start()
        self.wake()

    def parent_id(self, url: str) -> str | None:
        """That of a reporter which is made here and given none: what ran in the process that forked this one when it did, unless
        HEADWAY_PARENT_ID was changed since; else what that says."""
        said = os.environ.get("HEADWAY_PARENT_ID") or None
        return (innermost(r for r in self.forked_from if r._url == url) if said == self.said_before else None) or said

    def find(self, process_id: str) -> Reporter | None:
        return next((r for r in list(self.reporters.values()) if r.id == process_id), None)

    def finished(self, reporter: Reporter) -> None:
        """Its last word was said. After the end of the interpreter's work it is spooled at once: no thread will send it. Where this
        OS process may be ended by a signal before it is sent, it is written down meanwhile."""
        from headway.reporter import ending

        if self.closing and (self._thread is None or not self._thread.is_alive()):
            self.close(0.0)
            return
        self.wake()
        if ending.cut_off():
            deadline = clock() + SENDER_WAIT
            while self.sender is None and clock() < deadline:
                time.sleep(STATUS_PAUSE)
            if self.sender is not None:
                self.sender.keep(reporter)

    def await_status(self, reporter: Reporter, wait: float) -> bool:
        """Waits until the exporter has heard of its last change of status, or for so long. For who is about to be stopped."""
        deadline = clock() + wait
        if id(reporter) not in self.reporters:
            return False
        while self.sender is None or not self.sender.status_arrived(reporter):
            if clock() >= deadline:
                return False
            time.sleep(STATUS_PAUSE)
        return True

    def merge(self, reporter: Reporter, metadata: Mapping[str, Any]) -> None:
        """Adds to what is to be sent, as the exporter will merge it: mappings merge, everything else replaces."""
        try:
            with self.lock:
                _merge(reporter._metadata, metadata)
        except Exception as error:
            self.complain(f"metadata of {reporter.name!r} ignored: {type(error).__name__}: {error}")

    def complain(self, text: str) -> None:
        """A warning that the thread will give: logging in the thread of a script could block it."""
        self.complaints.append(text)

    def wake(self) -> None:
        if self.wakes.empty():
            self.wakes.put(None)

    # ── the thread and the end ─────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        with self.lock:
            if self._thread is not None:
                return
            _watch_forks()
            thread = threading.Thread(target=self._run, name="headway", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending: tried again with the next reporter
                self.complain(f"no thread could be started ({error}): reports are kept until one can")
            else:
                self._thread = thread

    def _run(self) -> None:
        with self.importing:
            from headway.reporter.sender import Sender, preload

            sender = self.sender = Sender(self)
            preload()
        sender.run()

    def close(self, wait: float = EXIT_WAIT, error: BaseException | None = None) -> None:
        """Says how the script ended for reporters that were not told, waits a moment for the last request, spools the rest."""
        from headway.reporter import ending

        for reporter in list(self.reporters.values()):
            ending.conclude(reporter, error)
        if not self.reporters and not self.complaints:
            return
        self.closing = True
        try:
            if self._thread is not None and self._thread.is_alive():
                self.wakes.put(None)
                self._thread.join(wait)
        finally:
            if self.sender is None:
                from headway.reporter.sender import Sender

                self.sender = Sender(self)
            self.sender.leave()


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        below = into.get(key)
        if isinstance(value, dict):
            if not isinstance(below, dict):
                below = into[key] = {}
            _merge(below, value)
        else:
            into[key] = value


def innermost(reporters: Iterable[Reporter]) -> str | None:
    """The id of the one that all the others are parts of or have as a part; None where there are two that have nothing to do with
    each other. Of two parts of one, that one: which of them is meant nobody can know."""
    known = {reporter.id: reporter._given.get("parent_id") for reporter in reporters}
    found, below = None, [one for one, parent in known.items() if parent not in known]
    while len(below) == 1:
        found = below[0]
        below = [one for one, parent in known.items() if parent == found]
    return found


_hub = Hub()


def hub() -> Hub:
    """That of this OS process."""
    return _hub


def close(error: BaseException | None = None) -> None:
    """At the end of this OS process."""
    _hub.close(exit_wait(), error)


def exit_wait() -> float:
    """HEADWAY_EXIT_WAIT in seconds (up to an hour), else 2."""
    try:
        return min(max(0.0, float(os.environ["HEADWAY_EXIT_WAIT"])), 3600.0)
    except (KeyError, ValueError):
        return EXIT_WAIT


# ── fork ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _before_fork() -> None:
    _forking.append((_hub, _hub.importing.acquire(timeout=LONGEST_IMPORT)))


def _after_fork_in_parent() -> None:
    forked, held = _forking.pop()
    if held:
        forked.importing.release()


def _after_fork_in_child() -> None:
    """What the parent has not sent yet, the parent will send; what the child says from now on, the child sends."""
    global _hub
    inherited, _ = _forking.pop()
    _forking.clear()
    _hub = Hub()
    running = tuple(one for one in inherited.reporters.values() if one._final is None and _is_own(one))
    _hub.forked_from = running or inherited.forked_from
    _hub.said_before = os.environ.get("HEADWAY_PARENT_ID") or None
    for reporter in list(inherited.reporters.values()):
        reporter._inherit()


def _is_own(reporter: Reporter) -> bool:
    """Whether it is about the script: one about another OS process, or none, is not what forked somebody."""
    given = reporter._given
    return given.get("pid") is not False and given.get("identity", {}).get("pid", reporter._owner) == reporter._owner


_forking: list[tuple[Hub, bool]] = []
_forks_watched = False


def _watch_forks() -> None:
    """Once, before the first thread of this process and its descendants.

    Functions to be called before a fork are called in reverse order. logging has one that takes a lock which imports need: ours
    must come before it, so be registered after it.
    """
    global _forks_watched
    if _forks_watched or not hasattr(os, "register_at_fork"):
        return
    _forks_watched = True
    import logging  # noqa: F401

    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
