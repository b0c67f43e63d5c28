"""The signals that may be asked for, by name or number."""

from __future__ import annotations

from signal import Signals
from typing import Final

from headway.errors import InvalidInput

# Those that ask a program to end, or that programs use for it. Stopping and going on have calls of their own.
ACCEPTED: Final = (
    Signals.SIGTERM,
    Signals.SIGINT,
    Signals.SIGHUP,
    Signals.SIGQUIT,
    Signals.SIGABRT,
    Signals.SIGUSR1,
    Signals.SIGUSR2,
    Signals.SIGKILL,
)


def parse_signal(value: str | int, field: str = "signal") -> Signals:
    """SIGTERM, TERM, term or 15. Raises InvalidInput."""
    text = str(value).strip().upper()
    for signal in ACCEPTED:
        if text in (signal.name, signal.name.removeprefix("SIG"), str(signal.value)):
            return signal
    names = ", ".join(signal.name for signal in ACCEPTED)
    raise InvalidInput(f"{field}: accepted are {names}, with or without SIG, or their numbers", field=field)
