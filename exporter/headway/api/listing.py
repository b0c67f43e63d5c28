"""Which processes a list shows: words for states, filters, the order and the cursor."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from headway.api.access import Caller
from headway.errors import InvalidInput
from headway.explanation import suggestion
from headway.model import ACTIVE, ENDED, Condition, Process, Status
from headway.registry.entry import Entry
from headway.registry.lifecycle import needs_attention
from headway.schemas.queries import STATE_WORDS, UNDISMISSED, ListParams
from headway.store.base import Query

WORDS = {"active": ACTIVE, "ended": ENDED, "all": ACTIVE | ENDED, "completed": frozenset({Status.DONE})}


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for: any of `statuses`, or active with any of `conditions`, or (`undismissed`) ended badly and not dismissed;
    and the filters of `query`."""

    statuses: frozenset[Status]
    conditions: frozenset[Condition]
    undismissed: bool
    query: Query

    @property
    def in_memory(self) -> bool:
        """Whether the registry alone knows the answer: it holds all active processes, and what stays until it is dismissed."""
        return self.statuses <= ACTIVE

    def matches(self, entry: Entry) -> bool:
        process, query = entry.process, self.query
        status = process.status
        if (
            status not in self.statuses
            and not (self.conditions and status.active and any(c.condition in self.conditions for c in entry.conditions))
            and not (self.undismissed and process.dismissed_at is None and needs_attention(process))
        ):
            return False
        spec = process.spec
        return (
            (query.kind is None or spec.kind is query.kind)
            and (query.user is None or spec.user == query.user)
            and (query.project is None or spec.project == query.project)
            and (query.task is None or spec.task == query.task)
            and (query.attempt is None or spec.attempt == query.attempt)
            and (query.agent is None or spec.agent == query.agent)
            and (query.group is None or spec.group == query.group)
            and (query.parent_id is None or spec.parent_id == query.parent_id)
            and (query.name is None or spec.name == query.name)
            and (not query.executors_only or spec.executor)
            and (query.since is None or process.activity.updated_at >= query.since)
            and (query.after is None or order(process) < query.after)
        )

    def pick(self, entries: Iterable[Entry]) -> list[Process]:
        """The matching processes, newest first, one more than the limit at most (it tells that there is a next page)."""
        found = [entry.process for entry in entries if self.matches(entry)]
        found.sort(key=order, reverse=True)
        return found[: self.query.limit]


def order(process: Process) -> tuple[float, str]:
    return (process.spec.created_at, process.id)


def select(params: ListParams, caller: Caller) -> Selection:
    """What the parameters ask for. Raises InvalidInput naming the parameter."""
    if params.status is not None and params.state is not None:
        raise InvalidInput("give either status or state, they mean the same", field="state")
    field = "status" if params.status is not None else "state"
    statuses: set[Status] = set()
    conditions: set[Condition] = set()
    undismissed = False
    for raw in (params.status or params.state or "running").split(","):
        word = raw.strip().lower()
        if word in WORDS:
            statuses |= WORDS[word]
        elif word == UNDISMISSED:
            undismissed = True
        elif word in Condition.__members__.values():
            conditions.add(Condition(word))
        elif word in Status.__members__.values():
            statuses.add(Status(word))
        else:
            raise InvalidInput(f"{field}: unknown state{suggestion(word[:40], list(STATE_WORDS))}", field=field)
    if caller.user is not None and params.user not in (None, caller.user):
        raise InvalidInput(f"user: this key sees only the processes of {caller.user}", field="user")
    return Selection(
        frozenset(statuses),
        frozenset(conditions),
        undismissed,
        Query(
            statuses=frozenset(statuses),
            kind=params.type,
            user=caller.user or params.user,
            project=params.project,
            task=params.task,
            attempt=params.attempt,
            agent=params.agent,
            group=params.group,
            parent_id=params.parent,
            name=params.name,
            executors_only=params.executors_only,
            since=None if params.since is None else parse_time(params.since, "since"),
            after=None if params.cursor is None else read_cursor(params.cursor),
            limit=params.limit + 1,
        ),
    )


def parse_time(text: str, field: str) -> float:
    """Unix seconds from RFC 3339 text or a number of unix seconds. Raises InvalidInput."""
    try:
        number = float(text)
    except ValueError:
        # A + that was not percent-encoded arrives as a space.
        try:
            moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
            number = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise InvalidInput(f"{field}: expected a time such as 2026-01-31T08:00:00Z or unix seconds", field=field) from None
    if not math.isfinite(number) or abs(number) > 1e11:
        raise InvalidInput(f"{field}: expected a time such as 2026-01-31T08:00:00Z or unix seconds", field=field)
    return number


def write_cursor(process: Process, by_end: bool = False) -> str:
    """Where a page ended whose last row is this one."""
    at, process_id = (process.finished_at or 0.0, process.id) if by_end else order(process)
    return base64.urlsafe_b64encode(f"{at!r} {process_id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[float, str]:
    try:
        created_at, process_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(" ", 1)
        at = float(created_at)
        if not math.isfinite(at):
            raise ValueError(created_at)
        return at, process_id
    except (ValueError, binascii.Error):
        raise InvalidInput("cursor: not one that this API gave; start again without it", field="cursor") from None
