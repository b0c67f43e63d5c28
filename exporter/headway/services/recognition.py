"""Whether a service runs already: by its pid file, its port, its own command line or a regular expression. Blocking; reads only."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headway.model import OSProcess
from headway.sampler.base import own_pid_namespace
from headway.sampler.details import Details
from headway.sampler.host import Host, Row
from headway.services.definition import Service

# A pid file is written a moment after the start; times of files are exact, that of the start to some hundredths of a second.
PID_FILE_TOLERANCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Found:
    """The OS process of a service that runs already, and by what it was recognised."""

    process: OSProcess
    command: str
    how: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else has what the service needs."""

    reason: str


def find_running(
    service: Service,
    host: Host,
    details: Details,
    not_these: Container[int] = (),
    belongs_elsewhere: Callable[[str], bool] = lambda mark: False,
    ours: Callable[[str], bool] = lambda mark: False,
) -> Found | Taken | None:
    """`not_these`: pids that are never it, such as the exporter's own and what belongs to other services; `belongs_elsewhere`:
    whether what was started for this process, by the mark in its environment, is somebody else's; `ours`: whether it was started
    for a process of this service. Of a program and the children it
    forked of itself the first is meant."""
    rows = host.rows()
    pids = [pid for pid, row in rows.items() if not row.zombie and pid not in not_these]
    if service.pid_file is not None and (row := by_pid_file(service.pid_file, rows)) is not None:
        words = details.argv(row.pid) or []
        # A pid file that was left behind may name somebody else by now.
        if row.pid not in not_these and (service.match is None or is_command(service, words) or _matches(service, words)):
            return _found(row, words, f"its pid file {service.pid_file}")
    if service.port is not None and (there := details.listeners([service.port]).get(service.port)) is not None:
        holders = [rows[pid] for pid in sorted(there) if pid in rows]
        if not holders:
            return Taken(f"port {service.port} is in use by a process of another user")
        for row in _first_of(holders, rows):
            words = details.argv(row.pid) or []
            known = is_command(service, words) or _matches(service, words) or ours(_mark(row.pid, details))
            if known and row.pid not in not_these:
                return _found(row, words, f"its port {service.port}")
        other = holders[0]
        return Taken(
            f"port {service.port} is in use by {_named(details.argv(other.pid))} (pid {other.pid}), which is not this service"
        )
    same = [rows[pid] for pid in pids if _is_it(service, pid, details)]
    for row in _first_of(same, rows):
        # Two services may be started with the same words, and differ in their environment.
        mark = _mark(row.pid, details)
        if mark and belongs_elsewhere(mark):
            continue
        return _found(row, details.argv(row.pid) or [], "its command line" if service.match is None else "match")
    return None


def _mark(pid: int, details: Details) -> str:
    """The id of the process that it was started for; "" when it was started for none."""
    return (details.environ(pid) or {}).get("HEADWAY_PARENT_ID", "")


def by_pid_file(path: str, rows: dict[int, Row]) -> Row | None:
    """The OS process that a pid file names; None when there is none, or the file is older than the process: then it is stale, and
    the pid has gone to somebody else."""
    try:
        text = Path(path).read_text().split()
        written = Path(path).stat().st_mtime
        row = rows.get(int(text[0]))
    except (OSError, ValueError, IndexError):
        return None
    return row if row is not None and not row.zombie and row.create_time <= written + PID_FILE_TOLERANCE else None


def is_command(service: Service, words: Sequence[str]) -> bool:
    """Whether somebody was called with these words because of this service's command. An interpreter may stand before a script, and
    the first word may have become a path."""
    return any(_same(wanted, words, service.cwd) for wanted in _spellings(service))


def _is_it(service: Service, pid: int, details: Details) -> bool:
    words = details.argv(pid)
    if not words:
        return False
    if service.match is not None:
        return _matches(service, words)
    # The same words elsewhere are another instance.
    return is_command(service, words) and details.cwd(pid) == os.path.realpath(service.cwd)


def _matches(service: Service, words: Sequence[str]) -> bool:
    return service.match is not None and bool(words) and re.search(service.match, shlex.join(words)) is not None


def _spellings(service: Service) -> Iterable[Sequence[str]]:
    if not isinstance(service.command, str):
        yield service.command
        return
    yield ("/bin/sh", "-c", service.command)
    # A shell that has only one thing to do becomes it.
    if not re.search(r"[;&|<>$`(){}\n]", service.command):
        try:
            words = shlex.split(service.command)
        except ValueError:
            return
        if words[:1] == ["exec"]:
            words = words[1:]
        if words:
            yield words


def _same(wanted: Sequence[str], words: Sequence[str], cwd: str) -> bool:
    extra, tail = words[: -len(wanted)], words[-len(wanted) :]
    if len(tail) < len(wanted) or list(tail[1:]) != list(wanted[1:]):
        return False
    if os.path.basename(tail[0]) != os.path.basename(wanted[0]):  # noqa: PTH119
        return False
    return not extra or (len(extra) <= 2 and _interprets(extra, Path(cwd, tail[0])))


def _interprets(words: Sequence[str], script: Path) -> bool:
    """Whether the kernel puts these words before this script: those of its first line. An editor that shows it is not it."""
    try:
        with script.open("rb") as file:
            first = file.readline(512).decode("utf-8", "replace").strip()
    except OSError:
        return False
    said = first.removeprefix("#!").split() if first.startswith("#!") else []
    names = {os.path.basename(word) for word in said}  # noqa: PTH119  /usr/bin/env python3 has become python3
    return os.path.basename(words[0]) in names  # noqa: PTH119


def _first_of(found: Sequence[Row], rows: dict[int, Row]) -> list[Row]:
    """Those whose parent is none of them, the oldest first."""
    pids = {row.pid for row in found}
    return sorted((row for row in found if row.ppid not in pids), key=lambda row: (row.started, row.pid))


def _found(row: Row, words: Sequence[str], how: str) -> Found:
    return Found(OSProcess(row.pid, row.create_time, own_pid_namespace()), shlex.join(words), how)


def _named(words: Sequence[str] | None) -> str:
    return os.path.basename(words[0]) if words else "somebody"  # noqa: PTH119
