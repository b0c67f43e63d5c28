"""Real OS process trees for tests: started from a few lines of Python, bounded in time, ended after the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from headway.model import OSProcess
from headway.sampler.base import identify
from waiting import wait_until

# No child outlives a test run by more than this (s), whatever goes wrong.
LIFETIME = 120
PRELUDE = f"""
import os, signal, sys, time
signal.alarm({LIFETIME})
def fork(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm({LIFETIME})
        try:
            work()
        finally:
            os._exit(0)
    return pid
def rest():
    while True:
        time.sleep(60)
def busy():
    while True:
        pass
def deaf():
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())
def note(path):
    with open(path, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
"""

# A daemon as it is written in books: twice forked, in a session of its own. It has left the tree when its pid is known.
DAEMON = """
def daemon(work=rest):
    there, here = os.pipe()
    def first():
        os.setsid()
        os.write(here, str(fork(lambda: (os.setsid(), work()))).encode())
    os.waitpid(fork(first), 0)
    return int(os.read(there, 20))
"""


@dataclass
class Script:
    """A started script. `said` waits for its next line."""

    child: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def process(self) -> OSProcess:
        found = identify(self.pid)
        assert found is not None
        return found

    def said(self) -> str:
        assert self.child.stdout is not None
        line = self.child.stdout.readline().strip()
        assert line, "it ended before it said anything"
        return line

    def pids(self) -> list[int]:
        return [int(word) for word in self.said().split()]


class Started:
    """Starts scripts. Whatever they fork inherits a mark in the environment, by which `end` finds all that is left of them."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.mark = f"TREE_OF_A_TEST={uuid.uuid4().hex}"

    def __call__(
        self, source: str, *args: str, own_session: bool = True, ready: bool = False, environ: Mapping[str, str] | None = None
    ) -> Script:
        command = [sys.executable, "-c", PRELUDE + source, *args]
        whole = {**os.environ, "TREE_OF_A_TEST": self.mark.partition("=")[2], **(environ or {})}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=own_session, env=whole)
        script = Script(child)
        self.scripts.append(script)
        if ready:
            assert script.said() == "ready"
        return script

    def left(self) -> list[int]:
        """The pids of all that run."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdecimal() and self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue  # gone, or somebody else's
        return found

    def end(self) -> None:
        deadline = time.monotonic() + 30
        while (left := self.left()) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for script in self.scripts:
            script.child.kill()  # one whose first thread has ended shows no environment
            script.child.wait(30)
            if script.child.stdout is not None:
                script.child.stdout.close()


@contextmanager
def starting() -> Iterator[Started]:
    started = Started()
    try:
        yield started
    finally:
        started.end()


def runs(pid: int) -> bool:
    """Whether an OS process of this pid runs; a zombie does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_resting(pid: int) -> None:
    """Until its first thread has nothing left to do but to wait: it was not once on a processor between two looks."""
    seen = [""]

    def rests() -> bool:
        status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
        seen.append(status[status.index("voluntary_ctxt_switches") :])
        return state(pid) == "S" and seen[-1] == seen[-2]

    wait_until(rests, what=f"{pid} rests", interval=0.1)


def wait_gone(*pids: int, timeout: float = 30.0) -> None:
    wait_until(lambda: not [pid for pid in pids if runs(pid)], timeout=timeout, what=f"the end of {pids}")


def with_pid(pid: int, start: Started, attempts: int = 200) -> Script | None:
    """A new script that has this pid, which must be free; None where the system does not let us choose (only root may)."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    deadline = time.monotonic() + 20
    for _ in range(attempts):
        if time.monotonic() > deadline:
            return None
        try:
            last.write_text(str(pid - 1))
        except OSError:
            return None
        script = start("say('ready'); rest()")
        if script.pid == pid:
            assert script.said() == "ready"
            return script
        script.child.kill()
        script.child.wait(30)
    return None
