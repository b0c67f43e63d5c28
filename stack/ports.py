"""The four ports, and who is in the way."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stack.problem import Problem

HOST: Final = "127.0.0.1"
DEFAULTS: Final[Mapping[str, int]] = {"exporter": 14323, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
_LISTEN: Final = "0A"  # state of a socket in /proc/net/tcp


@dataclass(frozen=True, slots=True)
class Ports:
    exporter: int
    prometheus: int
    alertmanager: int
    grafana: int

    @classmethod
    def of(
        cls, environ: Mapping[str, str], running: Mapping[str, int] | None = None, remembered: Mapping[str, int] | None = None
    ) -> Ports:
        """From EXPORTER_PORT and its like, else as they were given last (`remembered`, by name), else the defaults. One that is
        given empty is forgotten. What already runs (`running`, by name) keeps its ports.

        Raises Problem: not a port, one port for two, or another one than that on which something runs.
        """
        running = running or {}
        kept = {name: port for name, port in (remembered or {}).items() if variable(name) not in environ}
        numbers = {**DEFAULTS, **kept, **running}
        for name in DEFAULTS:
            text = environ.get(variable(name), "").strip()
            if not text:
                continue
            if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65535:
                raise Problem(f"{variable(name)}={text!r} is not a port: give a number from 1 to 65535")
            if running.get(name, int(text)) != int(text):
                raise Problem(
                    f"{name} already runs on port {running[name]}: `make down` first, then {variable(name)}={text} make up"
                )
            numbers[name] = int(text)
        for name, other in ((a, b) for a in numbers for b in numbers if a < b):
            if numbers[name] == numbers[other]:
                raise Problem(f"{variable(name)} and {variable(other)} are both {numbers[name]}: give each its own port")
        return cls(**numbers)

    @property
    def changed(self) -> dict[str, int]:
        """Those that are not the default, by name."""
        return {name: getattr(self, name) for name, default in DEFAULTS.items() if getattr(self, name) != default}

    def remember(self, path: Path) -> None:
        """For the next time that they are not given."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name} {port}\n" for name, port in self.changed.items()))

    def url(self, name: str) -> str:
        return f"http://{HOST}:{getattr(self, name)}"


def remembered(path: Path) -> dict[str, int]:
    """By name, what Ports.remember wrote there; nothing of what is no port."""
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[0] in DEFAULTS and row[1].isdecimal()}


def variable(name: str) -> str:
    """The variable that sets the port of a service."""
    return f"{name.upper()}_PORT"


def check_free(wanted: Mapping[str, int]) -> None:
    """Raises Problem naming every port in `wanted` (by service) that is taken, who has it and how to choose another."""
    taken = []
    for name, port in wanted.items():
        fault = _bind(port)
        if fault == errno.EADDRINUSE:
            holder = next(holders(port), "a process of another user")
            other = f"{variable(name)}={_another(port)} make up"
            taken.append(f"port {port} for {name} is in use by {holder}: end that, or choose another port: {other}")
        elif fault:
            taken.append(f"port {port} for {name} cannot be used ({os.strerror(fault)}): choose another with {variable(name)}")
    if taken:
        raise Problem("\n".join(taken))


def _another(port: int) -> int:
    """A free port to suggest: the next ones are as good as any."""
    return next((p for p in range(port + 1, min(port + 200, 65536)) if not _bind(p)), port + 1)


def _bind(port: int) -> int:
    """0 when a server could listen there, else the error number."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that are still closing are not in the way, a listener is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            return error.errno or errno.EADDRINUSE
    return 0


def holders(port: int, proc: Path = Path("/proc")) -> Iterator[str]:
    """Who listens on a port, as "name (pid 1)"; nothing for processes whose files this user may not see."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listeners(proc / "net" / table, port)}
    if not inodes:
        return
    for folder in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if inodes & set(_links(folder / "fd")):
            try:
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue  # it ended meanwhile
            yield f"{name} (pid {folder.name})"


def _listeners(table: Path, port: int) -> Iterator[str]:
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return
    for row in rows:
        _, local, _, state, *rest = row.split()
        if state == _LISTEN and int(local.rsplit(":", 1)[1], 16) == port:
            yield rest[5]


def _links(folder: Path) -> Iterable[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            yield os.readlink(entry.path)  # noqa: PTH115  the target is no path
        except OSError:
            continue
