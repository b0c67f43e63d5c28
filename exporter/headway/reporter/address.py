"""Where the exporter is and which key opens it: argument, else environment, else the default on this machine."""

from __future__ import annotations

import os

from headway.places import DEFAULT_URL, OFF, find_url

__all__ = ["DEFAULT_URL", "OFF", "find_key", "find_url"]


def find_key(key: str | None = None) -> str | None:
    """The key: `key`, else HEADWAY_KEY, else what the file HEADWAY_KEY_FILE holds; None without any.

    Raises OSError when that file cannot be read.
    """
    found = key or os.environ.get("HEADWAY_KEY")
    if not found and (path := os.environ.get("HEADWAY_KEY_FILE")):
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  pathlib is slow to import, and this is used by scripts
            found = file.read(4096)
    return (found or "").strip() or None
