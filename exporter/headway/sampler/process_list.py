"""Which processes there are: /proc is listed only where somebody may have come or gone, which costs over a microsecond each."""

from __future__ import annotations

import os
from typing import Final

from headway.sampler.kept_files import NOT_KEPT, KeptFiles

# Listed anew every so many times whatever the kernel counts.
_TIMES: Final = 16
_LENGTH: Final = 128
_Stamp = tuple[bytes, bytes]


class ProcessList:
    """`proc` is where that file system is mounted. Of one thread.

    The last two fields of /proc/loadavg are how many threads run and exist, and the process id that was given last: nobody has come
    as long as that stands, and nobody has gone, reaped included, as long as there are as many threads. That holds where both tell
    of the same processes: where /proc is of our own pid namespace, and loadavg is neither covered by another mount (as lxcfs does)
    nor made up (as gVisor does, with zeros).
    """

    def __init__(self, proc: str, files: KeptFiles) -> None:
        self._proc = proc
        self._files = files
        self._loadavg: int | None = None  # not tried yet
        self._stamp: _Stamp | None = None
        self._since = 0
        self._names: list[str] = []
        self._pids: list[int] = []

    def pids(self) -> list[int]:
        """Those of now, as the kernel lists them. Not to be changed."""
        stamp = self._read()  # before the folder: who comes in between is listed now and makes the next stamp another one
        if stamp is not None and stamp == self._stamp and self._since < _TIMES:
            self._since += 1
            return self._pids
        # Path objects would cost more than the rest of the pass: plain strings in all of the sampler.
        names = self._files.names(self._proc)
        if names != self._names:
            self._names, self._pids = names, [int(name) for name in names if name.isdecimal()]
        self._stamp, self._since = stamp, 0
        return self._pids

    def close(self) -> None:
        """From then on the folder is listed every time."""
        if self._loadavg is not None and self._loadavg != NOT_KEPT:
            os.close(self._loadavg)
        self._loadavg, self._stamp = NOT_KEPT, None

    def _open(self) -> int:
        """NOT_KEPT where it does not tell of what the folder lists."""
        try:
            own = os.readlink(f"{self._proc}/self") == str(os.getpid())  # noqa: PTH115
            if not own or os.stat(f"{self._proc}/loadavg").st_dev != os.stat(self._proc).st_dev:  # noqa: PTH116
                return NOT_KEPT
            return os.open(f"{self._proc}/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return NOT_KEPT

    def _read(self) -> _Stamp | None:
        if self._loadavg is None:
            self._loadavg = self._open()
        if self._loadavg == NOT_KEPT:
            return None
        try:
            fields = os.pread(self._loadavg, _LENGTH, 0).split()
        except OSError:
            return None
        if len(fields) != 5:
            return None
        threads, last = fields[3].rpartition(b"/")[2], fields[4]
        return None if threads == b"0" or last == b"0" else (threads, last)
