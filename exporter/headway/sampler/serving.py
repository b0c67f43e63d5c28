"""Whether a tree of OS processes is a server: one that waits for callers is silent by nature, and silence says nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from headway.sampler.details import LinuxDetails

# From which port on the system gives them out by itself, where it does not say: what listens there did not choose to be found.
GIVEN_OUT: Final = 32768


def serving(trees: Mapping[str, Sequence[int]], proc: str | Path = "/proc") -> dict[str, int]:
    """The port of each of these trees (pids, the root first) that is a server. Blocking: a few files for each OS process.

    A server is who listens on a TCP port that somebody chose, and is all there is: everything else in the tree started it, or was
    started by it. A script that has a server beside it is none, and neither is a tree of which that cannot be seen, such as that of
    another user, or on a system without /proc.
    """
    details = LinuxDetails(proc)
    listening = details.listening_sockets()
    chosen = {link: port for link, port in listening.items() if port < _given_out(Path(proc))}
    found = {}
    for key, pids in trees.items():
        parents = {pid: parent for pid in pids if (parent := _parent(Path(proc), pid)) is not None}
        for pid in pids if chosen else ():
            ports = [chosen[link] for link in details.open_files(pid) if link in chosen]
            if ports and pids[0] in parents and _is_all(pid, pids, parents):
                found[key] = min(ports)
                break
    return found


def _is_all(pid: int, pids: Iterable[int], parents: Mapping[int, int]) -> bool:
    above = set(_line(pid, parents))
    return all(other in above or pid in _line(other, parents) for other in pids)


def _line(pid: int, parents: Mapping[int, int]) -> list[int]:
    """It, and who is above it."""
    found = [pid]
    while (parent := parents.get(found[-1])) is not None and parent not in found:
        found.append(parent)
    return found


def _parent(proc: Path, pid: int) -> int | None:
    try:
        return int((proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _given_out(proc: Path) -> int:
    try:
        return int((proc / "sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return GIVEN_OUT
