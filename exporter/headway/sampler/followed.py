"""What is remembered of a process that is asked about, from one pass to the next."""

from __future__ import annotations

from headway.sampler.host import Io, Row
from headway.sampler.kept_files import NOT_KEPT


class Thread:
    """One thread's scheduler statistics."""

    __slots__ = ("kept", "text", "wait")

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.text = b""
        self.wait = 0.0


class Followed:
    """A process that is asked about: its open files, and what was last read of them. `idle`: no thread of it has run since the
    last pass, so what only it can change is as it was. `fresh`: its waits are of this pass."""

    __slots__ = (
        "asked",
        "fd",
        "fds",
        "fresh",
        "idle",
        "io",
        "io_text",
        "io_value",
        "stat",
        "stat_row",
        "stat_text",
        "threads",
        "waits",
    )

    def __init__(self) -> None:
        self.asked = True
        self.idle = False
        self.fresh = False
        self.fds: int | None = None
        self.stat = self.io = self.fd = NOT_KEPT
        self.stat_text = self.io_text = b""
        self.stat_row: Row | None = None
        self.io_value: Io | None = None
        self.threads: dict[int, Thread] = {}
        self.waits: dict[int, float] = {}
