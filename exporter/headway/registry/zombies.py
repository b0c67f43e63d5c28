"""Processes whose OS process has ended and is left in the process table by a parent that does not wait for it: given up after a
while. People have been told of them by then (the gate zombie)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headway import gates
from headway.registry.watch import Watch
from headway.sampler.exits import exit_of_zombie
from headway.samples import Exit


def give_up_zombies(watch: Watch, read_exit: Callable[[int], Exit | None] = exit_of_zombie) -> list[str]:
    """Those that have been zombies for the time of `zombie_cleanup` become orphaned; returns their ids."""
    now, patience = watch.registry.clock(), watch.registry.settings.zombie_cleanup
    found = []
    for process_id, entry in list(watch.registry.entries.items()):
        since = entry.sample.zombie_since if entry.sample is not None else None
        root = watch.visible(entry.process)
        if since is None or root is None or entry.in_hand or not entry.process.status.active or now - since < patience:
            continue
        exit = watch.exit_of(process_id)
        if exit is None or not exit.known:
            exit = read_exit(root.pid) or exit or Exit(at=since)
        exit = replace(exit, at=min(exit.at, since))
        what = f"its OS process {exit}, and its parent has not waited for it for {gates.span(now - since)}"
        watch.orphan(entry, exit.at, what)
        found.append(process_id)
    return found
