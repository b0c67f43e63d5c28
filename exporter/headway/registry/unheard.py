"""How an OS process ended of which nobody was to say it: what its exit, as far as it is known, means. Pure."""

from __future__ import annotations

import signal
from typing import Final

from headway.model import Status
from headway.samples import Exit

# How daemons are told to end, by those who restart them too; 128 more is how many a program says that it was.
POLITE: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
POLITE_CODES: Final = frozenset(128 + number for number in POLITE)


def unheard(exit: Exit | None) -> tuple[Status, str]:
    """The status, and a sentence. A daemon that is gone is a fact; a failure is only what is known to be one."""
    if exit is None or not exit.known:
        return Status.DONE, "its OS process ended; how is not known"
    words = f"its OS process {'was ' if exit.signal is not None else ''}{exit}"
    if exit.code == 0:
        return Status.DONE, words
    if exit.signal in POLITE or exit.code in POLITE_CODES:
        return Status.CANCELLED, words
    return (Status.KILLED if exit.signal == signal.SIGKILL else Status.FAILED), words
