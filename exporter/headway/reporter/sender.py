"""The background thread: about once a second it gathers what all reporters have to say and sends it in one request per exporter."""

from __future__ import annotations

import importlib
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from headway.reporter import spool, values
from headway.reporter.hub import Hub, clock
from headway.reporter.link import Link, Undelivered, encode
from headway.reporter.outbox import Item, Outbox, surroundings_in
from headway.reporter.reporter import Reporter

INTERVAL: Final = 1.0
# A creation or an end is sent at once; many in a row share requests, so that they cannot slow the script.
GAP: Final = 0.1
# The spool of ended scripts is looked at when an exporter is reached, and again after this time.
SPOOL_INTERVAL: Final = 60.0
# What failed before, what is new since, and what the answers to these made necessary.
MAX_ROUNDS: Final = 5
MAX_WARNINGS: Final = 100
# Reporters that are named for one wrong field.
MAX_NAMED: Final = 3
# Processes that have ended and are kept in memory while their exporter is away; more of them go to the spool.
MAX_ENDED: Final = 1000
# At the end of the interpreter, until the thread has let go of what is left to say: a moment, if the machine has time for it (s).
LEAVE_WAIT: Final = 10.0
# Reporters whose news is put into words at a time.
PART: Final = 200
# The cause of a warning: the exporter does not answer, or not well.
DOWN: Final = "down"


def preload() -> None:
    """Imports everything that sending may need, and asks who runs this: the C library's look-up of users holds a lock that a forked
    child would inherit. No fork happens meanwhile (see Hub)."""
    for module in ("encodings.idna", "fcntl", "logging", "pwd", "shlex", "requests"):
        try:
            importlib.import_module(module)
        except ImportError:  # not on this system; what needs it says so
            pass
    surroundings_in(os.getpid())


def interval() -> float:
    """HEADWAY_INTERVAL in seconds (0.05 to an hour), else 1."""
    try:
        return min(max(0.05, float(os.environ["HEADWAY_INTERVAL"])), 3600.0)
    except (KeyError, ValueError):
        return INTERVAL


def parts(boxes: list[Outbox]) -> Iterator[list[Outbox]]:
    """So few at a time that the lock is held only for a moment, however many there are: the end of the interpreter waits for it."""
    for first in range(0, len(boxes), PART):
        yield boxes[first : first + PART]


