"""One command: started, its output passed on as it comes, signals handed to it, its end awaited. POSIX.

When standard output is a terminal the command gets a pseudo-terminal of its own, so that colours, bars, questions and Ctrl-C are
what they always are. Otherwise it gets pipes, and standard input is ours. It is never hindered by what is done with its output.
"""

from __future__ import annotations

import errno
import os
import pty
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, Protocol

from headway.supervisor.terminal import RawMode, become_controlling, copy_size, in_foreground, is_terminal, suspend_key
from headway.used import Used

CHUNK: Final = 65_536
TICK: Final = 0.5  # s between two looks at the clock
# After its end, for what is still in the pipe (s). A child it left behind may hold the pipe open for ever, or write into it; nobody
# waits for that.
DRAIN: Final = 0.3
LONGEST_DRAIN: Final = 5.0
BLOCK: Final = 512
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
FORWARDED: Final = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
FROM_THE_TERMINAL: Final = frozenset({signal.SIGINT, signal.SIGQUIT})


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended: `exit_code` 0–255, or the number of the `signal` that ended it. `used`: what it and the children that it
    waited for used of the machine; None where the system does not tell."""

    exit_code: int | None
    signal: int | None
    used: Used | None = field(default=None, compare=False)

    @property
    def status(self) -> int:
        """As a shell tells it: 128 + the number of the signal."""
        return self.exit_code if self.exit_code is not None else 128 + (self.signal or 0)


class CannotStart(Exception):
    """The command could not be started. `status` is what a shell would answer: 127 not found, 126 not executable."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class Watcher(Protocol):
    """Is told what happens to the command, on the thread that runs it. Nothing of it may raise or take long."""

    def output(self, data: bytes) -> None:
        """What it wrote, standard output and error as they came."""

    def paused(self) -> None:
        """It was stopped (Ctrl-Z, SIGSTOP)."""

    def resumed(self) -> None: ...

    def tick(self) -> None:
        """About every TICK seconds."""


