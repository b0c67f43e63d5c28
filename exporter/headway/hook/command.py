"""`headway hook AGENT`: one event from stdin, made into a file of the spool, which the exporter on this machine fetches.

An agent waits for its hooks, so there is no network here and no sync to the disk, and whatever goes wrong is nobody's trouble.
"""

from __future__ import annotations

import json
import os
import sys
import time

from headway.ids import new_id
from headway.places import OFF, find_url, spool_folder

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

AGENTS: Final = ("claude-code", "codex", "gemini", "openclaw")
# An event holds what a tool was given, such as a whole file.
LARGEST: Final = 8 * 1024 * 1024
# Of waiting files, when no exporter comes for them: from here on only beginnings and ends are kept, then nothing.
CROWDED: Final = 3000
FULL: Final = 4500


def main(arguments: Sequence[str]) -> int:
    """Always 0: an agent must not fail because of a hook."""
    agent = next((word for word in arguments if word in AGENTS), "")
    try:
        if not agent:
            print(f"headway hook: say which agent calls: {', '.join(AGENTS)}; nothing is recorded", file=sys.stderr)
        raw = b"" if not agent and sys.stdin.isatty() else sys.stdin.buffer.read(LARGEST + 1)
        if agent and len(raw) <= LARGEST:
            take(agent, raw)
    except Exception as error:
        if os.environ.get("HEADWAY_DEBUG"):
            print(f"headway hook: {type(error).__name__}: {error}", file=sys.stderr)
    if agent == "gemini":  # it reads stdout as JSON
        print("{}")
    return 0


def take(agent: str, raw: bytes) -> None:
    url, folder = find_url(), spool_folder()
    event = json.loads(raw)
    if url == OFF or folder is None or not isinstance(event, dict):
        return
    write(folder, url, meaning(agent, event))


def meaning(agent: str, event: dict[str, Any]) -> list[dict[str, Any]]:
    if agent == "openclaw":
        from headway.hook import openclaw

        return openclaw.items(event)
    from headway.hook import events

    return events.items(agent, event)


def write(folder: str, url: str, items: Sequence[dict[str, Any]]) -> None:
    """As headway.reporter.spool writes, without waiting for the disk. Raises OSError."""
    if not items:
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103  pathlib is slow to import
    waiting = len(os.listdir(folder))  # noqa: PTH208
    if waiting >= FULL or (waiting >= CROWDED and not any("status" in one for one in items)):
        return
    now = time.time()
    lines = [json.dumps({**one, "url": url, "at": now}, separators=(",", ":")) for one in items]
    path = f"{folder}/{new_id()}-{os.getpid()}"
    descriptor = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, "".join(f"{line}\n" for line in lines).encode("ascii"))
    finally:
        os.close(descriptor)
    os.rename(f"{path}.tmp", f"{path}.ready")  # noqa: PTH104
