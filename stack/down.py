"""Ending what was started here, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from stack import services
from stack.layout import Layout
from stack.problem import Problem
from stack.service import Running

_ENDED = frozenset({"stopped", "killed", "was gone"})


def down(layout: Layout, say: Callable[[str], None]) -> None:
    """Ends each service, the last started first, and sees its end. Raises Problem naming what could not be ended."""
    left = []
    records = [record for name in services.NAMES if (record := Running.load(layout.run, name)) is not None]
    for record in reversed(records):
        how = record.process.end()
        say(f"{record.name} {how}")
        if how in _ENDED:
            record.forget(layout.run)
        else:
            left.append(f"{record.name} (pid {record.process.pid}) {how}")
    if left:
        raise Problem("; ".join(left))
    if not records:
        say("nothing runs")
