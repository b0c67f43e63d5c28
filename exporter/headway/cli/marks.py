"""What commands leave for each other in the file system: marks that mean something for a while, and locks."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from zlib import crc32

LOCKS: Final = 16
POLL: Final = 0.005


def folder() -> str:
    """$HEADWAY_SPOOL, else a folder of this user that need not outlast the machine's run."""
    return os.environ.get("HEADWAY_SPOOL") or f"/tmp/headway-{os.geteuid()}"


def make_folder() -> None:
    """Raises OSError, also when it belongs to somebody else."""
    path = folder()
    os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103  pathlib is slow to import, and this is used by scripts
    found = os.lstat(path)
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{path} belongs to somebody else")


class Mark:
    """A file whose age says something about `subject`. Nothing is raised: without it, it was never set."""

    def __init__(self, kind: str, subject: str) -> None:
        self.path = f"{folder()}/{kind}-{crc32(subject.encode('utf-8', 'replace')):08x}"

    def age(self) -> float:
        """Seconds since it was set."""
        try:
            return abs(time.time() - os.stat(self.path).st_mtime)  # noqa: PTH116
        except OSError:
            return float("inf")

    def set(self) -> None:
        try:
            make_folder()
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
            os.utime(self.path)
        except OSError:
            pass

    def clear(self) -> None:
        try:
            os.unlink(self.path)  # noqa: PTH108
        except OSError:
            pass


class Unsent:
    """How far a process is, which the exporter has not heard yet: `current`, or `advance` to be added to what it knows."""

    def __init__(self, process_id: str) -> None:
        self.path = f"{folder()}/unsent-{process_id}.json"

    def read(self) -> dict[str, float]:
        try:
            with open(self.path, encoding="utf-8") as file:  # noqa: PTH123
                found = json.loads(file.read(1024))
            return {name: value for name, value in found.items() if name in ("current", "advance") and value >= 0}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def write(self, progress: dict[str, float]) -> bool:
        """Whether it is kept."""
        try:
            make_folder()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(json.dumps(progress))
        except OSError:
            return False
        return True

    def clear(self) -> None:
        try:
            os.unlink(self.path)  # noqa: PTH108
        except OSError:
            pass


@contextmanager
def alone(kind: str, subject: str, wait: float) -> Iterator[None]:
    """Keeps other commands of this user on this host out that do the same for `subject`; goes on without after `wait` seconds, and
    where there are no locks."""
    try:
        import fcntl

        make_folder()
        lock = os.open(f"{folder()}/{kind}-{crc32(subject.encode()) % LOCKS:x}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (OSError, ImportError):
        yield
        return
    try:
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(POLL)
        yield
    finally:
        os.close(lock)
