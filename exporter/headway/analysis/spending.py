"""Where the money went: by process, agent, project and day. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from headway.costs import Price, cost, tokens
from headway.model import Process

ROWS: Final = 10
NOBODY: Final = "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`of`: an id, agent, project or day (UTC); `processes` that cost something."""

    of: str
    dollars: float
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The dearest ten of each; days in order. `unpriced`: processes that used tokens, said no cost, and whose model has no
    price."""

    dollars: float
    processes: int
    tokens_in: float
    tokens_out: float
    unpriced: int
    by_process: tuple[Share, ...]
    by_agent: tuple[Share, ...]
    by_project: tuple[Share, ...]
    by_day: tuple[Share, ...]


def spending(processes: Iterable[Process], prices: Sequence[Price] = ()) -> Spending:
    """What these cost. A process counts on the day of its end, or of its last word while it runs."""
    by_process: dict[str, tuple[float, int]] = {}
    by_agent: dict[str, tuple[float, int]] = {}
    by_project: dict[str, tuple[float, int]] = {}
    by_day: dict[str, tuple[float, int]] = {}
    total = tokens_in = tokens_out = 0.0
    count = unpriced = 0
    for process in processes:
        inwards, outwards = tokens(process.metadata)
        tokens_in, tokens_out = tokens_in + (inwards or 0.0), tokens_out + (outwards or 0.0)
        price = cost(process.metadata, prices)
        if price is None:
            unpriced += bool(inwards or outwards)
            continue
        total, count = total + price, count + 1
        at = process.finished_at or process.activity.updated_at
        day = datetime.fromtimestamp(at, UTC).date().isoformat()
        for table, key in (
            (by_process, process.id),
            (by_agent, process.spec.agent or NOBODY),
            (by_project, process.spec.project or NOBODY),
            (by_day, day),
        ):
            dollars, processes_so_far = table.get(key, (0.0, 0))
            table[key] = (dollars + price, processes_so_far + 1)
    return Spending(
        dollars=total,
        processes=count,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        unpriced=unpriced,
        by_process=_dearest(by_process),
        by_agent=_dearest(by_agent),
        by_project=_dearest(by_project),
        by_day=tuple(_share(day, *by_day[day]) for day in sorted(by_day)),
    )


def _dearest(table: dict[str, tuple[float, int]]) -> tuple[Share, ...]:
    ordered = sorted(table.items(), key=lambda item: (-item[1][0], item[0]))
    return tuple(_share(key, *found) for key, found in ordered[:ROWS])


def _share(of: str, dollars: float, processes: int) -> Share:
    return Share(of=of, dollars=round(dollars, 6), processes=processes)
