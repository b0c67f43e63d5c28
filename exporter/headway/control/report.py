"""What came of an action on processes, as the API answers it. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from signal import Signals
from typing import Final

from headway.model import Ending, OSProcess

# Why some are left alone or cannot be reached.
NO_PROCESS: Final = "it has no OS process that this exporter can reach"
NOT_HERE: Final = f"{NO_PROCESS}; ask its reporter to end it: cancel"
EXECUTOR: Final = "it is an executor"
QUEUED: Final = "it is queued: nothing of it runs yet, what has its pid is the program that queued it; use cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asked for what. `by` is the name of the key; `user`: the only one whose processes the caller may reach (None: all)."""

    by: str
    user: str | None = None
    signal: Signals = Signals.SIGTERM
    grace: float = 5.0
    spare_executors: bool = False
    dry_run: bool = False

    def sees(self, user: str | None) -> bool:
        """Whether a process of this user may be reached."""
        return self.user is None or self.user == user

    @property
    def ending(self) -> Ending:
        """The same, to be kept with what is being ended."""
        return Ending(self.by, int(self.signal), self.grace, self.user, self.spare_executors)

    @classmethod
    def again(cls, ending: Ending, grace: float) -> Asked:
        """What was asked of an exporter before this one, of whose grace so many seconds are left."""
        return cls(
            by=ending.by, user=ending.user, signal=Signals(ending.signal), grace=grace, spare_executors=ending.spare_executors
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One that was ended. `id`: None for an OS process that is not tracked. `gone`: it had ended before."""

    id: str | None
    name: str | None
    pid: int
    status: str | None
    signal: str | None
    os_processes: int
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One that was not, and why. An OS process within a tree stands under the id of that tree."""

    id: str | None
    pid: int | None
    reason: str


@dataclass(slots=True)
class Report:
    killed: list[Hit] = field(default_factory=list)
    failed: list[Miss] = field(default_factory=list)
    skipped: list[Miss] = field(default_factory=list)
    survivors: list[Miss] = field(default_factory=list)
    killed_count: int = 0
    dry_run: bool = False

    @property
    def complete(self) -> bool:
        return not self.failed and not self.survivors


def signal_name(number: int | None) -> str | None:
    return None if number is None else Signals(number).name


def same(one: OSProcess, other: OSProcess) -> bool:
    """Whether two readings mean one OS process; see headway.sampler.base.is_same."""
    from headway.sampler.base import CREATE_TIME_TOLERANCE

    if one.pid != other.pid or one.create_time is None or other.create_time is None:
        return False
    return abs(one.create_time - other.create_time) <= CREATE_TIME_TOLERANCE
