"""What the exporter remembers of the commands it was asked to start, so that they can be started again: a file for each, readable
by its user alone. The record of a process is no source for that: whoever may report could write a command into it.

Of a launch that holds a secret only that fact is kept.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from headway.masking import mask_command
from headway.wholefile import replace_file

log = logging.getLogger(__name__)

FOLDER: Final = "launches"


@dataclass(frozen=True, slots=True)
class Launch:
    """As given to headway.supervisor.launch.Launcher.start. `retries`: how often it was started again, the last time for
    `retry_of`."""

    words: Sequence[str]
    flags: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    retries: int = 0
    retry_of: str | None = None

    def again(self, process_id: str) -> Launch:
        """The same once more, for the process of this id."""
        return replace(self, retries=self.retries + 1, retry_of=process_id)

    def all_flags(self) -> list[str]:
        if self.retry_of is None:
            return list(self.flags)
        return [*self.flags, f"--metadata=retry_of={json.dumps(self.retry_of)}", f"--metadata=retry={self.retries}"]

    def holds_secret(self) -> bool:
        """Whether something in it would be masked. Words are looked at alone too: one may be a text for the shell."""
        texts = [*self.words, *self.flags, self.cwd or "", *self.environ.values()]
        texts += [shlex.join(self.words), shlex.join(self.flags), *(f"{name}={value}" for name, value in self.environ.items())]
        return any(mask_command(text) != text for text in texts)


class Secret:
    """In place of a launch that was not kept."""


class Launches:
    """Blocking: belongs in a thread. Files are replaced whole, and nobody is in need of one that is missing."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def keep(self, process_id: str, launch: Launch) -> None:
        """What cannot be written is logged: the command runs all the same."""
        known = {"secret": True} if launch.holds_secret() else asdict(launch)
        path = self._path(process_id)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, json.dumps(known))
        except OSError as error:
            log.warning("process %s cannot be retried later: %s: %s", process_id, path, error.strerror)

    def find(self, process_id: str) -> Launch | Secret | None:
        """None for what was not started here, or whose file cannot be read."""
        try:
            known = json.loads(self._path(process_id).read_text())
            return Secret() if known.get("secret") else Launch(**known)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("what is known of the start of %s cannot be read: %s", process_id, error)
            return None

    def remove(self, process_ids: Iterable[str]) -> None:
        for process_id in process_ids:
            try:
                self._path(process_id).unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s cannot be removed: %s", self._path(process_id), error.strerror)

    def older_than(self, seconds: float) -> list[str]:
        """The ids of what was started so long ago."""
        before = time.time() - seconds
        try:
            with os.scandir(self._folder) as files:
                return [Path(file.name).stem for file in files if file.stat().st_mtime < before]
        except OSError:
            return []

    def _path(self, process_id: str) -> Path:
        return self._folder / f"{process_id}.json"
