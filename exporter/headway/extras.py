"""The parts of the package that need more than the base (`exporter`, `mcp`, `cli`): how the one that is missing is installed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit


def how_to_install(extra: str) -> str:
    """What to do for `extra`, on one line. It comes from a clone: from the one that this package runs in or was installed from, if
    that is still there."""
    clone = clone_of(Path(__file__))
    if clone is None:
        return f"pip install '.[{extra}]' in a clone of Headway, or make up there"
    return f"pip install -e '{clone}[{extra}]', or make up in {clone}, which has an environment of its own"


def clone_of(module: Path) -> Path | None:
    """The clone with this module of the package (PYTHONPATH, pip install -e), else the folder that pip installed it from."""
    here = module.resolve().parents[2]
    if _is_clone(here):
        return here
    try:
        origin = json.loads(distribution("headway").read_text("direct_url.json") or "{}").get("url", "")
    except (PackageNotFoundError, OSError, ValueError, AttributeError):
        return None
    parts = urlsplit(origin)
    there = Path(unquote(parts.path))
    return there if parts.scheme == "file" and _is_clone(there) else None


def _is_clone(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / "exporter" / "headway").is_dir()
