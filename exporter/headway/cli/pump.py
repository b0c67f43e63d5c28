"""Lines from standard input as log lines: read at once whatever the exporter does, sent in groups at most once a second."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from headway.cli.delivery import Trouble

# Lines kept until they are sent; the exporter keeps as many of a process. The oldest go first, and their number is reported.
MAX_LINES: Final = 500
MAX_LINE: Final = 8192
# Bytes of one line that are kept: a character has at most four.
MAX_BYTES: Final = MAX_LINE * 4
INTERVAL: Final = 1.0
LONGEST_PAUSE: Final = 15.0
# After a signal, for what the program before it still has to say; it got the signal as well, if it came from the terminal.
LAST_WORDS: Final = 1.0


class Lines:
    """Bytes in, lines out. A line that ends with a carriage return alone (a progress bar) is replaced by the one that follows."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.arrived = threading.Event()
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._part = bytearray()
        self._overfull = False
        self._passing = False
        self._returned = False

    def feed(self, data: bytes) -> None:
        """More bytes, in any pieces."""
        start = 0
        while start < len(data):
            newline, carriage = data.find(b"\n", start), data.find(b"\r", start)
            end = min((at for at in (newline, carriage) if at >= 0), default=-1)
            self._keep(data[start:] if end < 0 else data[start:end])
            if end < 0:
                return
            self._end(passing=end == carriage)
            start = end + 1

    def finish(self) -> None:
        """There are no more bytes: what is left is a line too."""
        if self._part:
            self._end(passing=False)

    def take(self) -> list[str]:
        """All that wait, with a word about those that were dropped."""
        with self.lock:
            self.arrived.clear()
            self._passing = False
            taken, dropped = list(self._waiting), self._dropped
            self._waiting.clear()
            self._dropped = 0
        if dropped:
            taken.insert(0, f"… {dropped} lines dropped, faster than they can be sent …")
        return taken

    def put_back(self, lines: list[str]) -> None:
        """They could not be sent: before those that came since."""
        with self.lock:
            self._waiting.extendleft(reversed(lines))
            self._passing = self._passing and bool(self._waiting)
            self._trim()
            self.arrived.set()

    def _keep(self, data: bytes) -> None:
        room = MAX_BYTES - len(self._part)
        self._part += data[: max(0, room)]
        self._overfull = self._overfull or len(data) > room

    def _end(self, passing: bool) -> None:
        returned, self._returned = self._returned, passing
        if returned and not passing and not self._part:
            with self.lock:
                self._passing = False  # \r\n ends a line like \n alone
            return
        text = self._part.decode("utf-8", "replace")
        if self._overfull or len(text) > MAX_LINE:
            text = text[: MAX_LINE - 1] + "…"
        self._part.clear()
        self._overfull = False
        if passing and not text:
            return
        with self.lock:
            if self._passing and self._waiting:
                self._waiting[-1] = text
            else:
                self._waiting.append(text)
            self._passing = passing
            self._trim()
            self.arrived.set()

    def _trim(self) -> None:
        while len(self._waiting) > MAX_LINES:
            self._waiting.popleft()
            self._dropped += 1


class Pump:
    """`send` brings lines to the exporter or raises Trouble; `told` hears of each new trouble once; `keep` gets what is left."""

    def __init__(
        self, send: Callable[[list[str]], Any], told: Callable[[Trouble], None], keep: Callable[[list[str]], None], wait: float
    ) -> None:
        self.lines = Lines()
        self.trouble: Trouble | None = None
        self._send = send
        self._told = told
        self._keep = keep
        self._wait = wait
        self._closing = threading.Event()
        self._under_way: list[str] = []
        self._signal = 0
        self._thread = threading.Thread(target=self._run, name="headway-lines", daemon=True)

    def run(self, tee: bool) -> int:
        """Reads standard input to its end, or until a signal, and sends or keeps all of it. Exit code: 0, or 128 + the signal."""
        self._thread.start()
        try:
            return self._read(tee)
        finally:
            self.lines.finish()
            self._closing.set()
            self.lines.arrived.set()
            self._thread.join(self._wait + 1.0)
            left = [*self._under_way, *self.lines.take()]
            if left and (self.trouble is None or self.trouble.later):
                self._keep(left)

    def _read(self, tee: bool) -> int:
        """The signals only wake it up: an exception could come between reading some bytes and storing them."""
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as for a job in the background, or under nohup
                signal.signal(number, self._note)
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(woken, select.POLLIN)
        deadline: float | None = None
        while True:
            left = None if deadline is None else 1000 * (deadline - time.monotonic())
            ready = {descriptor for descriptor, _ in poll.poll(left)} if left is None or left > 0 else set()
            if woken in ready:
                os.read(woken, 1)
                deadline = time.monotonic() + LAST_WORDS
            elif not ready:
                return 128 + self._signal
            else:
                data = read()
                self.lines.feed(data)
                if not data:
                    return 128 + self._signal if self._signal else 0
                if tee:
                    write(data)

    def _note(self, number: int, frame: object) -> None:
        if self._signal:
            raise KeyboardInterrupt  # it was said twice
        self._signal = number

    def _run(self) -> None:
        pause = 0.0
        while True:
            self.lines.arrived.wait()
            closing = self._closing.is_set()
            self._under_way = self.lines.take()
            if self._under_way and (self.trouble is None or self.trouble.later):
                begun = time.monotonic()
                try:
                    self._send(self._under_way)
                except Trouble as trouble:
                    if self.trouble is None:
                        self._told(trouble)
                    self.trouble = trouble
                    pause = min(LONGEST_PAUSE, pause * 2 or INTERVAL)
                    if trouble.later:
                        self.lines.put_back(self._under_way)
                else:
                    self.trouble, pause = None, 0.0
                self._under_way = []
                if not closing:
                    self._closing.wait(max(INTERVAL, pause) - (time.monotonic() - begun))
            if closing:
                return


def read() -> bytes:
    """What there is; empty at the end, and for a standard input that is closed or unreadable."""
    try:
        return os.read(0, 65536)
    except OSError:
        return b""


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
