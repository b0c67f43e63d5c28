"""A rule of discovery: what an OS process must be like, and the record that is made of it. Pure data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headway.model import Kind

# {port}, {pid_file}, {cwd}, {user}, and the groups of the regular expression by number.
PLACEHOLDER: Final = re.compile(r"\{(port|pid_file|cwd|user|[1-9])\}")
NAME_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who matches: all of `pid_file` (a path or glob), `ports` (listens on one of them), `command` (a regular expression that is
    found in the command line), `cwd` (its working directory or one above it), `env` (name and value; None: any value) and `run_by`
    (names of users, or their numbers) that are given. What the record gets: the rest. `title` is its name and may hold
    placeholders. `children`: whoever matches below one that does is a process of its own, else part of that one's tree."""

    name: str
    pid_file: str | None = None
    ports: tuple[int, ...] = ()
    command: str | None = None
    cwd: str | None = None
    env: tuple[tuple[str, str | None], ...] = ()
    run_by: tuple[str, ...] = ()
    title: str = ""
    kind: Kind = Kind.DAEMON
    project: str | None = None
    task: str | None = None
    attempt: str | None = None
    agent: str | None = None
    group: str | None = None
    user: str | None = None
    description: str | None = None
    executor: bool = False
    children: bool = False
    place: str = ""

    @property
    def looks_at_everyone(self) -> bool:
        """Whether any OS process may match, not only those that a pid file or a port names."""
        return self.pid_file is None and not self.ports

    def named(self, value: Callable[[str], str]) -> str:
        """The name of a record, with `value` of each placeholder; the rule's own name where nothing is left of it."""
        found = PLACEHOLDER.sub(lambda match: value(match[1]), self.title or self.name)
        return " ".join(found.split())[:NAME_MAX] or self.name

    def __str__(self) -> str:
        """What it asks for, in a few words; the value of a variable may be a secret and is left out."""
        said = [
            f"pid_file {self.pid_file}" if self.pid_file is not None else "",
            f"port {', '.join(map(str, self.ports))}" if self.ports else "",
            f"command {self.command}" if self.command is not None else "",
            f"cwd {self.cwd}" if self.cwd is not None else "",
            f"env {', '.join(name for name, _ in self.env)}" if self.env else "",
            f"run_by {', '.join(self.run_by)}" if self.run_by else "",
        ]
        return "; ".join(part for part in said if part)
