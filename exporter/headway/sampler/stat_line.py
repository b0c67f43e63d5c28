"""/proc/PID/stat, the line of the process table."""

from __future__ import annotations

import os
from typing import Final

from headway.sampler.host import Row

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATES: Final = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "disk-sleep",
    b"T": "stopped",
    b"t": "tracing-stop",
    b"Z": "zombie",
    b"I": "idle",
    b"W": "waking",
    b"P": "parked",
    b"K": "wake-kill",
}


def parse_stat(pid: int, text: bytes, booted: float) -> Row | None:
    """The fields are counted from the one behind the name, which may contain anything. None for half a line, and for someone who
    is dead and was waited for."""
    fields = text[text.rfind(b")") + 2 :].split(None, 22)
    if len(fields) < 22 or fields[0] in (b"X", b"x"):
        return None
    started = int(fields[19])
    return Row(
        pid,
        int(fields[1]),
        int(fields[3]),
        started,
        booted + started / _TICKS,
        fields[0] == b"Z",
        (int(fields[11]) + int(fields[12])) / _TICKS,
        (int(fields[13]) + int(fields[14])) / _TICKS,
        int(fields[7]),
        int(fields[8]),
        int(fields[21]) * _PAGE,
        int(fields[17]),
        _STATES.get(fields[0]),
    )
