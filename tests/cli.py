"""Runs the installed command `headway` as people do."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HEADWAY = str(Path(sys.executable).with_name("headway"))


def headway(
    *args: str, environ: Mapping[str, str] | None = None, timeout: float = 60.0, **more: str
) -> subprocess.CompletedProcess[str]:
    """The outcome of `headway ARGS…`, with `environ` (and `more`) beside this process's environment without its HEADWAY_… ones."""
    return subprocess.run(
        [HEADWAY, *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**surroundings(), **(environ or {}), **more},
        stdin=subprocess.DEVNULL,
    )


def surroundings() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("HEADWAY_") and k not in ("NO_COLOR", "COLUMNS", "LINES")}


@dataclass
class OnTerminal:
    """A command on a terminal of its own; `text` is what it has written there so far."""

    child: subprocess.Popen[bytes]
    text: str = ""
    keyboard: int = -1

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())


@contextmanager
def on_terminal(*args: str, environ: Mapping[str, str], width: int = 140) -> Iterator[OnTerminal]:
    """`headway ARGS…` on a terminal with `width` columns; ended at the end if it still runs."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    env = {**surroundings(), "TERM": "xterm-256color", **environ}
    for size in ("COLUMNS", "LINES"):  # those of the terminal count
        env.pop(size, None)
    child = subprocess.Popen([HEADWAY, *args], stdin=its, stdout=its, stderr=its, env=env, start_new_session=True)
    os.close(its)
    command = OnTerminal(child, keyboard=ours)

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # what Linux answers when the other side is closed
                return
            if not part:
                return
            command.text += part.decode("utf-8", "replace")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield command
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        reader.join(30)
        os.close(ours)
