"""Runs the command of an integration and reads what it prints: within its time, within a size, and with nothing left running."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from typing import Any, Final

from headway.durations import format_duration
from headway.polling.definition import Integration

LARGEST: Final = 4 * 1024 * 1024
WORDS: Final = 200


class Failed(Exception):
    """There is no answer; why, in words."""


async def ask(integration: Integration, environ: Mapping[str, str] = os.environ) -> Any:
    """The JSON that its command prints. Raises Failed."""
    # Neither our settings nor our keys are the command's business.
    inherited = {name: value for name, value in environ.items() if not name.startswith("HEADWAY_")}
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *integration.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            cwd=integration.cwd,
            env={**inherited, **integration.env},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise Failed(f"cannot be started: {getattr(error, 'strerror', None) or error}") from None
    try:
        async with asyncio.timeout(integration.timeout):
            assert process.stdout is not None and process.stderr is not None
            printed, complaints = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            code = await process.wait()
    except TimeoutError:
        raise Failed(f"gave no answer within {format_duration(integration.timeout)}") from None
    finally:
        # All that it started goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        said = complaints.decode("utf-8", "replace").strip().splitlines()
        raise Failed(f"ended with code {code}" + (f": {said[-1][:WORDS]}" if said else ""))
    if len(printed) > LARGEST:
        raise Failed(f"printed more than {LARGEST >> 20} MiB")
    try:
        return json.loads(printed, parse_constant=_refuse)
    except ValueError:
        raise Failed("did not print JSON") from None


def _refuse(word: str) -> None:
    """NaN and its like are not JSON."""
    raise ValueError(word)


async def _read(stream: asyncio.StreamReader) -> bytes:
    """All of it, of which no more than one byte too many is kept."""
    found = bytearray()
    while part := await stream.read(65536):
        found += part[: max(0, LARGEST + 1 - len(found))]
    return bytes(found)
