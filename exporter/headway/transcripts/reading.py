"""Reads what was added to a transcript since the last look: bounded, and only files that are what they are said to be. Blocking."""

from __future__ import annotations

import os
import stat
from pathlib import PurePath
from typing import Final

from headway.transcripts.counting import Count

# Of one look (bytes); what is longer is read in the next ones.
LARGEST: Final = 4 * 1024 * 1024
# A transcript that is one document has to be read whole; a longer one is not.
LARGEST_WHOLE: Final = 16 * 1024 * 1024
# Whoever may report may name a path: only files in the folders of the agents are opened.
FOLDERS: Final = {"claude-code": ".claude", "codex": ".codex", "gemini": ".gemini"}


class Transcript:
    """The file at `path` of an agent; `count` is what stands in it as far as it was read."""

    def __init__(self, agent: str, path: str) -> None:
        self.agent = agent
        self.path = path
        self.count = Count(agent)
        self._seen: tuple[int, ...] | None = None
        self._offset = 0
        self._skipping = False

    def look(self) -> bool:
        """Reads on; whether all of it was read and there is something new. A file that cannot be read says nothing."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            return False
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return False
        with os.fdopen(descriptor, "rb") as file:
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return False
            whole = self.path.endswith(".json")
            if whole or (self._seen is not None and self._seen[:2] != seen[:2]) or status.st_size < self._offset:
                self.count, self._offset, self._skipping = Count(self.agent), 0, False
            if whole:
                self._seen = seen
                if status.st_size <= LARGEST_WHOLE:
                    self.count.whole(file.read(LARGEST_WHOLE))
                return True
            file.seek(self._offset)
            part = file.read(LARGEST)
            self._take(part)
            # Else it is looked at again, whether it changes or not.
            complete = len(part) < LARGEST
            self._seen = seen if complete else (*seen[:2], -1, -1)
            return complete

    def _take(self, part: bytes) -> None:
        end = part.rfind(b"\n") + 1
        if not end:
            if len(part) == LARGEST:  # a line so long holds a file, no count
                self._offset += len(part)
                self._skipping = True
            return
        lines = part[:end].split(b"\n")
        for line in lines[1:] if self._skipping else lines:
            self.count.line(line)
        self._offset += end
        self._skipping = False


def readable(agent: str, path: object) -> bool:
    """Whether a transcript may be looked at there."""
    if agent not in FOLDERS or not isinstance(path, str) or len(path) > 4000 or not path.endswith((".jsonl", ".json")):
        return False
    # Links are followed here, so that none leads out of the folder later.
    try:
        parts = PurePath(os.path.realpath(path)).parts
    except (OSError, ValueError):
        return False
    return path.startswith("/") and FOLDERS[agent] in parts[:-1]
