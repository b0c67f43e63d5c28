"""Which processes a scope means."""

from __future__ import annotations

from collections.abc import Iterable

from headway.control.control import Control
from headway.control.report import same
from headway.model import OSProcess, Process, Status
from headway.registry.watch import Watch
from headway.schemas.control import AllScope, AttemptScope, ExecutorlessScope, GroupScope, ProjectScope, Scope, TaskScope


async def chosen(scope: Scope, processes: Iterable[Process], control: Control) -> list[Process]:
    """The active ones of a scope, and those that were given up for lost though their OS process lives on. Parents before their
    children. Not for the scopes of one process or pid."""
    found = [process for process in processes if belongs(scope, process)]
    lost = await control.living(process for process in found if process.status is Status.ORPHANED)
    return sorted((*filter(is_active, found), *lost), key=lambda process: (process.spec.created_at, process.id))


def is_active(process: Process) -> bool:
    return process.status.active


def belongs(scope: Scope, process: Process) -> bool:
    spec = process.spec
    match scope:
        case TaskScope():
            return spec.task == scope.task_id
        case ProjectScope():
            return spec.project == scope.project_id
        case GroupScope():
            return spec.group == scope.group_id
        case AttemptScope():
            return spec.attempt == scope.attempt_id
        case AllScope() | ExecutorlessScope():
            return True
        case _:
            return False


def tracked(process: OSProcess, processes: Iterable[Process], watch: Watch) -> Process | None:
    """The active process whose root this OS process is."""
    for found in processes:
        root = watch.visible(found) if found.status.active and found.status is not Status.QUEUED else None
        if root is not None and same(root, process):
            return found
    return None
