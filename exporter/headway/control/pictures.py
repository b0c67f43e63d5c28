"""The tree of a process as the API shows it: its OS processes, and the processes that were reported below it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from headway.control.control import Control
from headway.control.report import Asked, same
from headway.control.whole import Below, tree_of
from headway.ending.base import Target
from headway.ending.picture import Node, picture_of
from headway.model import OSProcess, Process, Status

# Deeper ones are left out of the answer.
MAX_NESTING: Final = 32


async def picture(control: Control, process: Process, below: Mapping[str, Sequence[Process]], asked: Asked) -> dict[str, Any]:
    """`below`: what was reported below it, by parent id. OS processes of others whom the caller does not see are left out."""
    watch = control.watch
    known = {entry.process.id: entry.process for entry in control.registry.entries.values() if asked.sees(entry.process.spec.user)}
    roots = [
        (other, one.id)
        for one in known.values()
        if one.status.active and one.status is not Status.QUEUED and (other := watch.visible(one)) is not None
    ]
    ended = [one for children in below.values() for one in children if one.status.ended and asked.sees(one.spec.user)]
    left = {one.id for one in await control.living(ended)}
    return await _Drawing(control, below, asked, roots, left).of(process, 0)


class _Drawing:
    """`shown`: whose OS processes stand in it already; `left`: the ended ones that have living OS processes."""

    def __init__(
        self, control: Control, below: Below, asked: Asked, roots: Sequence[tuple[OSProcess, str]], left: Container[str]
    ) -> None:
        self.control = control
        self.below = below
        self.asked = asked
        self.roots = roots
        self.left = left
        self.shown: set[str] = set()
        # Who ended and left someone behind has a picture of its own.
        self.active = {parent: [one for one in ones if one.status.active] for parent, ones in below.items()}

    async def of(self, process: Process, depth: int) -> dict[str, Any]:
        """With a tree of its own, unless its OS process stands in the one above already."""
        control, within = self.control, process.id in self.shown
        drawn = process.status is not Status.QUEUED and (not depth or process.status.active or process.id in self.left)
        target = tree_of(control.watch, process, self.asked, self.active) if drawn and not within else None
        nodes: list[Node] = [] if target is None else await control.look(picture_of, target, control.spared(self.asked))
        self.shown.add(process.id)
        forest = self._nested(nodes)
        tree = forest.pop(0) if nodes and not nodes[0].stray else None
        children = sorted(self.below.get(process.id, ()), key=lambda p: (p.spec.created_at, p.id)) if depth < MAX_NESTING else []
        return _record(process) | {
            "os_process": tree,
            "strays": forest,
            "reason": None if tree is not None else "shown above" if within else _why(process, target),
            "os_processes": len(nodes),
            "children": [await self.of(child, depth + 1) for child in children if self.asked.sees(child.spec.user)],
        }

    def _nested(self, nodes: Sequence[Node]) -> list[dict[str, Any]]:
        """The root, and who left the tree, each with what is below; `process_ids` are the tracked processes that a node is."""
        by_pid: dict[int, dict[str, Any]] = {}
        for node in nodes:
            ids = [process_id for root, process_id in self.roots if same(root, node.process)]
            self.shown.update(ids)
            by_pid[node.process.pid] = {
                "pid": node.process.pid,
                "create_time": node.process.create_time,
                "command": node.command,
                "state": node.state,
                "cpu_ratio": node.cpu_ratio,
                "cpu_seconds": node.cpu_seconds,
                "memory_bytes": node.memory_bytes,
                "threads": node.threads,
                "process_ids": ids,
                "children": [],
            }
        for node in nodes:
            if node.parent is not None:
                by_pid[node.parent]["children"].append(by_pid[node.process.pid])
        return [by_pid[node.process.pid] for node in nodes if node.parent is None]


def _record(process: Process) -> dict[str, Any]:
    os_process = process.spec.os_process
    return {
        "id": process.id,
        "name": process.name,
        "type": process.kind,
        "status": process.status,
        "pid": None if os_process is None else os_process.pid,
    }


def _why(process: Process, target: Target | None) -> str:
    if process.status is Status.QUEUED:
        return "it is queued"
    if target is None:
        return "it has no OS process that this exporter can see"
    return "its OS process is gone"
