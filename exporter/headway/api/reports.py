"""What reporters say: creations, updates and batches of them, by whichever way a request comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, cast

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from headway.api.access import Caller
from headway.api.context import Context, caller, context_of
from headway.api.kept import summary_bytes
from headway.api.problems import of_error
from headway.api.processes import single
from headway.errors import Conflict, Forbidden, HeadwayError, InvalidInput, StoreUnavailable
from headway.keys import Role
from headway.model import Orphaned, Process
from headway.registry.changes import FINAL, about_state, pid_missing, same_creation
from headway.registry.entry import Entry
from headway.registry.outcome import Outcome
from headway.schemas.decoding import decode, parse_params
from headway.schemas.queries import NoParams
from headway.schemas.reports import (
    BatchItem,
    CreateIn,
    KnownItem,
    ProgressItem,
    WrongItem,
    decode_batch,
    decode_known,
    decode_update,
)

# Reads the whole body; raises what the guard found wrong with it meanwhile, and ClientDisconnect.
Body = Callable[[], Awaitable[bytes]]

# No id was looked up.
NOTHING: Final[Mapping[str, Process | None]] = {}
PID_MISSING: Final = (
    b'"pid: no OS process of this host has it, so that its end cannot be seen; give the pid of one that runs, or leave pid away. '
    b'For a process of a container or of another host send pid_namespace or host, too"'
)
# From here on a status says «not now» rather than «not so».
SERVER_ERROR: Final = 500
# A header of a batch, see there.
DURABLE: Final = "headway-durable"


async def create_process(request: Request) -> Response:
    """Creates a process. With an `id` that exists already for the same creation nothing changes and the answer is 200. `warnings`,
    a list of sentences, is there when something in it will not work, such as a pid that no OS process has."""
    parse_params(single(request), NoParams)
    status, answer = await create_one(context_of(request), caller(request), request.body)
    return written(answer, status)


async def create_one(context: Context, who: Caller, body: Body) -> tuple[int, bytes]:
    """What :func:`create_process` answers. Reached without the framework too (headway.api.direct)."""
    who.require(Role.REPORTER)
    form = decode(await body(), CreateIn)
    outcome = await create(context, who, form)
    if outcome.stored is not None:
        await outcome.stored
    return told_of_creation(context, who, outcome)


async def update_process(request: Request) -> Response:
    """Changes what is sent and leaves the rest. Beside the process the answer has `cancel_requested`: somebody asked for its end,
    and only its reporter can end it; `duplicate`: an update with this `seq`, or a later one, was taken before; and, where something
    of the update changed nothing, `ignored` with the `fields` and the `reason`. Late progress of a process that has ended is such a
    case, and no error. The update that lets a queued process begin may name its OS process (`pid`, `create_time`, `pid_namespace`);
    `warnings` are as in a creation."""
    parse_params(single(request), NoParams)
    return written(await update(context_of(request), caller(request), request.path_params["id"], request.body))


async def update(context: Context, who: Caller, process_id: str, body: Body) -> bytes:
    """What :func:`update_process` answers. Reached without the framework too (headway.api.direct)."""
    who.require(Role.REPORTER)
    form = decode_update(await body())
    registry = context.registry
    entry = registry.entries.get(process_id)
    if entry is None or not who.sees(entry.process.spec.user):
        entry = await context.active_entry(process_id, who)
    outcome = registry.update(entry.process.id, form)
    if outcome.stored is not None:
        await outcome.stored
        entry = registry.entries.get(process_id) or registry.archived(outcome.process)
    return b'{"data":%b,%b}' % (told(context, entry, who), said(outcome))


@dataclass(frozen=True, slots=True)
class Promise:
    """An answer that may be given once `stored`: status and JSON."""

    stored: asyncio.Future[None]
    answer: Callable[[], tuple[int, bytes]]


def create_at_once(context: Context, who: Caller, body: bytes) -> Promise | None:
    """What :func:`create_one` answers, for a caller who sees everything and an id that nobody has now; else None. Raises
    HeadwayError, and then nothing was created."""
    who.require(Role.REPORTER)
    form = decode(body, CreateIn)
    registry = context.registry
    if who.user is not None or form.id in registry.entries:
        return None
    if form.id is UNSET:
        outcome = registry.create(form)
        assert outcome.stored is not None
        return Promise(outcome.stored, lambda: told_of_creation(context, who, outcome))
    outcomes: list[Outcome] = []
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def looked(found: asyncio.Future[Process | None]) -> None:
        try:
            outcomes.append(made(context, who, form, None, found.result()))
        except Exception as error:
            ready.set_exception(error)
            return
        if (stored := outcomes[0].stored) is None:
            ready.set_result(None)
        else:
            stored.add_done_callback(kept)

    def kept(stored: asyncio.Future[None]) -> None:
        if stored.cancelled():
            ready.cancel()
        elif (error := stored.exception()) is not None:
            ready.set_exception(error)
        else:
            ready.set_result(None)

    context.archive.find(form.id).add_done_callback(looked)
    return Promise(ready, lambda: told_of_creation(context, who, outcomes[0]))


def told_of_creation(context: Context, who: Caller, outcome: Outcome) -> tuple[int, bytes]:
    """Status and JSON."""
    entry = context.registry.entries.get(outcome.process.id) or context.registry.archived(outcome.process)
    return 201 if outcome.created else 200, created(context, entry, who)


def created(context: Context, entry: Entry, who: Caller) -> bytes:
    """The answer to a creation: the process, and `warnings` where something was taken that will not work as it seems."""
    found = told(context, entry, who)
    return (
        b'{"data":%b,"warnings":[%b]}' % (found, PID_MISSING)
        if pid_missing(entry.process, context.registry.host)
        else (b'{"data":%b}' % found)
    )


def update_at_once(context: Context, who: Caller, process_id: str, body: bytes) -> bytes | Promise | None:
    """What :func:`update` answers, for a known process of which nothing is on its way to the disk; else None. Raises HeadwayError,
    and then nothing has changed."""
    who.require(Role.REPORTER)
    form = decode_update(body)
    registry = context.registry
    entry = registry.entries.get(process_id)
    if entry is None or not who.sees(entry.process.spec.user) or entry.pending is not None:
        return None
    outcome = registry.report(entry, form, registry.clock())
    if outcome is None or outcome.stored is None:
        return b'{"data":%b,%b}' % (told(context, entry, who), said(outcome))

    def answer() -> tuple[int, bytes]:
        now = registry.entries.get(process_id) or registry.archived(outcome.process)
        return 200, b'{"data":%b,%b}' % (told(context, now, who), said(outcome))

    return Promise(outcome.stored, answer)


def said(outcome: Outcome | None) -> bytes:
    """What a reporter is told beside the process."""
    if outcome is None:
        return b'"cancel_requested":false'
    words = b'"cancel_requested":true' if outcome.cancel_requested else b'"cancel_requested":false'
    if outcome.duplicate:
        words += b',"duplicate":true'
    if outcome.ignored is not None:
        words += b',"ignored":' + msgspec.json.encode(outcome.ignored._asdict())
    if outcome.ended_before:
        words += b',"ended_before":true'
    if outcome.pid_missing:
        words += b',"warnings":[%b]' % PID_MISSING
    return words


def told(context: Context, entry: Entry, who: Caller) -> bytes:
    """The process as its reporter may see it, as JSON."""
    return summary_bytes(context.registry, entry, who.user, context.children(entry, who))


async def batch(request: Request) -> Response:
    """Many updates in one request. Each item has a result of its own, with `status` and `error`, or with `cancel_requested`,
    `duplicate` and `ignored` as a single update has them, and `ended_before` where what an item creates has ended already, as an
    earlier process of this id; a wrong one does not stop the others. After one that cannot be taken now (5xx) none of the same
    process is, so that all can be sent again in their order. With the header
    `Headway-Durable` the answer comes when log lines and progress are on the disk too, which else follows within a second."""
    parse_params(single(request), NoParams)
    durable = DURABLE in request.headers
    return written(await update_many(context_of(request), caller(request), request.body, durable))


async def update_many(context: Context, who: Caller, body: Body, durable: bool) -> bytes:
    """What :func:`batch` answers. Reached without the framework too (headway.api.direct)."""
    who.require(Role.REPORTER)
    registry = context.registry
    entries, update, everyone = registry.entries, registry.update, who.user is None
    results: list[bytes] = []
    waiting: list[tuple[int, Outcome]] = []
    items = decode_batch(await body(), entries)
    unknown = [item.id for item in items if isinstance(item, BatchItem) and item.create is not UNSET and item.id not in entries]
    archived: Mapping[str, Process | None] = {}
    if len(unknown) > 1:
        with suppress(HeadwayError):  # then each item says so itself
            archived = await context.archive.find_all(unknown)
    later: dict[str, HeadwayError] = {}  # whom nothing can be taken of now: what comes after it would make that old news
    moving: dict[str, asyncio.Future[None]] = {}  # whose status changes here: what comes after it would be undone with it
    for item in items:
        if isinstance(item, WrongItem):
            results.append(refused(item.id, item.error))
            continue
        if moving and (change := moving.pop(item.id, None)) is not None:
            try:
                await change
            except HeadwayError as error:
                later[item.id] = error
        if later and item.id in later:
            results.append(refused(item.id, later[item.id]))
            continue
        try:
            if everyone and not isinstance(item, BatchItem) and item.id in entries:
                outcome = update(item.id, item)
                if outcome.stored is not None:
                    waiting.append((len(results), outcome))
            else:
                for outcome in await apply(context, who, item, archived):
                    if outcome.stored is not None:
                        waiting.append((len(results), outcome))
            if outcome.stored is not None:
                moving[item.id] = outcome.stored
        except HeadwayError as error:
            results.append(refused(item.id, error))
            if error.status >= SERVER_ERROR:
                later[item.id] = error
            continue
        results.append(accepted(item, outcome))
    unborn: dict[str, int] = {}
    for index, outcome in waiting:
        assert outcome.stored is not None
        try:
            await outcome.stored
        except HeadwayError as error:
            results[index] = refused(outcome.process.id, error)
            if outcome.created and outcome.process.id not in entries:
                unborn[outcome.process.id] = index
    if unborn:  # what was said of it afterwards is undone with its creation
        for index, item in enumerate(items):
            if unborn.get(item.id or "", index) < index:
                results[index] = results[unborn[item.id or ""]]
    if durable:
        with suppress(StoreUnavailable):  # then it is kept in memory and tried again, as what is written behind always is
            await context.writer.flush()
    return b'{"data":[%b]}' % b",".join(results)


def update_many_at_once(context: Context, who: Caller, body: bytes) -> bytes | None:
    """What :func:`update_many` answers where nothing has to be waited for; None where something has. Raises HeadwayError. Unless it
    answers nothing has changed."""
    who.require(Role.REPORTER)
    registry = context.registry
    items: Sequence[ProgressItem | KnownItem] | None = None if who.user is not None else decode_known(body)
    if items is None:
        return None
    get = registry.entries.get
    entries: list[Entry] = []
    for item in items:
        entry = get(item.id)
        if entry is None or entry.pending is not None or (entry.told is None and type(entry.process.state) is Orphaned):
            return None
        entries.append(entry)
    now, report = registry.clock(), registry.report
    special: dict[int, bytes] = {}

    def one(place: int) -> None:
        item = items[place]
        try:
            outcome = report(entries[place], item, now)
        except HeadwayError as error:
            special[place] = refused(item.id, error)
        else:
            if outcome is not None:
                special[place] = accepted(item, outcome)

    if items and isinstance(items[0], ProgressItem):
        rest = zip(range(len(items)), cast(Sequence[ProgressItem], items), entries, strict=True)
        while (place := registry.advance(rest, now)) is not None:
            one(place)
    else:
        if any(about_state(item) for item in cast(Sequence[KnownItem], items)):
            return None
        for place in range(len(items)):
            one(place)
    if not special:
        return _ALL % _BETWEEN.join([item.id for item in items]).encode() if items else b'{"data":[]}'
    results = [special.get(place) or _PLAIN % item.id.encode() for place, item in enumerate(items)]
    return b'{"data":[%b]}' % b",".join(results)


def accepted(item: ProgressItem | KnownItem, outcome: Outcome | None) -> bytes:
    """The result of an item of a batch. An id has nothing in it that JSON writes differently."""
    return b'{"id":"%b","status":200,%b}' % (item.id.encode(), said(outcome))


# The same of nearly every item: nothing is to be said of it.
_PLAIN: Final = b'{"id":"%b","status":200,"cancel_requested":false}'
# And of all of a batch.
_ALL: Final = b'{"data":[%b]}' % _PLAIN
_BETWEEN: Final = _PLAIN.decode().partition("%b")[2] + "," + _PLAIN.decode().partition("%b")[0]


def refused(process_id: str | None, error: HeadwayError) -> bytes:
    """The result of an item of a batch that changed nothing."""
    return msgspec.json.encode({"id": process_id, "status": error.status, "error": of_error(error)})


def written(answer: bytes, status: int = 200) -> Response:
    return Response(answer, status, media_type="application/json")


async def create(
    context: Context, who: Caller, form: CreateIn, process_id: str | None = None, archive: Mapping[str, Process | None] = NOTHING
) -> Outcome:
    """Creates, or finds what an earlier call created. Raises Conflict when the id means something else. `archive`: what the store
    has under some ids, where that was looked up just now."""
    if who.user is not None:
        if form.user not in (None, who.user):
            raise Forbidden(f"user: this key may report only for {who.user}", field="user")
        form.user = who.user
    given = form.id if form.id is not UNSET else process_id
    archived = None
    if given is not None and given not in context.registry.entries:
        archived = archive[given] if given in archive else await context.archive.find(given)
    return made(context, who, form, process_id, archived)


def made(context: Context, who: Caller, form: CreateIn, process_id: str | None, archived: Process | None) -> Outcome:
    """Creates, unless the id is known by now or is that of `archived`. Raises as :func:`create`."""
    given = form.id if form.id is not UNSET else process_id
    known = None if given is None else context.registry.entries.get(given)
    taken = archived if known is None else known.process
    # Of one that is known the registry finds out whether it is the same creation.
    if taken is not None and not (who.sees(taken.spec.user) and (known is not None or same_creation(taken, form))):
        raise Conflict(f"id {given} is in use; leave id away to get a new one", field="id")
    if known is None and archived is not None:
        return Outcome(archived)
    return context.registry.create(form, process_id=process_id)


async def apply(
    context: Context, who: Caller, item: ProgressItem | KnownItem, archive: Mapping[str, Process | None]
) -> list[Outcome]:
    """The creation (if any) and the update of one item; the last outcome is the item's. `archive`: see :func:`create`."""
    outcomes: list[Outcome] = []
    if isinstance(item, BatchItem) and item.create is not UNSET:
        if item.create.id is not UNSET and item.create.id != item.id:
            raise InvalidInput("create.id: must be the id of the item, or absent", field="create.id")
        outcomes.append(await create(context, who, item.create, item.id, archive))
    earlier = bool(outcomes) and not outcomes[0].created and type(outcomes[0].process.state) in FINAL
    entry = context.registry.entries.get(item.id)
    if entry is None or not who.sees(entry.process.spec.user):
        entry = await context.active_entry(item.id, who)
    outcome = context.registry.update(entry.process.id, item)
    if earlier and not outcome.duplicate:  # else it is the item that ended it, sent once more
        outcome = replace(outcome, ended_before=True)
    outcomes.append(outcome)
    return outcomes
