"""The query parameters of calls that read."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from headway.model import Condition, Kind, Status
from headway.schemas.control import ServiceName
from headway.schemas.fields import Id, Label, Name, Timeframe


class ServiceParams(Struct, forbid_unknown_fields=True):
    """Filters of the list of services."""

    name: ServiceName | None = None
    group: Label | None = None


class LogParams(Struct, forbid_unknown_fields=True):
    lines: Annotated[int, Meta(ge=0, le=100_000)] = 100
    follow: bool = False


class ListParams(Struct, forbid_unknown_fields=True):
    """Filters of the list; several together must all hold."""

    status: str | None = None
    state: (
        Annotated[
            str,
            Meta(
                description="statuses, conditions, active, ended, completed (done), all, or undismissed (ended badly, and not "
                "dismissed); several with commas. Default: running"
            ),
        ]
        | None
    ) = None
    type: Kind | None = None
    user: Label | None = None
    project: Label | None = None
    task: Label | None = None
    attempt: Label | None = None
    agent: Label | None = None
    group: Label | None = None
    parent: Id | None = None
    name: Name | None = None
    executors_only: bool = False
    since: Annotated[str, Meta(max_length=64)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    cursor: Annotated[str, Meta(max_length=256)] | None = None


class AnalyzeParams(Struct, forbid_unknown_fields=True):
    """Of which processes, and how far back: `timeframe` (7d), or `since` a time."""

    type: Kind | None = None
    name: Name | None = None
    project: Label | None = None
    since: Annotated[str, Meta(max_length=64)] | None = None
    timeframe: Timeframe | None = None


class ReportParams(Struct, forbid_unknown_fields=True):
    timeframe: Timeframe | None = None


class TrendParams(Struct, forbid_unknown_fields=True):
    """`source`: store does not ask Prometheus."""

    timeframe: Timeframe = "24h"
    type: Kind | None = None
    name: Name | None = None
    project: Label | None = None
    source: Literal["auto", "store"] = "auto"


class SuggestParams(Struct, forbid_unknown_fields=True):
    name: Name
    type: Kind | None = None


class OutputParams(Struct, forbid_unknown_fields=True):
    tail: Annotated[int, Meta(ge=0, le=100_000)] = 500
    follow: bool = False


class NoParams(Struct, forbid_unknown_fields=True):
    """The call takes no parameters."""


# What ended badly (failed, timed out, orphaned, killed by nobody knows whom) and was not dismissed.
UNDISMISSED: Final = "undismissed"
STATE_WORDS: Final = (*(s.value for s in Status), *(c.value for c in Condition), "completed", "active", "ended", UNDISMISSED, "all")
