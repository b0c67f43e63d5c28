"""Tools for configured services. Looking needs no role beyond viewer; having one running needs operator."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from headway.mcp.calls import Exporter
from headway.mcp.shapes import brief_line, filled, shortened, told
from headway.reporter.client import Client
from headway.reporter.steady import Steady

LOOK: Final = 0.25  # s
Names = Annotated[list[str], Field(min_length=1, max_length=50)]


class Services:
    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter

    async def list_services(
        self,
        name: Annotated[str | None, Field(max_length=64)] = None,
        group: Annotated[str | None, Field(max_length=256)] = None,
    ) -> str:
        """The programs that this machine is configured to keep running or to run at set times: status with the reason, process,
        port, next run. Use it to see whether a database or server that you need is up, and why it is not."""
        found = await self.exporter.ask(lambda client: client.services(name, group))
        answer: dict[str, Any] = {"services": [standing(one) for one in found]}
        if not found:
            answer["note"] = "no service is configured there, or none that this key may see"
        return told(answer, {"services": "ask for one name or group"})

    async def ensure_services(
        self, names: Names, wait: Annotated[float, Field(ge=0, le=600, description="seconds to wait until they answer")] = 60.0
    ) -> str:
        """Has these configured services running, with what they depend on: starts what does not run and waits until it answers.
        Use it before work that needs them; it does no harm when they run already. ready says whether all do; otherwise read the
        reason, and service_logs."""
        found = await self.exporter.ask(lambda client: ensured(client, names, wait))
        late = [one["name"] for one, lasts in found if not lasts]
        answer: dict[str, Any] = {"ready": not late, "services": [standing(one) for one, _ in found]}
        if late:
            who = ", ".join(late)
            answer["next"] = f"not running, or not for long yet: {who}. service_logs has what they said, list_services how they do"
        return told(answer)

    async def service_logs(
        self, name: Annotated[str, Field(max_length=64)], lines: Annotated[int, Field(ge=1, le=500)] = 50
    ) -> str:
        """The last lines that a configured service wrote, over all its starts. Use it to find out why it does not start or
        answer."""
        found = await self.exporter.ask(lambda client: client.logs(name, lines))
        answer: dict[str, Any] = {"service": name, "log": [brief_line(line) for line in found]}
        if not found:
            answer["note"] = "it has written nothing yet"
        return told(answer, {"log": "ask for fewer lines to see them whole"})


def ensured(client: Client, names: Sequence[str], wait: float) -> list[tuple[dict[str, Any], bool]]:
    """These and what they depend on, and of each whether it runs and goes on, once nothing more will come of it or `wait` seconds
    are over."""
    every = {one["name"]: one for one in client.services()}
    if unknown := [name for name in names if name not in every]:
        there = f"there are {', '.join(every)}" if every else "none is configured"
        raise ToolError(f"There is no service {', '.join(unknown)[:200]}: {there[:1000]}.")
    wanted, steady, deadline = needed(names, every), Steady(wait, every.values()), time.monotonic() + wait
    # The time of one with a schedule is when that says so, not when somebody else's work begins.
    missing = [name for name in wanted if every[name]["schedule"] is None and not runs(every[name])]
    if missing:
        for one in client.start_all(names=missing, wait=wait):
            every[one["name"]] = one
    # One that fails again and again runs for a moment each time.
    while any(pending(every[name], steady) for name in wanted) and time.monotonic() < deadline:
        time.sleep(LOOK)
        every |= {one["name"]: one for one in client.services()}
    return [(every[name], lasts(every[name], steady)) for name in wanted]


def needed(names: Iterable[str], every: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """These and all that they depend on, each after what it needs."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in found and name in every:
            for other in every[name]["depends_on"]:
                add(other)
            found[name] = None

    for name in names:
        add(name)
    return list(found)


def lasts(one: Mapping[str, Any], steady: Steady) -> bool:
    return runs(one) and (one["status"] != "running" or steady(one))


def pending(one: Mapping[str, Any], steady: Steady) -> bool:
    """Whether more may come of it."""
    return not lasts(one, steady) and (one["status"] == "running" or not one["settled"])


def runs(one: Mapping[str, Any]) -> bool:
    return one["status"] == "running" or (one["schedule"] is not None and one["status"] != "error")


def standing(one: Mapping[str, Any]) -> dict[str, Any]:
    facts = ("name", "status", "group", "process_id", "pid", "port", "port_open", "restarts", "depends_on", "gave_up", "outdated")
    found = filled({fact: one.get(fact) for fact in facts}) | filled({"reason": shortened(one.get("reason"))})
    if one.get("schedule"):
        found["next_run"] = one["schedule"].get("next_run")
    return found
