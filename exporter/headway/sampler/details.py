"""What an OS process was started with, and the ports it listens on: asked rarely, of one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

_CHUNK: Final = 65_536
_LISTEN: Final = "0A"  # the state of a listening socket in /proc/net/tcp


class Details(Protocol):
    """Every call answers None for a process that is gone or may not be looked at. Blocking, and cheap for one process."""

    def argv(self, pid: int) -> list[str] | None:
        """The words it was called with; empty for a kernel thread and for a zombie."""

    def cwd(self, pid: int) -> str | None:
        """Its working directory, without symbolic links."""

    def environ(self, pid: int) -> dict[str, str] | None:
        """The environment it was started with. May hold secrets: never to be stored or shown."""

    def variable(self, pid: int, name: str) -> str | None:
        """One variable of that environment; None too when it is not set, or empty. Far cheaper than all of it."""

    def uid(self, pid: int) -> int | None:
        """Whose it is (the effective user id)."""

    def listeners(self, ports: Iterable[int]) -> dict[int, set[int]]:
        """For each of these TCP ports that someone listens on: the pids, empty where they cannot be seen. One pass for all."""


class LinuxDetails:
    """`proc` is where that file system is mounted; tests give a folder."""

    def __init__(self, proc: str | Path = "/proc") -> None:
        self._proc = str(proc)

    def argv(self, pid: int) -> list[str] | None:
        text = self._read(pid, "cmdline")
        if text is None:
            return None
        return text.decode("utf-8", "replace").rstrip("\0").split("\0") if text.strip(b"\0") else []

    def cwd(self, pid: int) -> str | None:
        try:
            return os.readlink(f"{self._proc}/{pid}/cwd")  # noqa: PTH115  what it shows, not where it leads
        except OSError:
            return None

    def environ(self, pid: int) -> dict[str, str] | None:
        text = self._read(pid, "environ")
        if text is None:
            return None
        pairs = (part.partition("=") for part in text.decode("utf-8", "surrogateescape").split("\0"))
        return {name: value for name, equals, value in pairs if equals}

    def variable(self, pid: int, name: str) -> str | None:
        try:
            file = os.open(f"{self._proc}/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            text = b"\0"
            while part := os.read(file, _CHUNK):
                text += part
        except OSError:
            return None
        finally:
            os.close(file)
        begin = text.find(b"\0" + name.encode() + b"=")
        if begin < 0:
            return None
        begin += len(name.encode()) + 2
        end = text.find(b"\0", begin)
        return text[begin : end if end >= 0 else None].decode("utf-8", "replace") or None

    def uid(self, pid: int) -> int | None:
        try:
            return os.stat(f"{self._proc}/{pid}").st_uid  # noqa: PTH116
        except OSError:
            return None

    def listeners(self, ports: Iterable[int]) -> dict[int, set[int]]:
        wanted = set(ports)
        sockets = {link: port for link, port in self.listening_sockets().items() if port in wanted}
        found: dict[int, set[int]] = {port: set() for port in sockets.values()}
        if sockets:
            for pid in self._pids():
                for link in self.open_files(pid):
                    if link in sockets:
                        found[sockets[link]].add(pid)
        return found

    def listening_sockets(self) -> dict[str, int]:
        """The ports of all TCP sockets that listen, by what the link of an open file shows for them."""
        return {f"socket:[{inode}]": port for table in ("tcp", "tcp6") for port, inode in self._listening(table)}

    def _read(self, pid: int, name: str) -> bytes | None:
        try:
            with open(f"{self._proc}/{pid}/{name}", "rb") as file:  # noqa: PTH123
                return file.read()
        except OSError:
            return None

    def _pids(self) -> list[int]:
        return [int(name) for name in os.listdir(self._proc) if name.isdecimal()]  # noqa: PTH208

    def _listening(self, table: str) -> Iterator[tuple[int, str]]:
        """(port, inode of the socket)."""
        try:
            rows = Path(self._proc, "net", table).read_text().splitlines()[1:]
        except OSError:
            return
        for row in rows:
            fields = row.split()
            if len(fields) > 9 and fields[3] == _LISTEN:
                yield int(fields[1].rpartition(":")[2], 16), fields[9]

    def open_files(self, pid: int) -> Iterator[str]:
        """What the links of its open files show; nothing where they cannot be seen."""
        folder = f"{self._proc}/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208
        except OSError:
            return
        for name in names:
            try:
                yield os.readlink(f"{folder}/{name}")  # noqa: PTH115
            except OSError:
                continue


class PsutilDetails:
    """The same through psutil, for other systems."""

    def argv(self, pid: int) -> list[str] | None:
        import psutil

        try:
            words: list[str] = psutil.Process(pid).cmdline()
            return words
        except psutil.Error:
            return None

    def cwd(self, pid: int) -> str | None:
        import psutil

        try:
            return os.path.realpath(psutil.Process(pid).cwd())
        except (psutil.Error, OSError):
            return None

    def environ(self, pid: int) -> dict[str, str] | None:
        import psutil

        try:
            found: dict[str, str] = psutil.Process(pid).environ()
            return found
        except (psutil.Error, OSError):
            return None

    def variable(self, pid: int, name: str) -> str | None:
        return (self.environ(pid) or {}).get(name) or None

    def uid(self, pid: int) -> int | None:
        import psutil

        try:
            found: int = psutil.Process(pid).uids().effective
            return found
        except psutil.Error:
            return None

    def listeners(self, ports: Iterable[int]) -> dict[int, set[int]]:
        import psutil

        wanted = set(ports)
        found: dict[int, set[int]] = {}
        for process in psutil.process_iter():
            try:
                connections = process.net_connections(kind="tcp")
            except psutil.Error:
                continue
            for one in connections:
                if one.status == psutil.CONN_LISTEN and one.laddr.port in wanted:
                    found.setdefault(one.laddr.port, set()).add(process.pid)
        return found


def details_here() -> Details:
    """How this system is asked."""
    return LinuxDetails() if os.path.isdir("/proc/self/fd") else PsutilDetails()  # noqa: PTH112
