"""What a verb of the registry did: for its caller, for the writer, and for who has to take it back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from headway.model import Process, Transition, Usage
from headway.names import NameStats
from headway.registry.mark import Mark
from headway.store.base import LogLine
from headway.store.pending import Holder
from headway.used import NOTHING, Used

NameKey = tuple[str, str]


class Writes(Protocol):
    """What the registry needs of the writer (see headway.store.writer)."""

    def commit(
        self,
        *,
        processes: Sequence[Process] = (),
        transitions: Sequence[Transition] = (),
        names: Sequence[NameStats] = (),
        lines: Sequence[LogLine] = (),
        token: object = None,
    ) -> asyncio.Future[None]: ...

    def behind(self, process: Process | None = None, lines: Sequence[LogLine] = (), names: Sequence[NameStats] = ()) -> None: ...

    def behind_of(self, process_id: str, holder: Holder) -> None: ...


@dataclass(slots=True)
class Undo:
    """How to take back one change that could not be stored: what was there before. `used`: what an end counted, up to `mark`."""

    process_id: str
    before: Process | None
    name_key: NameKey | None
    name_before: NameStats | None
    line_numbers: range
    mark: Mark | None = None
    used: Used = NOTHING


@dataclass(slots=True)
class UndoCount:
    """The same of what processes used until one moment: what was counted of them before, and then, by id; and the totals of their
    names before."""

    usages: Mapping[str, Usage | None]
    taken: Mapping[str, Used]
    names: Mapping[NameKey, NameStats | None]


class Ignored(NamedTuple):
    """The fields of an update that changed nothing, and why in a sentence."""

    fields: tuple[str, ...]
    reason: str


@dataclass(slots=True)  # not frozen: one is made for every update
class Outcome:
    """What a verb did. Await `stored` (if any) before telling the caller. `pid_missing`: an update named a pid that nobody has.
    `ended_before`: what is reported anew has ended for good, as an earlier process of this id."""

    process: Process
    stored: asyncio.Future[None] | None = None
    created: bool = False
    duplicate: bool = False
    ignored: Ignored | None = None
    pid_missing: bool = False
    ended_before: bool = False

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked it to end; told with its last word too, so that who runs it does not run it again."""
        return self.process.cancel_requested_at is not None
