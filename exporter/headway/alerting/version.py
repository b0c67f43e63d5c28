"""Which Alertmanager it is: what it can do depends on that."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from headway.errors import ConfigError

# Upstream's name, and Debian's.
BINARIES: Final = ("alertmanager", "prometheus-alertmanager")


class Version(NamedTuple):
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST: Final = Version(0, 25)


def parse_version(text: str) -> Version:
    """Of "0.28", "v0.28.1", or what `alertmanager --version` prints. Raises ConfigError."""
    found = re.search(r"(?:^|version |\bv)v?(\d+)\.(\d+)", text)
    if found is None:
        raise ConfigError(f"{text[:60]!r} is no version of Alertmanager; accepted: such as 0.28")
    version = Version(int(found[1]), int(found[2]))
    if version < OLDEST:
        raise ConfigError(f"Alertmanager {version} is too old: {OLDEST} is the oldest that Headway writes a configuration for")
    return version


def find_binary(name: str, path: str, folder: Path | None = None) -> str | None:
    """Where a program of Alertmanager's is: in the search path, or in `folder`, where `make up` unpacks what it fetched."""
    names = BINARIES if name == "alertmanager" else (name,)
    places = path if folder is None else f"{path}:{folder}"
    return next((found for one in names if (found := shutil.which(one, path=places))), None)


def version_of(binary: str) -> Version:
    """Raises ConfigError when it cannot be asked."""
    try:
        done = subprocess.run((binary, "--version"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{binary} cannot be asked for its version ({error}); say it by --for 0.28") from None
    return parse_version(done.stdout + done.stderr)  # 0.25 prints it to standard error
