"""What a command is not to inherit: capabilities that the exporter was given to look after others (capabilities(7))."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


def has_ambient(status: str | Path = "/proc/self/status") -> bool:
    """Whether this process would hand capabilities on to what it executes."""
    try:
        lines = Path(status).read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("CapAmb:") and int(line.split()[1], 16) for line in lines)


def keep_for_ourselves() -> None:
    """What is executed from here on gets none of our capabilities, unless the program file itself gives some. Raises OSError."""
    if not has_ambient():
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the ambient capabilities could not be given up")
