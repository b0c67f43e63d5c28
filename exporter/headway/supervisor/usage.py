"""Whether a running command still uses no more than it may: its tree is read about once a second, in a thread of its own.

Done by who runs the command, so that a limit holds while no exporter runs. What is used up within a second is seen late; whoever
must be stopped before that needs a cgroup.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from headway.ending.base import Target
from headway.ending.system import OSSystem
from headway.ending.trees import look_at
from headway.model import OSProcess
from headway.resources import Resources
from headway.sampler.base import Sampler, host_here, identify
from headway.sampler.strays import Marks, Run
from headway.sampler.tree_sampler import TreeSampler

INTERVAL: Final = 1.0


class UsageWatch:
    """`passed` says in words which limit was passed, once one was. Trouble with looking is told by `warn`, and ends nothing. Who
    left the tree counts too, known by `run_id`."""

    def __init__(
        self,
        pid: int,
        limits: Resources,
        warn: Callable[[str], None],
        interval: float = INTERVAL,
        sampler: Sampler | None = None,
        run_id: str = "",
    ) -> None:
        self.passed: str | None = None
        self._pid = pid
        self._limits = limits
        self._warn = warn
        self._interval = interval
        self._sampler = sampler
        self._id = run_id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="usage", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            root = identify(self._pid)
            sampler = self._sampler or TreeSampler(marks=Marks())
            while root is not None and self.passed is None and not self._over.wait(self._interval):
                self.passed = self._look(root, sampler)
        except Exception as error:
            self._warn(f"its limits no longer hold; what it uses cannot be read: {type(error).__name__}: {error}")

    def _look(self, root: OSProcess, sampler: Sampler) -> str | None:
        sample = sampler.sample({self._id: root}).get(self._id)
        if sample is None or not sample.alive:
            return None
        limits = self._limits
        if limits.cpu_time is not None and sample.cpu_seconds is not None and sample.cpu_seconds > limits.cpu_time:
            return f"it used {sample.cpu_seconds:.1f} s of CPU time; its limit is {limits.cpu_time:g} s"
        if limits.memory is not None and sample.resident_bytes is not None and sample.resident_bytes > limits.memory:
            used = min(sample.resident_bytes, memory_of_tree(Run(self._id, root), sample.resident_bytes))
            if used > limits.memory:
                return f"it used {mebibytes(used)} of memory; its limit is {mebibytes(limits.memory)}"
        return None


def memory_of_tree(run: Run, unknown: int, proc: str = "/proc") -> int:
    """Bytes of memory with pages that several share counted once, as far as only they share them. Dearer than the sum of what is
    resident, so it is asked for only when that sum is too much. `unknown` where the kernel does not tell."""
    (outcome,) = look_at([Target(run.id, run.root, (run,))], host_here(), OSSystem())
    total = 0
    for member in outcome.members:
        try:
            text = Path(f"{proc}/{member.pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            if not Path(f"{proc}/{member.pid}").exists():
                continue
            return unknown
        except OSError:
            return unknown
    return total


def mebibytes(amount: int) -> str:
    """In one unit throughout, so that what was used and what was allowed can be compared."""
    number = amount / (1 << 20)
    return f"{number:,.0f} MiB" if number >= 100 else f"{number:.1f}".removesuffix(".0") + " MiB"
