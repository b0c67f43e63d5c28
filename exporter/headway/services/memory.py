"""What is remembered of services while no exporter runs: what is to run, and which process each of them was."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from headway.errors import StoreUnavailable
from headway.wholefile import replace_file

log = logging.getLogger(__name__)
FILE: Final = "services.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """`wanted`: None until somebody or the configuration has said. `launched_at`, `last_run_at`, `seen_due` in unix seconds;
    `seen_due`: up to then the schedule was looked at; `late_at`, `overlapped_at`: when a run was last found missed and not
    made up, and left out. `pid` and `create_time` are of the OS process of `process_id`.
    `restarting`: its process is being ended to be started anew, which the next exporter does if this one does not get there.
    `over`: why it was given up, or failed and is not to be started again; a new start of the machine is a new beginning, and so is
    another definition than `failed_as`, which is the mark of the one that failed last."""

    wanted: bool | None = None
    restarting: bool = False
    process_id: str | None = None
    pid: int | None = None
    create_time: float | None = None
    launched_at: float | None = None
    fingerprint: str | None = None
    restarts: int = 0
    failures: int = 0
    over: str | None = None
    failed_as: str | None = None
    last_run_at: float | None = None
    last_process_id: str | None = None
    seen_due: float | None = None
    missed: int = 0
    overlapped: int = 0
    late_at: float | None = None
    overlapped_at: float | None = None


class Memory:
    """A file in the data directory, replaced as a whole and synced at each change. Blocking, one caller at a time."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE

    def load(self) -> dict[str, Remembered]:
        """By name of the service. A file that cannot be read is put aside, and nothing is remembered."""
        try:
            said = json.loads(self.path.read_text(encoding="utf-8"))
            anew = said.get("boot") != boot_id()
            found = {name: remembered(facts) for name, facts in said["services"].items()}
            return {name: replace(one, over=None, failures=0) if anew else one for name, one in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            aside = self.path.with_suffix(".unreadable.json")
            log.error("%s cannot be read (%s) and is put aside as %s: what runs is looked for anew", self.path, error, aside.name)
            try:
                self.path.replace(aside)
            except OSError:
                pass
            return {}

    def save(self, known: Mapping[str, Remembered]) -> None:
        """Raises StoreUnavailable; the file is then as it was."""
        body = json.dumps({"boot": boot_id(), "services": {name: asdict(one) for name, one in sorted(known.items())}}, indent=1)
        try:
            replace_file(self.path, body + "\n")
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be written: {error.strerror}; nothing was changed") from None


def boot_id(path: str | Path = "/proc/sys/kernel/random/boot_id") -> str | None:
    """What tells this start of the machine from others; None where that cannot be known."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def remembered(facts: Mapping[str, Any]) -> Remembered:
    """Fields that this version does not know are left out."""
    known = {field.name for field in fields(Remembered)}
    return Remembered(**{name: value for name, value in facts.items() if name in known})
