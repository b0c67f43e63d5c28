"""The whole of a process: its OS process, and by what those are known that left its tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headway.control.report import Asked
from headway.ending.base import Target
from headway.model import OSProcess, Process, Status
from headway.registry.registry import Registry
from headway.registry.watch import Watch
from headway.sampler.strays import Run

Below = Mapping[str, Sequence[Process]]


def tree_of(watch: Watch, process: Process, asked: Asked, below: Below) -> Target | None:
    """Its tree, with who left it and who left what was reported below it, as far as the caller may reach them. None when it has
    no OS process here."""
    root = watch.visible(process)
    if root is None:
        return None
    runs, known, queue = [run_of(process, root)], {process.id}, [process.id]
    for parent_id in queue:
        for one in below.get(parent_id, ()):
            spared = not asked.sees(one.spec.user) or (asked.spare_executors and one.spec.executor and one.status.active)
            if one.id in known or spared:
                continue
            known.add(one.id)
            queue.append(one.id)
            if one.status is not Status.QUEUED and (other := watch.visible(one)) is not None:
                runs.append(run_of(one, other))
    return Target(process.id, root, runs)


def run_of(process: Process, root: OSProcess) -> Run:
    """By which those are known that left its tree."""
    return Run(process.id, root, process.spec.user)


def reported_below(registry: Registry) -> Below:
    """By id: what was reported below it."""
    found: dict[str, list[Process]] = {}
    for entry in registry.entries.values():
        if (parent_id := entry.process.spec.parent_id) is not None:
            found.setdefault(parent_id, []).append(entry.process)
    return found
