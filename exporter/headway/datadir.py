"""Where an exporter keeps its data on this machine, and the administrator's key there; light, for the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLE: Final = "HEADWAY_DATA_DIR"
ADMIN_KEY_FILE: Final = "admin.key"
# Its first part is the id of the key.
KEY_TEXT: Final = re.compile(r"hw_([0-9a-f]{8})_[A-Za-z0-9_-]{43}", re.ASCII)


def default_data_dir(environ: Mapping[str, str], uid: int) -> Path:
    """Where an exporter keeps its data unless told: of the machine for root, else of the user (XDG base directories)."""
    if uid == 0:
        return Path("/var/lib/headway")
    state = environ.get("XDG_STATE_HOME", "")
    # The XDG specification: a relative path is invalid and must be ignored.
    base = Path(state) if state.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".local" / "state"
    return base / "headway"


def local_data_dir() -> Path:
    """Of the exporter that this environment means: $HEADWAY_DATA_DIR, else the default."""
    return Path(os.environ.get(VARIABLE) or default_data_dir(os.environ, os.geteuid()))


def read_key(path: Path) -> str | None:
    """The text of the key in a file; None when there is none that can be read."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if KEY_TEXT.fullmatch(text) else None