class Command:
    """A command that has been started; `wait` runs it to its end. Use it on the main thread: it handles signals.

    `tied` leaves it in our process group where signals of the terminal reach it by themselves.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: str | None = None,
        prepare: Callable[[], None] | None = None,
        quiet: bool = False,
    ) -> None:
        """`prepare` is called in the new OS process before the command begins, where nothing but system calls is safe. `quiet`: its
        output goes to the watcher only. Raises CannotStart."""
        self.argv = list(argv)
        self._quiet = quiet
        self._prepare = prepare
        self._raw: RawMode | None = None
        self._master: int | None = None
        self._sources: dict[int, int] = {}  # what is read: where it goes
        self._tied = False
        self._returned: int | None = None
        self._used: Used | None = None
        self._stopped = False
        try:
            self.process = self._start(environ, cwd)
        except FileNotFoundError as error:
            missing = error.filename if isinstance(error.filename, str) else self.argv[0]
            what = f"there is no folder {missing}" if cwd is not None and missing == cwd else f"{missing}: command not found"
            if self.argv == [missing] and " " in missing:
                what += "; a line for the shell goes behind sh -c"
            raise CannotStart(what, NOT_FOUND) from None
        except OSError as error:
            raise CannotStart(f"{self.argv[0]}: {error.strerror}", NOT_EXECUTABLE) from None
        except subprocess.SubprocessError:  # what was done before it failed
            raise CannotStart(f"{self.argv[0]}: its limits could not be set", NOT_EXECUTABLE) from None
        self.pid = self.process.pid

    # ── start ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, environ: Mapping[str, str] | None, cwd: str | None) -> subprocess.Popen[bytes]:
        if is_terminal(1):
            return self._start_on_terminal(environ, cwd)
        # With a terminal to read from, its session must be ours as well. Signals of that terminal reach both of us.
        self._tied = is_terminal(0)
        process = subprocess.Popen(
            self.argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=cwd,
            start_new_session=not self._tied,
            preexec_fn=self._prepare,
            bufsize=0,
        )
        assert process.stdout is not None and process.stderr is not None
        self._sources = {process.stdout.fileno(): 1, process.stderr.fileno(): 2}
        return process

    def _start_on_terminal(self, environ: Mapping[str, str] | None, cwd: str | None) -> subprocess.Popen[bytes]:
        master, slave = pty.openpty()

        def prepare() -> None:
            become_controlling(1)
            if self._prepare is not None:
                self._prepare()

        try:
            copy_size(1, slave)
            process = subprocess.Popen(
                self.argv,
                stdin=slave if is_terminal(0) else None,
                stdout=slave,
                stderr=slave if is_terminal(2) else subprocess.PIPE,
                env=environ,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=prepare,
                bufsize=0,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self._master = master
        self._sources = {master: 1}
        if process.stderr is not None:
            self._sources[process.stderr.fileno()] = 2
        if is_terminal(0):
            self._raw = RawMode(0)
        return process

    # ── run ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def wait(self, watcher: Watcher) -> Ending:
        """Passes everything on until it has ended."""
        with (
            Signals((*FORWARDED, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT)) as signals,
            selectors.DefaultSelector() as ready,
        ):
            ready.register(signals.fd, selectors.EVENT_READ, "signal")
            for fd in self._sources:
                ready.register(fd, selectors.EVENT_READ, "output")
            if self._raw is not None:
                self._raw.enter()
                if in_foreground(0):
                    ready.register(0, selectors.EVENT_READ, "input")
            try:
                self._reap(watcher)
                looked = time.monotonic()
                while self._returned is None:
                    for key, _ in ready.select(TICK):
                        self._serve(key.data, key.fd, ready, signals, watcher)
                    if time.monotonic() - looked >= TICK:
                        looked = time.monotonic()
                        self._reap(watcher)
                        watcher.tick()
                self._drain(ready, watcher)
            finally:
                if self._raw is not None:
                    self._raw.leave()
                for fd in list(self._sources):
                    self._close(fd, None)
        assert self._returned is not None
        if self._returned >= 0:
            return Ending(self._returned, None, self._used)
        return Ending(None, -self._returned, self._used)

    def _serve(self, what: str, fd: int, ready: selectors.BaseSelector, signals: Signals, watcher: Watcher) -> None:
        if what == "signal":
            for number in signals.take():
                self._signalled(number, watcher)
        elif what == "output":
            self._pass_on(fd, ready, watcher)
        else:
            self._type(ready)

    def _pass_on(self, fd: int, ready: selectors.BaseSelector, watcher: Watcher) -> bool:
        """One piece of output from `fd` to where it belongs. False at its end."""
        try:
            data = os.read(fd, CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:  # a pseudo-terminal whose other side is closed
                raise
            data = b""
        if not data:
            self._close(fd, ready)
            return False
        try:
            if not self._quiet:
                write_all(self._sources[fd], data)
            return True
        except OSError:
            # Nobody reads any more: the command is told as it would be without us, by SIGPIPE at its next word.
            self._close(fd, ready)
            return False
        finally:
            watcher.output(data)

    def _type(self, ready: selectors.BaseSelector) -> None:
        assert self._master is not None
        try:
            data = os.read(0, CHUNK)
            if data:
                self._keys(data)
                return
        except OSError:
            pass
        ready.unregister(0)

    def _keys(self, data: bytes) -> None:
        """To the terminal of the command. The kernel does not let Ctrl-Z stop a process group whose parent is of another session,
        which is what the command is; its own jobs, if it is a shell, it does stop."""
        assert self._master is not None
        key = suspend_key(self._master)
        if key is not None and key in data and os.tcgetpgrp(self._master) == self.pid:
            before, _, data = data.partition(key)
            write_all(self._master, before)
            os.killpg(self.pid, signal.SIGSTOP)
        write_all(self._master, data)

    def _drain(self, ready: selectors.BaseSelector, watcher: Watcher) -> None:
        """What it wrote before its end and is still under way. What is there is read however late we are."""
        for key in list(ready.get_map().values()):
            if key.data != "output":
                ready.unregister(key.fd)
        now = time.monotonic()
        deadline, latest = now + DRAIN, now + LONGEST_DRAIN
        while self._sources:
            left = min(deadline, latest) - time.monotonic()
            found = [key.fd for key, _ in ready.select(max(0.0, left))]
            for fd in found:
                if self._pass_on(fd, ready, watcher):
                    deadline = time.monotonic() + DRAIN / 3
            if left <= 0 and (not found or time.monotonic() >= latest):
                return

    def _close(self, fd: int, ready: selectors.BaseSelector | None) -> None:
        if self._sources.pop(fd, None) is None:
            return
        if ready is not None:
            ready.unregister(fd)
        if fd == self._master:
            self._master = None
            if ready is not None and 0 in ready.get_map():
                ready.unregister(0)
            os.close(fd)
        else:
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None and not stream.closed and stream.fileno() == fd:
                    stream.close()

    # ── signals ────────────────────────────────────────────────────────────────────────────────────────────────────

    def signal(self, number: int) -> None:
        """To the command and what it started, as a terminal would: to its process group when that is its own."""
        if self._returned is not None:
            return
        try:
            if self._tied:
                os.kill(self.pid, number)
            else:
                os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _signalled(self, number: int, watcher: Watcher) -> None:
        if number == signal.SIGCHLD:
            self._reap(watcher)
        elif number == signal.SIGWINCH:
            if self._master is not None:
                copy_size(1, self._master)
        elif number == signal.SIGCONT:
            self._go_on(watcher)
        elif not (self._tied and number in FROM_THE_TERMINAL):
            self.signal(number)

    def _reap(self, watcher: Watcher) -> None:
        if self._returned is not None:
            return
        try:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:  # somebody else waited for it
            self._returned = self.process.returncode if self.process.returncode is not None else 0
            return
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            self._stop_too(watcher)
        elif os.WIFCONTINUED(status):
            self._note_going(watcher)
        else:
            self._returned = self.process.returncode = os.waitstatus_to_exitcode(status)
            # Linux counts blocks of 512 bytes there; others count calls.
            block = BLOCK if sys.platform == "linux" else 0
            self._used = Used(usage.ru_utime + usage.ru_stime, usage.ru_inblock * block, usage.ru_oublock * block)

    def _stop_too(self, watcher: Watcher) -> None:
        """It was stopped. On a terminal of its own that is Ctrl-Z, which the person meant for the whole job."""
        if not self._stopped:
            self._stopped = True
            watcher.paused()
        if self._raw is not None:
            self._raw.leave()
            os.kill(os.getpid(), signal.SIGSTOP)
            # Here somebody has let us go on: the shell by fg or bg.
            self._go_on(watcher)

    def _go_on(self, watcher: Watcher) -> None:
        if self._raw is not None:
            self._raw.enter()
        if self._stopped:
            self.signal(signal.SIGCONT)
            self._note_going(watcher)

    def _note_going(self, watcher: Watcher) -> None:
        if self._stopped:
            self._stopped = False
            watcher.resumed()


class Signals:
    """Signals as something to be read, in the order they came. The handlers before are put back at the end."""

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        self._numbers = numbers
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Signals:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self._numbers:
            # What is ignored already, as nohup does with SIGHUP, stays so; the command has inherited it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, lambda *_: None)
        return self

    def take(self) -> list[int]:
        try:
            return list(os.read(self.fd, 512))
        except BlockingIOError:
            return []

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.fd)
        os.close(self._write)


def write_all(fd: int, data: bytes) -> None:
    """Raises OSError. A descriptor that does not block somebody else has set so; it is waited for."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            with selectors.DefaultSelector() as ready:
                ready.register(fd, selectors.EVENT_WRITE)
                ready.select()
