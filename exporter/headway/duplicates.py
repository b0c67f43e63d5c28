"""Duplicates: the gate that looks at all processes at once. Pure: standard library only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from headway.gates import span
from headway.model import AT_MOST, DISCOVERED_BY, Condition, ConditionReport, Process, Severity, Status

# Queued ones do not run yet, and during a restart the old one is stopping while the new one runs.
_DUPLICABLE: Final = frozenset({Status.STARTING, Status.RUNNING, Status.PAUSED})
# Whether two are of one program, as far as the operating system knows (see headway.sampler.kinship).
Kin = Callable[[Process, Process], bool]

_COMPARED: Final = 8  # each is compared with so many earlier ones of its command, so that thousands of workers stay cheap


def strangers(one: Process, other: Process) -> bool:
    """Where nobody knows of OS processes."""
    return False


def duplicates(processes: Iterable[Process], kin: Kin = strangers) -> dict[str, ConditionReport]:
    """Which processes run what an earlier one still runs, by id, with the evidence; see :func:`originals`."""
    found = {}
    for duplicate, original in originals(processes, kin):
        started = duplicate.started_at or 0.0
        ahead = span(started - (original.started_at or 0.0))
        words = "same command and directory as {}, which started {} earlier and still runs"
        reason, apart = (words.format(who, ahead) for who in (f"{original.name} ({original.id})", "another process"))
        found[duplicate.id] = ConditionReport(Condition.DUPLICATE, Severity.WARNING, started, reason, (original.id,), apart)
    return found


def originals(processes: Iterable[Process], kin: Kin = strangers) -> Iterator[tuple[Process, Process]]:
    """Each process that runs what an earlier one still runs, and that one: the same command in the same directory on the same host.

    The later one is the duplicate. Meant to be alike, and none: parent and child, children of one parent (its workers), whom one
    program brought forth (`kin`), several records of one OS process, those of one group that wait there for their turn (several
    were asked for), and what one rule of discovery found under different names: somebody else keeps them apart.
    """
    groups: dict[tuple[str, str | None, str | None], list[Process]] = {}
    parents: dict[str, str | None] = {}
    for process in processes:
        spec = process.spec
        parents[process.id] = spec.parent_id
        if spec.command and process.status in _DUPLICABLE:
            groups.setdefault((spec.command, spec.cwd, spec.host), []).append(process)
    for group in groups.values():
        if len(group) > 1:
            yield from _duplicates_in(group, parents, kin)


def ancestors_of(process_id: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    """The ids of parent, grandparent … as far as `parents` (id → parent id) knows them; ends at a cycle."""
    seen = {process_id}
    parent = parents.get(process_id)
    while parent is not None and parent not in seen:
        yield parent
        seen.add(parent)
        parent = parents.get(parent)


def _duplicates_in(group: list[Process], parents: Mapping[str, str | None], kin: Kin) -> Iterator[tuple[Process, Process]]:
    group.sort(key=lambda p: (p.started_at or 0.0, p.id))
    originals: list[Process] = []
    for process in group:
        original = next((o for o in originals if not _belong_together(o, process, parents) and not kin(o, process)), None)
        if original is None:
            if len(originals) < _COMPARED:
                originals.append(process)
            continue
        yield process, original


def _belong_together(one: Process, other: Process, parents: Mapping[str, str | None]) -> bool:
    if one.spec.parent_id is not None and one.spec.parent_id == other.spec.parent_id:
        return True
    a, b = one.spec.os_process, other.spec.os_process
    if a is not None and b is not None and (a.pid, a.pid_namespace) == (b.pid, b.pid_namespace):
        return True
    if AT_MOST in one.metadata and AT_MOST in other.metadata and one.spec.group == other.spec.group:
        return True
    rule = one.metadata.get(DISCOVERED_BY)
    if rule is not None and rule == other.metadata.get(DISCOVERED_BY) and one.name != other.name:
        return True
    return one.id in ancestors_of(other.id, parents) or other.id in ancestors_of(one.id, parents)
