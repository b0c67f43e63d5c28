"""One service of the stack: how it is started, what is remembered of it, whether it is ready."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from stack.osprocess import OSProcess

_LOG_LIMIT: Final = 10_000_000  # bytes; a longer log is put aside once at the next start
# Straight to the address: a proxy of the environment has no business with loopback.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Service:
    """`ready`: the path that answers 200 once it can work. `mark`: a word of its command line that nobody else has. `env` is added
    to the environment. Before it starts, `files` are written (by path), `secret_files` readable for this user only; `kept_files`
    are made empty unless they exist, and belong to the user. `reads`: texts of the user's that it reads at its start."""

    name: str
    command: tuple[str, ...]
    url: str
    ready: str
    log: Path
    mark: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)
    secret_files: Mapping[Path, str] = field(default_factory=dict)
    kept_files: tuple[Path, ...] = ()
    links: Mapping[Path, Path] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    reads: tuple[str, ...] = ()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def fingerprint(self) -> str:
        """Changes with everything that is said to it at its start."""
        said = [self.command, sorted(self.env.items()), sorted((str(p), t) for p, t in {**self.files, **self.secret_files}.items())]
        said += [self.reads]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def write(self) -> None:
        """Its folders, links and configuration files."""
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        for link, target in self.links.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_symlink():
                link.unlink()
            link.symlink_to(target)
        for path, text in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for path, text in self.secret_files.items():
            path.unlink(missing_ok=True)
            _make_secret(path, text)
        for path in self.kept_files:
            if not path.exists():
                _make_secret(path, "")

    def start(self, environ: Mapping[str, str], run: Path) -> Running:
        """In the background, in a session of its own: it outlives the terminal. Raises OSError."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".1.log"))
        # What make tells its children is nothing for what outlives it.
        inherited = {k: v for k, v in environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited, **self.env},
                start_new_session=True,
            )
        process = OSProcess.of(child.pid) or OSProcess(child.pid, -1, "")  # -1: it ended at once, and is nobody
        running = Running(self.name, process, self.url, self.ready, self.fingerprint)
        running.save(run)
        return running


@dataclass(frozen=True, slots=True)
class Running:
    """What is remembered of a started service, in a file of its own."""

    name: str
    process: OSProcess
    url: str
    ready: str
    fingerprint: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def is_ready(self) -> bool:
        return answers(self.url + self.ready)

    def save(self, run: Path) -> None:
        run.mkdir(parents=True, exist_ok=True)
        path = run / f"{self.name}.json"
        path.with_suffix(".new").write_text(json.dumps(asdict(self), indent=1) + "\n")
        path.with_suffix(".new").replace(path)

    @classmethod
    def load(cls, run: Path, name: str) -> Running | None:
        """What was started under this name, whether it lives or not; None when nothing was, or the record is unreadable."""
        try:
            said = json.loads((run / f"{name}.json").read_text())
            return cls(said["name"], OSProcess(**said["process"]), said["url"], said["ready"], said["fingerprint"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def forget(self, run: Path) -> None:
        (run / f"{self.name}.json").unlink(missing_ok=True)


def answers(url: str) -> bool:
    """Whether something there says that it can work."""
    try:
        with _OPENER.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _make_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
