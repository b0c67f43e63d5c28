"""Which project a folder belongs to: what tells the `make test` of one apart from that of another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

# What lies at the top of a project.
MARKS: Final = (
    *(".git", ".hg", ".svn", "pyproject.toml", "setup.py", "package.json", "deno.json", "Cargo.toml", "go.mod", "pom.xml"),
    *("build.gradle", "build.gradle.kts", "composer.json", "Gemfile", "mix.exs", "Package.swift"),
)
# Folders that are called so in every project, or belong to the system; and so do those whose name begins with a dot.
ANYWHERE: Final = frozenset(
    {"bin", "sbin", "src", "lib", "libexec", "script", "scripts", "tools", "venv", "env", "node_modules", "current", "releases"}
    | {"usr", "local", "opt", "srv", "etc", "var", "home", "mnt", "share"}
)


def project_of(
    folder: Path,
    home: Path | None = None,
    temporary: Collection[Path] | None = None,
    exists: Callable[[Path], bool] = os.path.lexists,
) -> str | None:
    """What the project that `folder` (absolute) is in is called: as the nearest folder with a mark of one, with `folder` itself if
    that is another one with a name of its own (`shop/api`); else as the nearest with a name of its own, below the home directory or
    the root. None where there is neither, and in a folder for temporary files: there it is another one each time."""
    home = home or Path.home()
    within = []
    for place in (folder, *folder.parents):
        if place in (_temporary() if temporary is None else temporary):
            return None
        if place == home or place == place.parent:
            break
        within.append(place)
    top = next((place for place in within if any(exists(place / mark) for mark in MARKS)), None)
    if top is None:
        return next((place.name for place in within if _own(place.name)), None)
    return f"{top.name}/{folder.name}" if folder != top and _own(folder.name) else top.name


def _own(name: str) -> bool:
    return name not in ANYWHERE and not name.startswith(".") and any(letter.isalpha() for letter in name)


def _temporary() -> frozenset[Path]:
    places = {Path(tempfile.gettempdir()), *map(Path, ("/tmp", "/var/tmp", "/dev/shm", "/run"))}
    return frozenset({*places, *(place.resolve() for place in places)})


def here() -> Path:
    """The current directory as the shell calls it: by the links that led there. Raises OSError when it is gone."""
    now, called = Path.cwd(), Path(os.environ.get("PWD") or ".")
    try:
        return called if called.is_absolute() and called.samefile(now) else now
    except OSError:
        return now
