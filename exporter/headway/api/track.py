"""POST /api/processes/track: a command is started as a tracked process."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import Container
from typing import Final

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from headway import resources
from headway.api.audit import Audit, quoted
from headway.api.context import Context, caller, context_of, data
from headway.api.processes import single
from headway.errors import Conflict, InvalidInput, StoreUnavailable
from headway.ids import check_id, new_id
from headway.keys import Role
from headway.masking import mask_command
from headway.model import Process
from headway.schemas.control import ResourcesIn, TrackIn
from headway.schemas.decoding import check_metadata, decode, parse_params, seconds
from headway.schemas.queries import NoParams
from headway.supervisor.launch import Launched
from headway.supervisor.launches import Launch

# Until what runs the command has reported it: an interpreter starts in some tenths of a second.
REPORTED_WITHIN: Final = 20.0
POLL: Final = 0.02
SHELL: Final = ("/bin/sh", "-c")
# Fields that `headway run` takes as a flag of the same name.
WORDS: Final = ("name", "description", "user", "project", "task", "attempt", "agent", "group")
THRESHOLDS: Final = ("stuck_after", "time_sink_ratio", "time_sink_after", "cpu_ratio", "memory_ratio", "waiting_after")


async def track_process(request: Request) -> Response:
    """Starts a command as a tracked process, as the user that the exporter runs as. It outlives the exporter. With `at_most` it may
    be queued first."""
    context, who = context_of(request), caller(request)
    parse_params(single(request), NoParams)
    with Audit(context, who, "track", "a command") as audit:
        who.require(Role.OPERATOR)
        form = decode(await request.body(), TrackIn)
        words = [*SHELL, form.command] if isinstance(form.command, str) else form.command
        audit.what = quoted(mask_command(form.command if isinstance(form.command, str) else shlex.join(words)))
        process_id = new_id() if form.id is UNSET else checked(form.id)
        if process_id in context.registry.entries or await context.read(context.store.get, process_id) is not None:
            raise Conflict(f"id {process_id} is in use; leave id away to get a new one", field="id")
        flags = flags_of(form, context.settings.max_metadata_bytes, who.user)
        process = await launch(context, process_id, Launch(words, flags, form.env, form.cwd))
        audit.result(f"process {process_id}", True)
    return data(context.summary(process, context.registry.clock(), who), 201)


async def launch(context: Context, process_id: str, how: Launch) -> Process:
    """Starts it, and waits until it was reported. Raises InvalidInput, StoreUnavailable, OSError."""
    launched = await asyncio.to_thread(context.launcher.start, process_id, how.all_flags(), how.words, how.environ, how.cwd)
    await asyncio.to_thread(context.launches.keep, process_id, how)
    try:
        await reported(context.registry.entries, process_id, launched)
    except InvalidInput:  # it never ran
        await asyncio.to_thread(context.launches.remove, [process_id])
        raise
    return context.registry.entry(process_id).process


async def reported(entries: Container[str], process_id: str, launched: Launched) -> None:
    """Raises InvalidInput with its words when it gave up, StoreUnavailable when nothing was heard of it."""
    deadline = time.monotonic() + REPORTED_WITHIN
    while True:
        silent = launched.silent()
        if process_id in entries:
            return
        if silent:
            raise InvalidInput(f"the command was not run: {launched.words() or 'its runner ended without a word'}")
        if time.monotonic() >= deadline:
            raise StoreUnavailable(
                f"the command was started, but was not reported within {REPORTED_WITHIN:.0f} s; look for {process_id} later"
            )
        await asyncio.sleep(POLL)


def checked(process_id: str) -> str:
    """Raises InvalidInput."""
    try:
        return check_id(process_id)
    except ValueError as error:
        raise InvalidInput(f"id: {error}", field="id") from None


def flags_of(form: TrackIn, metadata_limit: int, bound_to: str | None) -> list[str]:
    """The form as flags of `headway run`. Raises InvalidInput, TooLarge."""
    given = {word: getattr(form, word) for word in WORDS}
    if bound_to is not None:
        given["user"] = bound_to
    flags = [f"--type={form.type}", *(f"--{word}={value}" for word, value in given.items() if value is not None)]
    if form.parent_id is not None:
        flags.append(f"--parent={form.parent_id}")
    for field, flag in (("expected_duration", "expected"), ("timeout", "timeout"), ("grace", "grace")):
        if (value := getattr(form, field)) is not None:
            flags.append(f"--{flag}={seconds(value, field)}")
    for field in THRESHOLDS:
        value = UNSET if form.thresholds is UNSET else getattr(form.thresholds, field)
        if value is not UNSET and value is not None:
            number = seconds(value, f"thresholds.{field}") if field.endswith("_after") else value
            flags.append(f"--{field.replace('_', '-')}={number}")
    flags += resources_of(form.limits).flags() if form.limits is not None else ()
    if form.kill_on_timeout and form.timeout is None:
        raise InvalidInput("kill_on_timeout: needs a timeout", field="kill_on_timeout")
    if form.at_most is not None and not form.group:
        raise InvalidInput("at_most: needs a group; it is those of one group that wait for each other", field="at_most")
    check_metadata(form.metadata, metadata_limit)
    for key, value in form.metadata.items():
        if "=" in key:
            raise InvalidInput("metadata: a key with = in it cannot be given here; set it by PATCH", field="metadata")
        flags.append(f"--metadata={key}={json.dumps(value)}")
    flags += ["--executor"] if form.executor else []
    flags += ["--kill-on-timeout"] if form.kill_on_timeout else []
    flags += [f"--retry={form.retry}"] if form.retry else []
    flags += [f"--at-most={form.at_most}"] if form.at_most is not None else []
    return flags


def resources_of(form: ResourcesIn) -> resources.Resources:
    """Raises InvalidInput."""
    given = {}
    for field in resources.NAMES:
        if (value := getattr(form, field)) is not None:
            try:
                given[field] = getattr(resources, field)(value)
            except ValueError as error:
                raise InvalidInput(f"limits.{field}: {error}", field=f"limits.{field}") from None
    return resources.Resources(**given)
