"""Whether two processes are of one program that runs the same command, such as workers that it forked."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Final

from headway.masking import mask_command
from headway.model import OSProcess, Process
from headway.sampler.base import host_here, is_foreign, is_same, own_pid_namespace
from headway.sampler.details import Details, details_here
from headway.sampler.host import Host

# Nobody stands deeper below init than this, or is looked for further up.
DEEPEST: Final = 64
# Pairs that are looked at in a second; a pool of thousands is known after a while. A look takes a tenth of a millisecond.
PAIRS: Final = 50
# Of so many pairs the answer is kept; a parent that is gone can then not be forgotten.
KEPT: Final = 20_000


class Kinship:
    """Event-loop thread: a few short files for each pair that was not asked for before."""

    def __init__(
        self, host: Host | None = None, details: Details | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host or host_here()
        self._details = details or details_here()
        self._monotonic = monotonic
        self._namespace = own_pid_namespace()
        self._known: dict[tuple[OSProcess, OSProcess], bool] = {}
        self._second, self._looks = monotonic(), 0

    def of_one_program(self, one: Process, other: Process) -> bool:
        """Of two with the same command: one brought the other forth, or both come from somebody who runs it too. What is not known
        yet counts as so: nobody is called a duplicate before it was looked at."""
        a, b = one.spec.os_process, other.spec.os_process
        if a is None or b is None or None in (a.create_time, b.create_time):
            return False
        if is_foreign(a, self._namespace) or is_foreign(b, self._namespace):
            return False
        known = self._known.get((a, b))
        if known is not None:
            return known
        now = self._monotonic()
        if now - self._second >= 1:
            self._second, self._looks = now, 0
        self._looks += 1
        if self._looks > PAIRS:
            return True
        if len(self._known) >= KEPT:
            self._known.clear()
        found = self._known[a, b] = self._look(a, b, one.spec.command)
        return found

    def _look(self, a: OSProcess, b: OSProcess, command: str | None) -> bool:
        above, below = self._line(a), self._line(b)
        if not above or not below:
            return False
        if a.pid in below or b.pid in above:
            return True
        return any(self._runs(pid, command) for pid in below if pid in above)

    def _line(self, process: OSProcess) -> list[int]:
        """Its pid, that of its parent, and so on, without init; empty for one that is gone."""
        found: list[int] = []
        pid = process.pid
        while pid > 1 and len(found) < DEEPEST:
            try:
                row = self._host.row(pid)
            except OSError:
                break
            if row is None or (not found and not is_same(row, process)):
                break
            found.append(pid)
            pid = row.ppid
        return found

    def _runs(self, pid: int, command: str | None) -> bool:
        words = self._details.argv(pid)
        return bool(words) and mask_command(shlex.join(words or ())) == command
