"""The machine's own files, which the demonstration reads. Nothing of them is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOTS: Final = tuple(path for name in ("/usr/lib", "/usr/share", "/usr/bin") if (path := Path(name)).is_dir())
_LARGEST: Final = 8 << 20  # bytes; larger files would make the progress jump


def readable(root: Path) -> Iterator[Path]:
    """Ordinary files below `root` that this user may read, folder by folder."""
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder, name)
            try:
                usable = path.is_file() and not path.is_symlink() and os.access(path, os.R_OK) and path.stat().st_size <= _LARGEST
            except OSError:
                continue
            if usable:
                yield path
