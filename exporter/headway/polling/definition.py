"""An entry of the section `integrations`: what is asked, and what of an answer means what. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headway.model import Kind, Status

# Keys in the metadata of a record that tell which integration made it, and of which entry of its list.
INTEGRATION: Final = "integration"
ENTRY: Final = "entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """`command` is run every `every` seconds for at most `timeout` seconds. `items` is where in its answer the list stands (empty:
    it is the list). `fields` and `metadata` say by name what of an entry is what (see headway.polling.picking); `statuses`
    what the words of its status mean, others are running. `vanished` is how a process ends whose entry is not listed any more."""

    name: str
    command: tuple[str, ...]
    fields: Mapping[str, str]
    every: float = 30.0
    timeout: float = 10.0
    items: str = ""
    kind: Kind = Kind.SUBAGENT
    statuses: Mapping[str, Status] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    vanished: Status = Status.DONE
    stuck_after: float = 1800.0
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    place: str = ""

    def __str__(self) -> str:
        return " ".join(self.command)
