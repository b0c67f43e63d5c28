"""The log file of a run, where the exporter keeps those itself: what was said before the lines that the store has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from headway.api.service_logs import last_lines
from headway.model import Process
from headway.supervisor.logfile import directory

# More than `headway run` keeps unless it is told to.
FILES: Final = 10
# Clocks of file systems are coarse (s).
COARSE: Final = 2.0


def folders(data_dir: Path) -> tuple[Path, ...]:
    """Of what this exporter started, and of what `headway run` keeps where it runs as the same user."""
    return data_dir / "logs", directory()


def read(process: Process, places: Iterable[Path], count: int) -> list[str]:
    """The last `count` lines in its file, oldest first; empty when there is none. Blocking.

    The file is looked for by its id, in folders of the exporter's own alone: what a record says of it (`metadata.log_file`) could
    be written by anybody who may report, and the exporter may read more than they.
    """
    for folder in places:
        path = folder / f"{process.id}.log"
        try:
            # An id can come back: what was written before this process was created is another's.
            if path.is_symlink() or path.stat().st_mtime < process.spec.created_at - COARSE:
                continue
        except OSError:
            continue
        return last_lines(path, count, FILES)
    return []
