"""SQL for a :class:`Query`. Every plan names its index: which one is good follows from what columns mean, not from statistics."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from headway.model import ACTIVE, ENDED, Status
from headway.store.base import Query

# Columns that few processes share, the most selective first, with the index to look into.
_SELECTIVE: Final = (("parent_id", "processes_parent"), ("task", "processes_created"), ("name", "processes_created"))
_OTHERS: Final = (
    ("kind", "kind"),
    ("user", "user"),
    ("project", "project"),
    ("attempt", "attempt"),
    ("agent", "agent"),
    ("group", "grp"),
)

Sql = tuple[str, list[Any]]


def list_query(query: Query) -> Sql:
    """The records that match, newest first, at most `query.limit`."""
    conditions, values = _filters(query)
    if query.by_end:
        return _by_end(query, conditions, values)
    index = next((index for column, index in _SELECTIVE if getattr(query, column) is not None), None)
    statuses = None if query.statuses is None else sorted(query.statuses)
    if statuses is not None and (index is None or _few(statuses)):
        # One search per status: each is in order by itself and stops at the limit.
        arms = [_arm("processes_status", ["status = ?", *conditions], [status, *values], query.limit) for status in statuses]
    else:
        if statuses is not None:
            conditions = [*conditions, f"status IN ({', '.join('?' * len(statuses))})"]
            values = [*values, *statuses]
        arms = [_arm(index or "processes_created", conditions, values, query.limit)]
    found = " UNION ALL ".join(f"SELECT * FROM ({sql})" for sql, _ in arms)
    sql = (
        f"SELECT p.id, p.record FROM ({found}) AS found CROSS JOIN processes AS p ON p.rowid = found.row "
        "ORDER BY found.created_at DESC, found.id DESC LIMIT ?"
    )
    return sql, [value for _, given in arms for value in given] + [query.limit]


def _by_end(query: Query, conditions: Sequence[str], values: Sequence[Any]) -> Sql:
    """Walks through the ends, the latest first, and stops at the limit; of bad ends, which are few, it sorts all."""
    statuses = sorted(ENDED if query.statuses is None else ENDED.intersection(query.statuses))
    index = "processes_finished" if Status.DONE in statuses else "processes_status"
    wanted = ["finished_at IS NOT NULL", f"status IN ({', '.join('?' * len(statuses))})", *conditions]
    sql = (
        f"SELECT p.id, p.record FROM (SELECT rowid AS row, finished_at, id FROM processes INDEXED BY {index} "
        f"WHERE {' AND '.join(wanted)} ORDER BY finished_at DESC, id DESC LIMIT ?) AS found "
        "CROSS JOIN processes AS p ON p.rowid = found.row ORDER BY found.finished_at DESC, found.id DESC"
    )
    return sql, [*statuses, *values, query.limit]


def _few(statuses: Collection[str]) -> bool:
    """Active processes are few beside the history."""
    return ACTIVE.issuperset(Status(status) for status in statuses)


def _filters(query: Query) -> tuple[list[str], list[Any]]:
    wanted: list[tuple[str, Any]] = [
        (f"{column} = ?", getattr(query, field))
        for field, column in (*((column, column) for column, _ in _SELECTIVE), *_OTHERS)
        if getattr(query, field) is not None
    ]
    if query.executors_only:
        wanted.append(("executor = ?", 1))
    if query.since is not None:
        wanted.append(("updated_at >= ?", query.since))
    if query.until is not None:
        wanted.append(("updated_at < ?", query.until))
    if query.name_part is not None:
        wanted.append(("instr(lower(name), lower(?)) > 0", query.name_part))
    conditions, values = [sql for sql, _ in wanted], [value for _, value in wanted]
    if query.after is not None:
        conditions.append(f"({'finished_at' if query.by_end else 'created_at'}, id) < (?, ?)")
        values += query.after
    return conditions, values


def _arm(index: str, conditions: Sequence[str], values: Sequence[Any], limit: int) -> Sql:
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    sql = f"SELECT rowid AS row, created_at, id FROM processes INDEXED BY {index} {where}ORDER BY created_at DESC, id DESC LIMIT ?"
    return sql, [*values, limit]


# The good ends: what nobody needs to look into.
_GOOD: Final = "(status IN ('done', 'cancelled') OR (status = 'killed' AND requested))"

_ACTIVE: Final = ", ".join(f"'{status.value}'" for status in sorted(ACTIVE))
# Active ones; undismissed good ends at or after a time; all other undismissed ended ones. Oldest first.
LOAD: Final = f"""SELECT id, record FROM (
    SELECT id, created_at, record FROM processes INDEXED BY processes_status WHERE status IN ({_ACTIVE})
    UNION ALL
    SELECT id, created_at, record FROM processes INDEXED BY processes_finished
        WHERE finished_at >= ? AND dismissed_at IS NULL AND {_GOOD}
    UNION ALL
    SELECT id, created_at, record FROM processes INDEXED BY processes_status
        WHERE status IN ('failed', 'killed', 'timed_out', 'orphaned') AND dismissed_at IS NULL AND NOT {_GOOD}
) ORDER BY created_at, id"""
# Parameters: ended_before, failed_before, how many at most.
EXPIRED: Final = f"""SELECT id FROM processes INDEXED BY processes_finished WHERE finished_at < max(?1, ?2)
    AND ((finished_at < ?1 AND (dismissed_at IS NOT NULL OR {_GOOD}))
        OR (finished_at < ?2 AND dismissed_at IS NULL AND NOT {_GOOD}))
    ORDER BY finished_at LIMIT ?3"""
ENDED_COUNT: Final = "SELECT count(*) FROM processes INDEXED BY processes_finished WHERE finished_at IS NOT NULL"
OLDEST_ENDED: Final = """SELECT id FROM processes INDEXED BY processes_finished WHERE finished_at IS NOT NULL
    ORDER BY finished_at, id LIMIT ?"""
