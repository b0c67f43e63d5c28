"""Ending what was started here, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from stack.exporter import Supervised, Unanswered, call, supervised
from stack.layout import Layout
from stack.problem import Problem
from stack.service import Running

_ENDED = frozenset({"stopped", "killed", "was gone"})
# The grace of each is ten seconds, and they end one after the other at worst (s).
_PATIENCE: Final = 60.0


def down(layout: Layout, say: Callable[[str], None]) -> None:
    """Ends what the exporter keeps, then the exporter, and sees their end. Raises Problem naming what could not be ended."""
    record = Running.load(layout.run, "exporter")
    names = [name for name, one in supervised(layout).items() if one.process is not None or (one.wanted and record is not None)]
    left = []
    for name, how in end_supervised(layout, names).items():
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


def end_supervised(layout: Layout, names: Sequence[str]) -> dict[str, str]:
    """Ends services of the exporter, by name how it went. Through the exporter where it answers, or it would start them again."""
    if not names:
        return {}
    known = supervised(layout)
    record = Running.load(layout.run, "exporter")
    if record is not None:
        try:
            found = call(layout, record.url, "stop-all", {"names": list(names)}, _PATIENCE)
            return {one["name"]: one["status"] if one["status"] == "stopped" else str(one["reason"]) for one in reversed(found)}
        except (Unanswered, Problem):
            pass  # what it cannot do, or does not any more, is done from here
    return {name: _end(known[name]) for name in reversed(names) if name in known}


def _end(one: Supervised) -> str:
    return "was gone" if one.process is None else one.process.end()
