"""Where the exporter is, and where what it shall hear later waits. Loaded by every script: imports nothing but os."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

DEFAULT_URL: Final = "http://127.0.0.1:14323"
OFF: Final = "off"
NO_TLS: Final = "what listens there does not speak TLS"


def find_url(url: str | None = None) -> str:
    """The exporter's address without a trailing slash: `url`, else HEADWAY_URL, else the default. "off" means: report nothing.

    `http://` may be left away.
    """
    found = str(url or os.environ.get("HEADWAY_URL") or DEFAULT_URL).strip().rstrip("/")
    if found.lower() == OFF:
        return OFF
    return found if "://" in found else f"http://{found}"


def spool_folder(environ: Mapping[str, str] = os.environ) -> str | None:
    """$HEADWAY_SPOOL, else /var/lib/headway/spool for root, else $XDG_STATE_HOME/headway/spool (~/.local/state/headway/spool).
    None for a user without a home directory."""
    if given := environ.get("HEADWAY_SPOOL"):
        return given
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "/var/lib/headway/spool"
    if state := environ.get("XDG_STATE_HOME"):
        return f"{state}/headway/spool"
    home = os.path.expanduser("~")  # noqa: PTH111  pathlib is slow to import
    return None if home == "~" else f"{home}/.local/state/headway/spool"
