"""How much memory a process can have: the host's, or what its cgroup and those above it allow."""

from __future__ import annotations

from pathlib import Path


class MemoryLimits:
    """`mount` is where the cgroup file systems are. Answers are remembered until `forget`: processes share their cgroups."""

    def __init__(self, mount: str | Path) -> None:
        self._mount = Path(mount)
        self._known: dict[bytes, list[int]] = {}

    def forget(self) -> None:
        self._known.clear()

    def of(self, groups: bytes) -> list[int]:
        """The limits that hold for the groups of a /proc/PID/cgroup: its own and those above. Version 2 and version 1."""
        known = self._known.get(groups)
        if known is None:
            known = self._known[groups] = self._read(groups)
        return known

    def _read(self, groups: bytes) -> list[int]:
        found = []
        for group in groups.decode(errors="replace").splitlines():
            _, controllers, path = group.split(":", 2)
            if controllers == "":
                found += self._above(self._mount, path, "memory.max")
            elif "memory" in controllers.split(","):
                found += self._above(self._mount / "memory", path, "memory.limit_in_bytes")
        return found

    def _above(self, mount: Path, path: str, file: str) -> list[int]:
        """In a container the path may be that of the host and lead nowhere; the mount itself is then the container's group."""
        group, found = mount / path.strip("/"), []
        while group == mount or mount in group.parents:
            try:
                found.append(int((group / file).read_text()))
            except (OSError, ValueError):
                pass  # not there, or "max"
            group = group.parent
        return found


def memory_total(meminfo: bytes) -> int | None:
    """The host's memory in bytes."""
    for line in meminfo.splitlines():
        if line.startswith(b"MemTotal:"):
            return int(line.split()[1]) * 1024
    return None
