"""What is followed live: changes of processes as server-sent events, and the output of one process as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headway.api import answers, log_files
from headway.api.access import Caller
from headway.api.context import Context, caller, context_of, data
from headway.api.events import event, in_parts, wrapped
from headway.api.processes import single
from headway.registry.entry import Entry
from headway.schemas.decoding import parse_params
from headway.schemas.queries import NoParams, OutputParams
from headway.store.base import LogLine

KEEPALIVE: Final = 15.0
# Nobody on the way keeps events, or gathers them.
EVENT_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# Changes within this time travel together: a page cannot show more, and a thousand updates a second cost no more than ten.
GATHER: Final = 0.1


async def output(request: Request) -> Response:
    """The last `tail` lines of the captured output; with `follow=true` as plain text that goes on until the process has ended.

    Lines that are no longer kept come from the log file, where there is one: those have neither number nor time."""
    context, who = context_of(request), caller(request)
    params = parse_params(single(request), OutputParams)
    process = await context.find(request.path_params["id"], who)
    if params.follow and "text/event-stream" in request.headers.get("accept", ""):
        last = request.headers.get("last-event-id", "")
        numbered = follow_numbered(context, process.id, params.tail, int(last) if last.isdecimal() and len(last) < 16 else 0)
        return StreamingResponse(numbered, media_type="text/event-stream", headers=EVENT_HEADERS)
    if params.follow:
        lines = follow(context, process.id, params.tail, request.is_disconnected)
        return StreamingResponse(lines, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})
    found = await tail(context, process.id, params.tail)
    if len(found) < params.tail and (not found or found[0].number > 1):
        earlier = await asyncio.to_thread(log_files.read, process, log_files.folders(context.settings.data_dir), params.tail)
        if len(earlier) > len(found):
            if "text/plain" in request.headers.get("accept", ""):
                return Response("".join(f"{text}\n" for text in earlier), media_type="text/plain; charset=utf-8")
            return data([{"number": None, "at": None, "text": text} for text in earlier])
    if "text/plain" in request.headers.get("accept", ""):
        return Response("".join(f"{line.text}\n" for line in found), media_type="text/plain; charset=utf-8")
    return data([answers.line(line) for line in found])


async def tail(context: Context, process_id: str, count: int) -> list[LogLine]:
    entry = context.registry.entries.get(process_id)
    if entry is not None:
        return entry.log.tail(count)
    return list(await context.read(context.store.lines, process_id, count)) if count else []


async def follow(context: Context, process_id: str, count: int, gone: Callable[[], object]) -> AsyncIterator[bytes]:
    """The last lines and then each new one, until the process has ended or left the active view."""
    lines = await tail(context, process_id, count)
    entry = context.registry.entries.get(process_id)
    last = entry.log.next_number - 1 if entry is not None else 0
    yield "".join(f"{line.text}\n" for line in lines).encode("utf-8", "replace")
    changed = context.registry.feed.hub.subscribe()
    try:
        while True:
            entry = context.registry.entries.get(process_id)
            changed.clear()
            if entry is None or context.registry.feed.hub.closed:
                return
            if entry.log.next_number - 1 > last:
                new = [line for line in entry.log.tail() if line.number > last]
                last = entry.log.next_number - 1
                yield "".join(f"{line.text}\n" for line in new).encode("utf-8", "replace")
            if entry.process.status.ended:
                return
            await changed.wait()
            await asyncio.sleep(GATHER)
    finally:
        context.registry.feed.hub.unsubscribe(changed)


async def follow_numbered(context: Context, process_id: str, count: int, last: int) -> AsyncIterator[bytes]:
    """As events: the lines after number `last` (the last `count` of them), each new one, and that it has ended. `begins`: nothing
    before is to stay."""
    found = [line for line in await tail(context, process_id, count) if line.number > last]
    body: dict[str, object] = {"lines": [answers.line(line) for line in found]}
    if not last:
        body["begins"] = True
    last = found[-1].number if found else last
    yield event("lines", body, str(last))
    hub = context.registry.feed.hub
    changed = hub.subscribe()
    try:
        while True:
            changed.clear()
            entry = context.registry.entries.get(process_id)
            if hub.closed:
                return
            new = [] if entry is None or entry.log.next_number - 1 <= last else [x for x in entry.log.tail() if x.number > last]
            if new:
                last = new[-1].number
                yield event("lines", {"lines": [answers.line(line) for line in new]}, str(last))
            if entry is None or entry.process.status.ended:
                yield event("end", {}, str(last))
                return
            try:
                async with asyncio.timeout(KEEPALIVE):
                    await changed.wait()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            await asyncio.sleep(GATHER)
    finally:
        hub.unsubscribe(changed)


async def stream(request: Request) -> Response:
    """Server-sent events: first every process of the active view, then each change as it happens. `Last-Event-ID` resumes."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    since = resume_point(request.headers.get("last-event-id"), context)
    return StreamingResponse(events(context, who, since), media_type="text/event-stream", headers=EVENT_HEADERS)


async def live(request: Request) -> Response:
    """What the pages follow: rows as texts, and then what differs in them. Only for the pages."""
    context, who = context_of(request), caller(request)
    changes = context.live.follow(who.user, request.headers.get("last-event-id"))
    return StreamingResponse(changes, media_type="text/event-stream", headers=EVENT_HEADERS)


def resume_point(event_id: str | None, context: Context) -> int | None:
    """The version a browser has seen; None when it must start anew: first visit, exporter restarted, or too long ago."""
    if event_id is None:
        return None
    run, _, number = event_id.partition("-")
    registry = context.registry
    if (
        run != context.boot
        or not number.isdecimal()
        or not registry.feed.removals_known_since <= int(number) <= registry.feed.version
    ):
        return None
    return int(number)


def _told(context: Context, who: Caller, fresh: Sequence[tuple[Entry, int]], gone: Sequence[str], version: int) -> Iterator[bytes]:
    """`fresh`: what changed, and the version at which it had: what is sent may be newer, but who resumes from there misses nothing
    of the rest."""
    for entry, seen in fresh:
        now = context.registry.clock()
        body = context.bodies.of(entry, who.user, now, partial(context.summary, entry.process, now, who))
        yield wrapped("process", body, f"{context.boot}-{seen}")
    for process_id in gone:
        yield event("removed", {"id": process_id}, f"{context.boot}-{version}")


async def events(context: Context, who: Caller, since: int | None) -> AsyncIterator[bytes]:
    registry = context.registry
    changed = registry.feed.hub.subscribe(client=True)
    try:
        if since is None:
            yield event("reset", {}, f"{context.boot}-0")
            since = 0
        while not registry.feed.hub.closed:
            changed.clear()
            version = registry.feed.version
            fresh = [(e, e.version) for e in reversed(registry.feed.newer_than(since)) if who.sees(e.process.spec.user)]
            gone = registry.feed.removed_since(since) if since else []
            for part in in_parts(_told(context, who, fresh, gone, version)):
                yield part
                await asyncio.sleep(0)  # in between it is written, and turns out to be too much for who is slow
            since = version
            try:
                async with asyncio.timeout(KEEPALIVE):
                    await changed.wait()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            await asyncio.sleep(GATHER)
    finally:
        registry.feed.hub.unsubscribe(changed)
