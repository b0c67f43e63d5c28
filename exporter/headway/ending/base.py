"""What is asked of ending, and what it answers. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headway.model import OSProcess
from headway.sampler.strays import Run


@dataclass(frozen=True, slots=True)
class Target:
    """One tree, under a key of the caller's. Who left a run of `runs` belongs to it, when the root of that run is in the tree or
    gone: its own run, and those that were reported below it."""

    key: str
    root: OSProcess
    runs: Sequence[Run] = ()


@dataclass(frozen=True, slots=True)
class Spared:
    """An OS process that must be left alone, with everything below it that is no target itself, and with who left its run."""

    root: OSProcess
    reason: str
    run: Run | None = None


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
    was seen, `survivors` those that live on, `spared` who was left alone on the way; `strays` those that had left the tree, without
    who is below them: of a root that was gone they may be left, and then it is not `gone`. `signals`: the last ones, by pid.
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
    strays: Sequence[OSProcess] = ()

    @property
    def lives(self) -> bool:
        """Whether anyone of it does."""
        return not self.root_ended or len(self.members) > len(self.ended)

    @property
    def signal(self) -> int | None:
        """The last one that its root was sent; of a root that was gone, one that those it left behind were sent."""
        if self.root.pid not in self.signals and all(member.pid != self.root.pid for member in self.members):
            return max(self.signals.values(), default=None)
        return self.signals.get(self.root.pid)
