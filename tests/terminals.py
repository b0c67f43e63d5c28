"""A terminal for tests: a program runs on it as if a person sat before it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence

from waiting import wait_until


class Terminal:
    """Starts `command` as the leader of a session on a terminal of `rows` × `columns`. What it shows gathers in `shown`."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str] | None = None, rows: int = 40, columns: int = 100
    ) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvpe(command[0], list(command), dict(os.environ if environ is None else environ))
            finally:
                os._exit(127)
        self.shown = ""
        self._code: int | None = None

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def read(self) -> str:
        """What it has shown so far."""
        while select.select([self.fd], [], [], 0)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # the other side is closed
                break
            if not data:
                break
            self.shown += data.decode("utf-8", "replace")
        return self.shown

    def wait_for(self, text: str, seconds: float = 20) -> None:
        wait_until(lambda: text in self.read(), seconds, f"{text!r} on the terminal, which shows {self.shown[-2000:]!r}")

    def wait(self, seconds: float = 20) -> int:
        """Its exit code, or minus the number of the signal that ended it."""
        deadline = time.monotonic() + seconds

        def ended() -> bool:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            return pid != 0

        wait_until(ended, max(0.1, deadline - time.monotonic()), f"the end of the program, which shows {self.shown[-2000:]!r}")
        self.read()
        assert self._code is not None
        return self._code

    def hang_up(self, seconds: float = 20) -> int:
        """Closes the terminal under the program, as a closed window or a broken connection does, and waits for its end: its exit
        code, or minus the number of the signal that ended it."""
        os.close(self.fd)
        self.fd = -1

        def ended() -> bool:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            return pid != 0

        wait_until(ended, seconds, "the end of the program after its terminal was closed")
        assert self._code is not None
        return self._code

    def close(self) -> None:
        if self._code is None:
            try:
                os.kill(self.pid, 9)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        if self.fd != -1:
            os.close(self.fd)
