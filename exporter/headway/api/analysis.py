"""GET /api/processes/analyze, /suggest and /report: what follows from what runs and what ran, worked out in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from headway.analysis.findings import Subject
from headway.analysis.history import within
from headway.analysis.numbers import growth
from headway.analysis.report import page
from headway.analysis.services import ServiceFact
from headway.analysis.suggestion import suggestion
from headway.analysis.whole import Analysis, analyze
from headway.api.access import Caller
from headway.api.answers import timestamp
from headway.api.context import Context, caller, context_of, data
from headway.api.listing import parse_time
from headway.api.processes import single
from headway.errors import InvalidInput, NotFound
from headway.keys import Role
from headway.model import ENDED, Kind, Process, Status
from headway.registry.entry import Entry
from headway.schemas.decoding import parse_params, seconds
from headway.schemas.queries import AnalyzeParams, ReportParams, SuggestParams
from headway.store.base import Query

# So many ended processes are looked at, the newest: reading and judging them takes a second or two.
MOST_HISTORY: Final = 10_000
DEFAULT_TIMEFRAME: Final = 7 * 86400.0
REPORT_TIMEFRAME: Final = 86400.0
# Their reasons name other processes.


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Of which processes, and since when (unix s)."""

    since: float
    now: float
    kind: Kind | None = None
    name: str | None = None
    project: str | None = None