class Sender:
    """`lock` guards the outboxes, never held during I/O: at the end of the interpreter they are handed over to `leave`."""

    def __init__(self, hub: Hub) -> None:
        self.lock = threading.Lock()
        self._hub = hub
        self._interval = interval()
        self._outboxes: dict[int, Outbox] = {}
        self._links: dict[tuple[str, str | None], Link] = {}
        self._spool_at: dict[Link, float] = {}
        self._warned: set[tuple[str, str]] = set()
        self._wrong: dict[str, set[str]] = {}
        self._kept: dict[int, Path] = {}  # files of what was written down before it was sent
        self._left = False

    def run(self) -> None:
        """Until the interpreter ends. Nothing that goes wrong here ends the thread: the next turn tries again."""
        while True:
            last = self._hub.closing  # a turn that began before may have missed the last words
            try:
                self.turn()
            except Exception as error:
                self._warn("thread", "", f"internal error in the reporter: {type(error).__name__}: {error}")
            if last:
                return
            self._wait(clock())

    def _wait(self, since: float) -> None:
        """Until the next turn is due: an interval later, soon after a wake, never while nothing is tracked."""
        hub = self._hub
        gap = self._interval if hub.reporters else None
        while not hub.closing:
            left = None if gap is None else since + gap - clock()
            if left is not None and left <= 0:
                break
            try:
                hub.wakes.get(timeout=left)
            except queue.Empty:
                break
            gap = GAP
        while not hub.wakes.empty():
            hub.wakes.get()

    def status_arrived(self, reporter: Reporter) -> bool:
        """Whether the exporter has heard of its last change of status."""
        with self.lock:
            box = self._outboxes.get(id(reporter))
            return box is not None and box.status_arrived

    def turn(self) -> None:
        """Looks at every reporter and sends what is due."""
        hub = self._hub
        while hub.complaints:
            self._warn("value", hub.complaints[0], hub.complaints.popleft())
        with self.lock:
            if self._left:
                return
            by_link = self._collect()
        for link, boxes in by_link.items():
            if hub.closing or clock() >= link.not_before:
                self._send(link, boxes)
            if link.failures:
                self._relieve(link, boxes)

    def _collect(self) -> dict[Link, list[Outbox]]:
        now = clock()
        by_link: dict[Link, list[Outbox]] = {}
        for reporter in list(self._hub.reporters.values()):
            box = self._box(reporter)
            box.collect(now)
            by_link.setdefault(self._link(reporter), []).append(box)
        return by_link

    def _box(self, reporter: Reporter) -> Outbox:
        box = self._outboxes.get(id(reporter))
        if box is None:
            box = self._outboxes[id(reporter)] = Outbox(reporter, self._hub, partial(self._complain, values.brief(reporter.name)))
        return box

    def _link(self, reporter: Reporter) -> Link:
        address = (reporter._url, reporter._key)
        return self._links.get(address) or self._links.setdefault(address, Link(*address))

    def keep(self, reporter: Reporter) -> None:
        """Writes down at once how it ended, until the exporter has heard of it: this OS process may be ended by a signal before.
        Where that cannot be done, it is sent all the same."""
        if not self.lock.acquire(timeout=1.0):
            return
        try:
            if self._left or id(reporter) not in self._hub.reporters:
                return
            box, link, now = self._box(reporter), self._link(reporter), clock()
            box.collect(now)
            items = [box.rendered(item, now) for item in box.sealed(now)]
        finally:
            self.lock.release()
        try:
            kept = spool.write(spool.directory(), link.url, items, synced=False)
        except OSError:
            return
        with self.lock:
            if id(reporter) in self._outboxes:
                self._kept[id(reporter)] = kept
                return
        self._drop(kept)  # it has arrived meanwhile

    @staticmethod
    def _drop(kept: Path | None) -> None:
        if kept is not None:
            with suppress(OSError):
                kept.unlink(missing_ok=True)

    def _send(self, link: Link, boxes: list[Outbox]) -> None:
        try:
            for _ in range(MAX_ROUNDS):
                if not self._round(link, boxes):
                    break
            if link.failures:
                self._inform(f"{link.url} is back, everything was delivered")
            link.succeeded()
            if clock() >= self._spool_at.get(link, 0.0):
                self._spool_at[link] = clock() + SPOOL_INTERVAL
                self._deliver_spool(link)
        except Undelivered as error:
            link.failed(clock(), error.retry_after)
            self._spool_at.pop(link, None)
            # Whether it is down, starting or failing: one outage, one warning. A refused key is something else to do.
            cause = DOWN if error.cause in ("unreachable", "failing") else error.cause
            self._warn(cause, link.url, f"{str(error).rstrip('.')}. The script goes on; what it reports is kept and sent later.")
        except Exception as error:  # one exporter must not hold back what is for another
            link.failed(clock())
            link.close()
            self._warn("thread", "", f"internal error in the reporter: {type(error).__name__}: {error}")

    def _round(self, link: Link, boxes: list[Outbox]) -> bool:
        """Sends everything that waits. False if nothing did. Raises Undelivered."""
        any_sent, later = False, None
        for part in parts(boxes):
            sent, why = self._send_part(link, part)
            any_sent, later = any_sent or sent, why or later
        if later is not None:
            raise Undelivered("failing", f"{link.url} cannot take reports now ({later})")
        return any_sent

    def _send_part(self, link: Link, boxes: list[Outbox]) -> tuple[bool, str | None]:
        """Whether anything waited, and why some of it must be tried again later. Raises Undelivered."""
        with self.lock:
            if self._left:
                return False, None
            sent, bodies = self._ready(boxes, clock())
        if not sent:
            return False, None
        later: str | None = None
        # Of whom something has to be sent again, what comes after it waits: taken before, it would make that old news.
        again: set[Outbox] = set()
        for index, result in link.deliver(bodies, lambda index: sent[index][0] in again):
            with self.lock:
                if self._left:
                    return False, None
                box, item = sent[index]
                if (why := box.settle(item, result, clock())) is not None:
                    later = why
                    again.add(box)
                if box.finished:
                    self._forget(box)
        return True, later

    def _ready(self, boxes: list[Outbox], now: float) -> tuple[list[tuple[Outbox, Item]], list[bytes]]:
        """The items to be sent and their JSON. A reporter whose news cannot be shown does not hold back the others."""
        sent: list[tuple[Outbox, Item]] = []
        bodies: list[bytes] = []
        for box in boxes:
            try:
                items = box.items(now)
                shown = [encode(box.rendered(item, now)) for item in items]
            except Exception as error:
                self._warn("thread", "", f"internal error in the reporter: {type(error).__name__}: {error}")
                continue
            sent += [(box, item) for item in items]
            bodies += shown
        return sent, bodies

    def _relieve(self, link: Link, boxes: list[Outbox]) -> None:
        """While an exporter is away, a script that tracks many short processes must not grow without bound: what ended goes to the
        spool, and from there to the exporter when it is back."""
        ended = [box for box in boxes if box.ended and not box.finished]
        if len(ended) <= MAX_ENDED:
            return
        for part in parts(ended):
            with self.lock:
                if self._left:
                    return
                now = clock()
                items = [box.rendered(item, now) for box in part for item in box.sealed(now)]
            try:
                spool.write(spool.directory(), link.url, items)
            except OSError as error:
                self._warn("spool", link.url, f"{link.url} is away and the spool cannot be used ({error}): old reports are dropped")
                part = part[: max(0, len(ended) - MAX_ENDED)]
            with self.lock:
                if not self._left:
                    for box in part:
                        self._forget(box)
            ended = ended[len(part) :]

    def _forget(self, box: Outbox) -> None:
        self._hub.reporters.pop(id(box.reporter), None)
        self._outboxes.pop(id(box.reporter), None)
        self._drop(self._kept.pop(id(box.reporter), None))

    def _deliver_spool(self, link: Link) -> None:
        try:
            delivered, refusals = spool.deliver(spool.directory(), link)
        except OSError as error:
            self._warn("spool", "read", f"what ended scripts left behind cannot be delivered: {error}")
            return
        if delivered:
            self._inform(f"{delivered} reports of scripts that have ended were delivered to {link.url}")
        for reason in refusals:
            self._warn("spool", reason, f"a report of a script that has ended is refused: {reason}")

    def leave(self) -> None:
        """The interpreter ends: what has not arrived goes to the spool. The thread touches nothing any more."""
        if not self.lock.acquire(timeout=LEAVE_WAIT):
            return  # cannot be: nothing waits while it holds the lock
        try:
            self._left = True
            now = clock()
            for link, boxes in self._collect().items():
                items = [box.rendered(item, now) for box in boxes for item in box.rest(now)]
                if items:
                    self._spool(link.url, items)
            self._hub.reporters.clear()
            self._outboxes.clear()
        finally:
            self.lock.release()

    def _spool(self, url: str, items: list[dict[str, object]]) -> None:
        folder: object = "the spool"
        try:
            folder = spool.directory()
            spool.write(folder, url, items)
        except OSError as error:
            self._warn(
                "spool", str(folder), f"how this script ended could neither be sent nor written to {folder}: {error.strerror}"
            )
        else:
            self._warn(DOWN, url, f"{url} has not taken yet how this script ended. It is kept in {folder} and sent later.")

    # ── words ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _complain(self, name: str, field: str, reason: object) -> None:
        """Of the first few reporters with the same wrong field: a loop makes thousands of them."""
        if not field:
            self._warn("value", "", str(reason))
            return
        names = self._wrong.setdefault(field, set())
        if name in names or len(names) < MAX_NAMED:
            names.add(name)
            self._warn("value", f"{field} of {name}", f"{field} of {name} ignored: {reason}")

    def _warn(self, cause: str, what: str, text: str) -> None:
        """One warning of each: a script's output is its own."""
        if (cause, what) in self._warned or len(self._warned) >= MAX_WARNINGS:
            return
        self._warned.add((cause, what))
        import logging

        logging.getLogger("headway").warning("headway: %s", text)

    def _inform(self, text: str) -> None:
        import logging

        logging.getLogger("headway").info("headway: %s", text)
