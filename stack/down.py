"""Ending what was started here, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from stack.exporter import Unanswered, call, kept
from stack.layout import Layout
from stack.problem import Problem
from stack.service import Running

_ENDED = frozenset({"stopped", "killed", "was gone"})
# The grace of each is ten seconds, and they end one after the other at worst (s).
_PATIENCE: Final = 60.0


def down(layout: Layout, say: Callable[[str], None]) -> None:
    """Ends what the exporter keeps, services of the user's own too, then the exporter, and sees their end. The next `up` starts
    all of it again. Raises Problem naming what could not be ended."""
    record = Running.load(layout.run, "exporter")
    names = list(kept(layout))
    left = []
    for name, how in end_kept(layout, names).items():
        say(f"{name} {how}")
        if how not in _ENDED:
            left.append(f"{name} {how}")
    if record is not None:
        how = record.process.end()
        say(f"exporter {how}")
        if how in _ENDED:
            record.forget(layout.run)
        else:
            left.append(f"exporter (pid {record.process.pid}) {how}")
    if left:
        raise Problem("; ".join(left))
    if record is None and not names:
        say("nothing runs")


def end_kept(layout: Layout, names: Sequence[str]) -> dict[str, str]:
    """Ends services of the exporter, by name how it went. Through the exporter where it answers, or it would start them again."""
    record = Running.load(layout.run, "exporter")
    if record is not None:
        try:
            found = call(layout, record.url, "stop-all", {"names": list(names), "for_now": True}, _PATIENCE)
            return {one["name"]: one["status"] if one["status"] == "stopped" else str(one["reason"]) for one in reversed(found)}
        except (Unanswered, Problem):
            pass  # what it cannot do, or does not any more, is done from here
    alive = kept(layout)
    return {name: alive[name].end() for name in reversed(names) if name in alive}
