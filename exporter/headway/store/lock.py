"""One exporter per data directory: a lock that ends with the process that holds it, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from headway.errors import ConfigError

LOCK_NAME: Final = "exporter.lock"


def make_data_dir(path: Path) -> None:
    """With all that is above it, unless it is there. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise _unusable(path, f"it is {os.strerror(errno.ENOTDIR).lower()}") from None
    except OSError as error:
        raise _unusable(path, f"it cannot be made: {error.strerror}") from None


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the data directory {path} cannot be used: {why}; make it, give uid {os.geteuid()} "
        "the right to write there, or choose another with --data-dir or HEADWAY_DATA_DIR",
        field="data_dir",
    )


class DataDirLock:
    """A lock on the directory `path`, which must exist. `acquire` raises ConfigError naming the process that holds it; `release`
    may be called twice. Also a context manager. The file stays, with the pid of its last holder: only the lock on it counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> DataDirLock:
        file = self.path / LOCK_NAME
        try:
            fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.path, f"{file.name}: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise ConfigError(
                f"the data directory {self.path} is in use by an exporter with pid {holder}; stop that one first, or choose "
                "another directory with --data-dir or HEADWAY_DATA_DIR",
                field="data_dir",
            ) from None
        except OSError as error:
            os.close(fd)
            raise ConfigError(f"{file} cannot be locked: {error.strerror}; use a local file system", field="data_dir") from None
        try:
            os.pwrite(fd, f"{os.getpid():<16}\n".encode(), 0)
        except OSError:
            pass  # a full disk: the lock holds, only its holder cannot be named
        self._fd = fd
        return self

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> DataDirLock:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
