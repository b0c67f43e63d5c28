"""A process of the kernel, told apart from a later one with the same pid, and how it is ended."""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from stack.waiting import wait_until


@dataclass(frozen=True, slots=True)
class OSProcess:
    """`ticks`: when it started, in clock ticks since the boot named `boot`. No other process has all three."""

    pid: int
    ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int, proc: Path = Path("/proc")) -> OSProcess | None:
        """The process that has this pid now; None when there is none, or only its zombie."""
        try:
            stat = (proc / str(pid) / "stat").read_text()
            boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        # The name in parentheses may hold anything, parentheses too; after it come the state and 18 numbers up to the start.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]), boot)

    @classmethod
    def born(cls, pid: int, create_time: float, proc: Path = Path("/proc")) -> OSProcess | None:
        """The process that has this pid now, if it is the one that began at that time (unix s)."""
        found = cls.of(pid, proc)
        if found is None:
            return None
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        # As the exporter, which wrote it, allows: the clock may have been corrected since.
        return found if abs(booted + found.ticks / os.sysconf("SC_CLK_TCK") - create_time) <= 2.0 else None

    @property
    def alive(self) -> bool:
        return OSProcess.of(self.pid) == self

    def end(self, grace: float = 10.0) -> str:
        """SIGTERM, after `grace` seconds SIGKILL. How it went: "was gone", "stopped", "killed", "still runs" or "not permitted"."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return "was gone"
        except OSError:
            return self._end_by_pid(grace)
        try:
            # The handle was got by pid: only now it is sure whose it is, and it stays so.
            if not self.alive:
                return "was gone"
            for number, patience, answer in ((signal.SIGTERM, grace, "stopped"), (signal.SIGKILL, 5.0, "killed")):
                signal.pidfd_send_signal(handle, number)
                if select.select([handle], [], [], patience)[0]:
                    return answer
            return "still runs"
        except ProcessLookupError:
            return "stopped"
        except PermissionError:
            return "not permitted"
        finally:
            os.close(handle)

    def _end_by_pid(self, grace: float) -> str:
        """Where there is no pidfd: kernels before 5.3, and some sandboxes."""
        for number, patience, answer in ((signal.SIGTERM, grace, "stopped"), (signal.SIGKILL, 5.0, "killed")):
            if not self.alive:
                return "was gone"
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return "stopped"
            except PermissionError:
                return "not permitted"
            if wait_until(lambda: not self.alive, patience):
                return answer
        return "still runs"
