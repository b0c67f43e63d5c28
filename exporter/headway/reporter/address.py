"""Where the exporter is and which key opens it: argument, else environment, else the default on this machine."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from typing import Final

DEFAULT_URL: Final = "http://127.0.0.1:14323"
OFF: Final = "off"


def find_url(url: str | None = None) -> str:
    """The exporter's address without a trailing slash: `url`, else HEADWAY_URL, else the default. "off" means: report nothing.

    `http://` may be left away.
    """
    found = str(url or os.environ.get("HEADWAY_URL") or DEFAULT_URL).strip().rstrip("/")
    if found.lower() == OFF:
        return OFF
    return found if "://" in found else f"http://{found}"


def find_key(key: str | None = None) -> str | None:
    """The key: `key`, else HEADWAY_KEY, else what the file HEADWAY_KEY_FILE holds; None without any.

    Raises OSError when that file cannot be read.
    """
    found = key or os.environ.get("HEADWAY_KEY")
    if not found and (path := os.environ.get("HEADWAY_KEY_FILE")):
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  pathlib is slow to import, and this is used by scripts
            found = file.read(4096)
    return (found or "").strip() or None
