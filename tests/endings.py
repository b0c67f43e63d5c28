"""Trees of real OS processes, ended as the exporter does it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headway.ending.base import Outcome, Target
from headway.ending.system import OSSystem
from headway.ending.trees import end_trees
from headway.model import OSProcess
from headway.sampler.base import host_here
from headway.sampler.host import Row


def end(*roots: OSProcess, signal: int = signal.SIGTERM, grace: float = 5.0, **more: Any) -> list[Outcome]:
    targets = [Target(str(number), root) for number, root in enumerate(roots)]
    more.setdefault("host", host_here())
    more.setdefault("system", OSSystem())
    return end_trees(targets, signal=signal, grace=grace, **more)


def pids(processes: Sequence[OSProcess]) -> set[int]:
    return {process.pid for process in processes}


def changed(row: Row, **fields: Any) -> Row:
    return Row(**{name: getattr(row, name) for name in Row.__annotations__} | fields)


def target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # that of the listing itself
        return ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
