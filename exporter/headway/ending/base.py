"""What is asked of ending, and what it answers. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headway.model import OSProcess


@dataclass(frozen=True, slots=True)
class Target:
    """One tree, under a key of the caller's."""

    key: str
    root: OSProcess


@dataclass(frozen=True, slots=True)
class Spared:
    """An OS process that must be left alone, with everything below it that is no target itself."""

    root: OSProcess
    reason: str


@dataclass(frozen=True, slots=True)
class Left:
    """An OS process that was left alone or that lives on, and why."""

    process: OSProcess
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one target.

    `gone`: it was not there any more, and nothing was done. `barred`: why it must not be touched; nothing was done. `refused`: why
    its root could not be reached. `members`: all that belong to the tree, the root among them; `ended` those of them whose exit
    was seen, `survivors` those that live on, `spared` who was left alone on the way. `signals`: the last ones, by pid.
    """

    key: str
    root: OSProcess
    gone: bool = False
    barred: str | None = None
    refused: str | None = None
    root_ended: bool = False
    signals: Mapping[int, int] = field(default_factory=dict)
    members: Sequence[OSProcess] = ()
    ended: Sequence[OSProcess] = ()
    survivors: Sequence[Left] = ()
    spared: Sequence[Left] = ()

    @property
    def signal(self) -> int | None:
        """The last one that its root was sent."""
        return self.signals.get(self.root.pid)
