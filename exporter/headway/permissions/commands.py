"""Whether a command runs that an agent asked for: in its folder, and since it asked. Blocking; portable."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headway.masking import mask_command

# Shells quote what they are given once more: quotes and backslashes are no part of what is compared.
_QUOTES: Final = str.maketrans("", "", "'\"\\")
SHORTEST: Final = 3
LONGEST: Final = 20_000
# When an OS process began is known to the second of the boot time (s).
SLACK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """`command` as the hook put it down: masked, on one line, perhaps cut. `since`: when it was asked (unix s)."""

    command: str
    folder: str
    since: float


@dataclass(frozen=True, slots=True)
class Command:
    """One OS process: its words, where it runs, since when (unix s)."""

    words: Sequence[str]
    folder: str
    since: float


def answered(asked: Asked, running: Iterable[Command]) -> bool:
    """Whether one of them is what was asked for. Pure."""
    wanted = plain(asked.command.removesuffix("…"))
    if len(wanted) < SHORTEST:
        return False
    whole = re.compile(rf"(?<![\w.-]){re.escape(wanted)}" + ("" if asked.command.endswith("…") else r"(?![\w.-])"))
    return any(
        one.since >= asked.since - SLACK
        and (one.folder == asked.folder or one.folder.startswith(asked.folder.rstrip("/") + "/"))
        and whole.search(plain(mask_command(" ".join(one.words)[:LONGEST]))) is not None
        for one in running
    )


def plain(text: str) -> str:
    return " ".join(text.translate(_QUOTES).split())


def since(earliest: float) -> Iterator[Command]:
    """The OS processes that began then or later, as far as they may be looked into."""
    import psutil  # not with the server: nobody may ever ask

    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (began := process.create_time()) >= earliest:
                yield Command(process.cmdline(), process.cwd(), began)
        except (psutil.Error, OSError):
            continue
