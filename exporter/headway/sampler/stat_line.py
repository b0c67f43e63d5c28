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
_DEAD: Final = (b"X", b"x")
# What is read at most of a line: what is wanted of it ends before that even if every number is as long as can be.
LONGEST_LINE: Final = 448
# Makes a named tuple of all its values in their order, in half the time that calling its class takes.
_new: Final = tuple.__new__


def wanted(text: bytes) -> int:
    """How many bytes of a whole line `parse_stat` looks at."""
    return len(text) - len(text[text.rfind(b")") + 2 :].split(None, 22)[22])


def parse_stat(pid: int, text: bytes, booted: float) -> Row | None:
    """The fields are counted from the one behind the name, which may contain anything. None for half a line, and for someone who
    is dead and was waited for."""
    fields = text[text.rfind(b")") + 2 :].split(None, 22)
    if len(fields) < 23 or fields[0] in _DEAD:  # one more than wanted: the last one may be cut
        return None
    # What stands here is said of every process that ran, in every pass: one unpacking costs half of as many look-ups.
    state, ppid, _, session, _, _, _, faults, reaped_faults, majors, reaped_majors, user, system, reaped_user, reaped_system = (
        fields[:15]
    )
    started = int(fields[19])
    return _new(
        Row,
        (
            pid,
            int(ppid),
            int(session),
            started,
            booted + started / _TICKS,
            state == b"Z",
            (int(user) + int(system)) / _TICKS,
            (int(reaped_user) + int(reaped_system)) / _TICKS,
            int(faults),
            int(reaped_faults),
            int(fields[21]) * _PAGE,
            int(fields[17]),
            _STATES.get(state),
            0 if majors == reaped_majors == b"0" else int(majors) + int(reaped_majors),  # most had none
        ),
    )
