"""What to do, with its priority, the reason in numbers, and the command that carries it out. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from headway.analysis.findings import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """`about`: the name, or how many processes where they have several; `id`: the process, or None when it is about no single one.
    `action` in words, `command` to carry it out."""

    priority: Level
    action: str
    about: str
    id: str | None
    reason: str
    command: str