async def analyze_processes(request: Request) -> Response:
    """What is slow, why, and what to do: what waits for a person, time sinks, bottlenecks, stuck ones, duplicates, forecasts,
    what is usual of each name (failure rate, durations and their trend, common errors), costs, and recommendations with the
    command for each. Looks at the newest 10,000 that ended in the `timeframe` (7d), or since `since`. `notice`: that nothing is
    being stored, and why; null while all is well."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), AnalyzeParams)
    who.require(Role.VIEWER)
    if params.since is not None and params.timeframe is not None:
        raise InvalidInput("give either since or timeframe", field="since")
    now = context.registry.clock()
    if params.since is not None:
        since = parse_time(params.since, "since")
    else:
        since = now - (DEFAULT_TIMEFRAME if params.timeframe is None else lasting(params.timeframe))
    scope = Scope(since=since, now=now, kind=params.type, name=params.name, project=params.project)
    return data({**shown(await analysis_of(context, who, scope)), "notice": context.writer.trouble})


def lasting(timeframe: str) -> float:
    """In seconds. Raises InvalidInput: nothing has ended within none."""
    found = seconds(timeframe, "timeframe")
    if found <= 0:
        raise InvalidInput("timeframe: expected more than 0, such as 1h or 7d", field="timeframe")
    return found


async def report(request: Request) -> Response:
    """Everything on one page of plain text: totals, what runs, what failed and why, what to do, what is scheduled. Of the last day,
    or `timeframe`. With `Accept: application/json` its parts as JSON."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), ReportParams)
    who.require(Role.VIEWER)
    now = context.registry.clock()
    timeframe = REPORT_TIMEFRAME if params.timeframe is None else lasting(params.timeframe)
    scope = Scope(since=now - timeframe, now=now)
    subjects, services = subjects_of(context, who, scope), services_of(context, who)
    history, complete = await history_of(context, who, scope)
    found = await judged(context, scope, subjects, services, history, complete)
    if wants_json(request):
        active = [context.summary(subject.process, now, who) for subject in subjects]
        return data({**shown(found), "running": active, "services": shown(services), "notice": context.writer.trouble})
    text = await asyncio.to_thread(page, found, subjects, history, services)
    if (trouble := context.writer.trouble) is not None:
        text = f"{trouble}\n\n{text}"
    return Response(text, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


async def suggest(request: Request) -> Response:
    """Timeout, expected duration, memory and CPU limits for a name, from its good runs: what 99% of them kept within, and a margin.
    From the newest 10,000 runs of it."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), SuggestParams)
    who.require(Role.VIEWER)
    now = context.registry.clock()
    history, _ = await history_of(context, who, Scope(since=0.0, now=now, kind=params.type, name=params.name))
    by_kind: dict[Kind, list[Process]] = {}
    for process in history:
        by_kind.setdefault(process.kind, []).append(process)
    if not by_kind:
        raise NotFound(
            f"no ended process is called {params.name[:60]!r}; headway analyze (GET /api/processes/analyze) lists the known"
        )
    found = [suggestion((params.name, kind), by_kind[kind]) for kind in sorted(by_kind)]
    return data(shown(found))


# ── gathering ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def analysis_of(context: Context, who: Caller, scope: Scope) -> Analysis:
    subjects, services = subjects_of(context, who, scope), services_of(context, who)
    history, complete = await history_of(context, who, scope)
    if scope.name is not None or scope.project is not None or scope.kind is not None:
        services = []
    return await judged(context, scope, subjects, services, history, complete)


async def judged(
    context: Context,
    scope: Scope,
    subjects: Sequence[Subject],
    services: Sequence[ServiceFact],
    history: Sequence[Process],
    complete: bool,
) -> Analysis:
    """In a thread: thousands of runs take tenths of a second."""
    times = {"since": scope.since, "now": scope.now}
    prices = context.settings.prices
    return await asyncio.to_thread(analyze, subjects, history, **times, complete=complete, services=services, prices=prices)


def subjects_of(context: Context, who: Caller, scope: Scope) -> list[Subject]:
    """What is active of it, as far as the caller may see it, the newest first."""
    registry, owners = context.registry, _owners(context)
    found = []
    for entry in registry.entries.values():
        process = entry.process
        if not process.status.active or not who.sees(process.spec.user) or not _in_scope(process, scope):
            continue
        slope, full_in = growth(entry.memory), None
        if slope is not None and slope > 0 and entry.sample is not None and entry.sample.memory_ratio is not None:
            ahead = (1.0 - entry.sample.memory_ratio) / slope
            full_in = ahead if ahead <= context.settings.memory_foresight else None
        found.append(
            Subject(
                view=registry.view(entry, scope.now),
                service=owners.get(process.id),
                memory_full_in=full_in,
                alone=alone(entry, scope.now),
            )
        )
    found.sort(key=lambda subject: (subject.process.spec.created_at, subject.process.id), reverse=True)
    return found


async def history_of(context: Context, who: Caller, scope: Scope) -> tuple[list[Process], bool]:
    """What ended in the time, as far as the caller may see it, and whether that is all of it. Read in a thread."""
    await context.settled(behind=True)
    query = Query(
        statuses=ENDED,
        kind=scope.kind,
        name=scope.name,
        project=scope.project,
        user=who.user,
        since=scope.since,
        limit=MOST_HISTORY + 1,
    )
    found = await context.read(context.store.list, query)
    return within(found[:MOST_HISTORY], scope.since, scope.now), len(found) <= MOST_HISTORY


def services_of(context: Context, who: Caller) -> list[ServiceFact]:
    found = []
    for unit in context.supervisor.units.values():
        if not who.sees(unit.service.user):
            continue
        schedule, known = unit.service.schedule, unit.remembered
        stats = context.registry.totals.names.get((unit.name, unit.service.kind))
        found.append(
            ServiceFact(
                name=unit.name,
                status=unit.phase.value,
                reason=unit.reason or None,
                wanted=unit.wanted,
                gave_up=unit.gave_up,
                waits_for=tuple(unit.service.depends_on) if unit.blocked else (),
                cron=None if schedule is None else schedule.cron,
                next_run_at=None if schedule is None else context.supervisor.next_run(unit),
                last_run_at=known.last_run_at,
                last_status=None if stats is None or stats.last_status is None else stats.last_status.value,
                missed=known.missed,
            )
        )
    if who.sees(None):
        found += _expected(context)
    return sorted(found, key=lambda service: service.name)


def _expected(context: Context) -> Iterator[ServiceFact]:
    """Names of which others start the runs."""
    for run in context.expecting.figures():
        stats = context.registry.totals.names.get((run.name, Kind(run.kind)))
        yield ServiceFact(
            name=run.name,
            status="expected",
            kept=False,
            cron=context.expecting.expected[run.name].when,
            next_run_at=run.next_run_at,
            last_run_at=run.last_run_at,
            last_status=None if stats is None or stats.last_status is None else stats.last_status.value,
            missed=run.missed,
        )


def _owners(context: Context) -> Mapping[str, str]:
    units = context.supervisor.units.values()
    return {unit.remembered.process_id: unit.name for unit in units if unit.remembered.process_id is not None}


def alone(entry: Entry, now: float) -> tuple[float, float, float] | None:
    """Where the time left is ours, and not the reporter's own."""
    activity, estimator = entry.process.activity, entry.estimator
    ours = entry.process.status is Status.RUNNING and activity.rate is None and activity.ends_at is None
    return estimator.alone(now, activity.total) if estimator is not None and ours else None


def _in_scope(process: Process, scope: Scope) -> bool:
    return (
        scope.kind in (None, process.kind)
        and scope.name in (None, process.name)
        and scope.project in (None, process.spec.project)
        and process.status is not Status.ORPHANED
    )


# ── showing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def shown(value: Any) -> Any:
    """As JSON has it: times, which are called …_at, as RFC 3339 text, and the kind as `type`."""
    return _told(msgspec.to_builtins(value))


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            "type" if key == "kind" else key: _moment(item) if key.endswith("_at") else _told(item) for key, item in value.items()
        }
    return [_told(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _moment(at: float | None) -> str | None:
    """None too for a time that the calendar does not reach: a timeout may be any number."""
    try:
        return timestamp(at)
    except (OverflowError, ValueError, OSError):
        return None


def wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/plain" not in accept
