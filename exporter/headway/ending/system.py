"""What ending asks of the kernel: to hold one OS process so that a signal reaches it or nobody, and to say when it has ended."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from headway.sampler.strays import Marks

# Beyond this many, an OS process is held for the moment of a signal only: file descriptors are few.
MOST_HELD: Final = 200
_PF_KTHREAD: Final = 0x00200000
_LONGEST_COMMAND: Final = 16_384


@dataclass(frozen=True, slots=True)
class Facts:
    """`state` is the kernel's letter (proc_pid_stat(5)), T for stopped; `uid` whose it is. None: not known here."""

    state: str | None = None
    kernel_thread: bool = False
    uid: int | None = None


class Grip(Protocol):
    def send(self, number: int) -> None:
        """Raises ProcessLookupError when it has ended, PermissionError when it belongs to someone else."""

    def ended(self) -> bool | None:
        """Whether all its threads have ended, waited for or not; None: cannot tell."""

    def close(self) -> None: ...


class System(Protocol):
    """`own_pid`: the exporter. `sleep` and `clock` are those of the waiting."""

    @property
    def own_pid(self) -> int: ...

    @property
    def marks(self) -> Marks:
        """Who is known to have left a run."""

    def hold(self, pid: int, same: Callable[[], bool]) -> Grip:
        """`same` looks whether the pid still is who is meant. Raises ProcessLookupError when it is not."""

    def facts(self, pid: int) -> Facts | None:
        """None when there is no such process, or nothing is known of it."""

    def command(self, pid: int) -> str | None:
        """Its command line, arguments parted by NUL, unmasked; [name] for who has none."""

    def wait(self, grips: Iterable[Grip], seconds: float) -> None:
        """Until one of them has ended, at most so long."""

    def clock(self) -> float: ...


class _PidfdGrip:
    """The descriptor names this one process for ever, whoever gets its pid later."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def send(self, number: int) -> None:
        signal.pidfd_send_signal(self.fd, number)

    def ended(self) -> bool | None:
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        os.close(self.fd)


class _PidGrip:
    """For systems without pidfd: looked at again right before each signal."""

    def __init__(self, pid: int, same: Callable[[], bool]) -> None:
        self.pid = pid
        self.same = same

    def send(self, number: int) -> None:
        if not self.same():
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, number)

    def ended(self) -> bool | None:
        return None

    def close(self) -> None:
        pass


class OSSystem:
    """The running one. `pidfd`: whether to use it where the kernel has it."""

    def __init__(self, proc: str = "/proc", pidfd: bool = True, marks: Marks | None = None) -> None:
        self._proc = proc
        self.marks = marks or Marks()
        self._pidfd = pidfd and hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")

    @property
    def own_pid(self) -> int:
        return os.getpid()

    def clock(self) -> float:
        return time.monotonic()

    def hold(self, pid: int, same: Callable[[], bool]) -> Grip:
        grip: Grip = _PidGrip(pid, same)
        if self._pidfd:
            try:
                grip = _PidfdGrip(os.pidfd_open(pid))
            except OSError as error:
                if error.errno == errno.ESRCH:
                    raise ProcessLookupError(pid) from None
                # No descriptor left, an old kernel, a sandbox: the careful way by pid remains.
        # Only now: what the descriptor names is what had the pid when it was opened.
        if not same():
            grip.close()
            raise ProcessLookupError(pid)
        return grip

    def facts(self, pid: int) -> Facts | None:
        try:
            with Path(f"{self._proc}/{pid}/stat").open("rb") as file:
                text = file.read()
                uid = os.fstat(file.fileno()).st_uid
        except OSError:
            return None
        fields = text[text.rfind(b")") + 2 :].split(None, 8)
        return Facts(fields[0].decode(), bool(int(fields[6]) & _PF_KTHREAD), uid)

    def command(self, pid: int) -> str | None:
        try:
            with Path(f"{self._proc}/{pid}/cmdline").open("rb") as file:
                text = file.read(_LONGEST_COMMAND).rstrip(b"\0")
            if not text:
                with Path(f"{self._proc}/{pid}/comm").open("rb") as file:
                    text = b"[" + file.read().rstrip(b"\n") + b"]"
        except OSError:
            return None
        return text.decode("utf-8", "replace")

    def wait(self, grips: Iterable[Grip], seconds: float) -> None:
        poll, found = select.poll(), 0
        for grip in grips:
            if isinstance(grip, _PidfdGrip):
                poll.register(grip.fd, select.POLLIN)
                found += 1
        if found:
            poll.poll(max(0.0, seconds) * 1000)
        else:
            time.sleep(max(0.0, min(seconds, 0.02)))
