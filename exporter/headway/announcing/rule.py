"""Which ends are announced. Pure data and a decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from headway.durations import format_duration
from headway.model import Kind, Process, Status


class When(StrEnum):
    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    ON_CHANGE = "on-change"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceRule:
    """For processes of a kind, or whose name matches a pattern (`*`, `?`, `[…]`, case counts). `longer_than`: only what took at
    least so many seconds."""

    when: When
    longer_than: float | None = None
    kind: Kind | None = None
    name: str | None = None
    place: str = "default"

    def __str__(self) -> str:
        return f"{self.when}, longer than {format_duration(self.longer_than)}" if self.longer_than is not None else str(self.when)

    def matches(self, process: Process) -> bool:
        return self.kind in (None, process.kind) and (self.name is None or fnmatchcase(process.name, self.name))


# Somebody waits for the result of a pipeline and of a sub-agent; that a cron job succeeded, each time, is no news, but after it has
# failed it is. A task is anything, most of it small; and how a daemon does is what alerts are for.
_UNLESS_TOLD: Final = {
    Kind.SUBAGENT: When.ALWAYS,
    Kind.PIPELINE: When.ALWAYS,
    Kind.CRON: When.ON_CHANGE,
    Kind.DAEMON: When.NEVER,
    Kind.TASK: When.NEVER,
}
DEFAULT_RULES: Final = tuple(AnnounceRule(when=_UNLESS_TOLD[kind], kind=kind) for kind in Kind)
FAILURES: Final = frozenset({Status.FAILED, Status.TIMED_OUT, Status.ORPHANED})


def by_name_last(rules: Iterable[AnnounceRule]) -> tuple[AnnounceRule, ...]:
    """In the order in which the last that matches counts: a rule for a name over one for a kind, later ones over earlier ones."""
    return tuple(sorted(rules, key=lambda rule: rule.name is not None))


def is_failure(process: Process) -> bool:
    """Whether it ended badly and nobody wanted it so: an alert tells of these."""
    killed = process.status is Status.KILLED and not getattr(process.state, "requested", False)
    return process.status in FAILURES or killed


def rule_for(process: Process, rules: Sequence[AnnounceRule]) -> AnnounceRule | None:
    """The last that matches (see :func:`by_name_last`)."""
    return next((rule for rule in reversed(rules) if rule.matches(process)), None)


def is_announced(process: Process, rules: Sequence[AnnounceRule], recovered: bool = False) -> bool:
    """By the last rule that matches. `recovered`: it ended well as the first of its name after bad ends."""
    rule = rule_for(process, rules)
    if rule is None or rule.when is When.NEVER or not process.status.ended:
        return False
    if rule.when is When.ON_FAILURE and not is_failure(process):
        return False
    if rule.when is When.ON_CHANGE and not is_failure(process) and not recovered:
        return False
    return rule.longer_than is None or (process.elapsed(process.finished_at or 0.0) or 0.0) >= rule.longer_than
