"""The tree of an OS process as people look at it: command, state, CPU and memory of each member."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from headway.ending.base import Spared, Target
from headway.ending.family import key_of
from headway.ending.system import System
from headway.ending.trees import look_at
from headway.masking import mask_command
from headway.model import OSProcess
from headway.sampler.base import is_same
from headway.sampler.host import Host, Row

# CPU is what was used between two looks, so far apart (s): the kernel counts in hundredths.
APART: Final = 0.25
_LONGEST: Final = 1000
_STATES: Final = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a device",
    "T": "stopped",
    "t": "traced",
    "Z": "zombie",
    "I": "idle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """`parent`: the pid of the member that it stands below; None for the root, and for a `stray`, who has left the tree.
    `cpu_ratio`: 1 is one core."""

    process: OSProcess
    parent: int | None
    command: str | None
    state: str | None
    cpu_ratio: float | None
    cpu_seconds: float | None
    memory_bytes: int | None
    threads: int | None
    stray: bool = False


def picture_of(target: Target, host: Host, system: System, spared: Sequence[Spared] = ()) -> list[Node]:
    """The members, parents before children; of a root that is gone only who left its tree. Those below `spared` are left out."""
    (outcome,) = look_at([target], host, system, spared)
    before, started = {member.pid: host.row(member.pid) for member in outcome.members}, system.clock()
    if not before:
        return []
    while (left := started + APART - system.clock()) > 0:
        system.wait((), left)
    now = {pid: row for pid in before if (row := host.row(pid)) is not None}
    seconds = system.clock() - started
    rows = {pid: row for pid, row in now.items() if (first := before[pid]) is not None and key_of(first) == key_of(row)}
    root = target.root.pid if any(is_same(row, target.root) for row in rows.values()) else None
    strays = {stray.pid for stray in outcome.strays}
    return [_node(row, before[pid], root, strays, rows, seconds, system) for pid, row in rows.items()]


def _node(
    row: Row, first: Row | None, root: int | None, strays: set[int], rows: dict[int, Row], seconds: float, system: System
) -> Node:
    # Who was adopted by init, but belongs here by its session, stands below the root.
    parent = None if row.pid == root else row.ppid if row.ppid in rows else None if row.pid in strays else root
    facts = system.facts(row.pid)
    command = system.command(row.pid)
    cpu = None if first is None or row.cpu is None or first.cpu is None else max(0.0, row.cpu - first.cpu) / seconds
    return Node(
        process=OSProcess(row.pid, row.create_time),
        parent=parent,
        # In quotes as a shell wants them, so that a blank within an argument does not end a secret.
        command=None if command is None else mask_command(shlex.join(command.split("\0")))[:_LONGEST],
        state="zombie" if row.zombie else None if facts is None or facts.state is None else _STATES.get(facts.state, facts.state),
        cpu_ratio=cpu,
        cpu_seconds=row.cpu,
        memory_bytes=row.resident,
        threads=row.threads,
        stray=parent is None and row.pid != root,
    )
