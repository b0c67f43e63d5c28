"""The tree of a process as the API shows it: its OS processes, and the processes that were reported below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from headway.control.control import Control
from headway.control.report import Asked, same
from headway.ending.picture import Node, picture_of
from headway.model import OSProcess, Process, Status

# Deeper ones are left out of the answer.
MAX_NESTING: Final = 32


async def tree_of(control: Control, process: Process, below: Mapping[str, Sequence[Process]], asked: Asked) -> dict[str, Any]:
    """`below`: what was reported below it, by parent id. OS processes of others whom the caller does not see are left out."""
    watch = control.watch
    root = watch.visible(process) if process.status is not Status.QUEUED else None
    known = {entry.process.id: entry.process for entry in control.registry.entries.values() if asked.sees(entry.process.spec.user)}
    nodes: list[Node] = [] if root is None else await control.look(picture_of, root, control.spared(asked))
    roots = [
        (other, one.id)
        for one in known.values()
        if one.status.active and one.status is not Status.QUEUED and (other := watch.visible(one)) is not None
    ]
    shown = {process.id}
    tree = _os_tree(nodes, roots, shown, process.id)
    return _record(process) | {
        "os_process": tree,
        "reason": None if tree is not None else _why(process, root),
        "os_processes": len(nodes),
        "children": await _children(control, process, below, asked, roots, shown, 0),
    }


async def _children(
    control: Control,
    process: Process,
    below: Mapping[str, Sequence[Process]],
    asked: Asked,
    roots: Sequence[tuple[OSProcess, str]],
    shown: set[str],
    depth: int,
) -> list[dict[str, Any]]:
    """Each with a tree of its own, unless its OS process stands in the one above already."""
    found = []
    for child in sorted(below.get(process.id, ()), key=lambda p: (p.spec.created_at, p.id)):
        if not asked.sees(child.spec.user) or depth >= MAX_NESTING:
            continue
        root = control.watch.visible(child) if child.status.active and child.status is not Status.QUEUED else None
        within = child.id in shown
        nodes: list[Node] = []
        if root is not None and not within:
            nodes = await control.look(picture_of, root, control.spared(asked))
        found.append(
            _record(child)
            | {
                "os_process": _os_tree(nodes, roots, shown, child.id),
                "reason": None if nodes else "shown above" if within else _why(child, root),
                "os_processes": len(nodes),
                "children": await _children(control, child, below, asked, roots, shown, depth + 1),
            }
        )
    return found


def _record(process: Process) -> dict[str, Any]:
    os_process = process.spec.os_process
    return {
        "id": process.id,
        "name": process.name,
        "type": process.kind,
        "status": process.status,
        "pid": None if os_process is None else os_process.pid,
    }


def _why(process: Process, root: OSProcess | None) -> str:
    if process.status is Status.QUEUED:
        return "it is queued"
    if root is None:
        return "it has no OS process that this exporter can see"
    return "its OS process is gone"


def _os_tree(nodes: Sequence[Node], roots: Sequence[tuple[OSProcess, str]], shown: set[str], own: str) -> dict[str, Any] | None:
    """Nested; `process_ids` are the tracked processes whose OS process a node is."""
    if not nodes:
        return None
    by_pid: dict[int, dict[str, Any]] = {}
    for node in nodes:
        ids = [process_id for root, process_id in roots if same(root, node.process)]
        shown.update(ids)
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
    return by_pid[nodes[0].process.pid]
