"""The terminal between a person and a command that runs behind a pseudo-terminal of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
import tty
from typing import Any

SIZE_UNKNOWN = struct.pack("HHHH", 24, 80, 0, 0)


def is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def in_foreground(fd: int) -> bool:
    """Whether we may read from this terminal: a job in the background would be stopped by it."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def copy_size(source: int, target: int) -> None:
    """Gives the terminal `target` the size of `source`; its programs are told by SIGWINCH."""
    try:
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        size = SIZE_UNKNOWN
    fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def become_controlling(fd: int) -> None:
    """Makes `fd` the terminal of this session, for a session leader without one."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def suspend_key(fd: int) -> bytes | None:
    """What one types on this terminal to stop its program, usually Ctrl-Z; None while the program reads every key itself."""
    flags, keys = termios.tcgetattr(fd)[3], termios.tcgetattr(fd)[6]
    key: bytes = keys[termios.VSUSP]
    return key if flags & termios.ISIG and key != b"\0" else None


class RawMode:
    """Keys go through as they are typed, Ctrl-C too: the pseudo-terminal behind it makes of them what it always does."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._before: list[Any] | None = None

    def enter(self) -> None:
        """Does nothing in the background, where it would stop us."""
        if self._before is None and in_foreground(self._fd):
            self._before = termios.tcgetattr(self._fd)
            tty.setraw(self._fd, termios.TCSADRAIN)

    def leave(self) -> None:
        """Does nothing where the terminal is gone: its window was closed, the connection to it broke."""
        before, self._before = self._before, None
        if before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
