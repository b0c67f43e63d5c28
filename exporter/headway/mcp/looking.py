"""Tools that look at processes. None of them changes anything."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from headway.mcp.calls import Exporter, given
from headway.mcp.shapes import page, row, told

Id = Annotated[str, Field(description="id of a process, as list_processes gives it, or its beginning", min_length=1, max_length=64)]
Label = Annotated[str | None, Field(max_length=256)]
Kind = Literal["subagent", "pipeline", "cron", "daemon", "task"]
Problem = Literal[
    "waiting", "stuck", "time_sink", "bottleneck", "overdue", "zombie", "duplicate", "orphaned", "failed", "timed_out"
]
COUNTED: Final = 50  # of those that ended badly; more are "50 or more"
PAGING: Final = "call again with a smaller limit, then with cursor for the next page"


class Looking:
    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter

    async def list_processes(
        self,
        state: Annotated[
            str,
            Field(
                description="what they are: running, queued, paused, done, failed, cancelled, killed, timed_out, orphaned, stuck, "
                "time_sink, bottleneck, overdue, zombie, duplicate, waiting, or active, ended, all, undismissed (ended badly, and "
                "nobody has dismissed it); several with commas",
                max_length=200,
            ),
        ] = "active",
        type: Kind | None = None,
        project: Label = None,
        task: Label = None,
        agent: Label = None,
        group: Label = None,
        name: Annotated[str | None, Field(description="the exact name", max_length=256)] = None,
        parent: Annotated[str | None, Field(description="id: only the direct children of this process", max_length=64)] = None,
        since: Annotated[str | None, Field(description="changed since this RFC 3339 time", max_length=64)] = None,
        limit: Annotated[int, Field(ge=1, le=50)] = 20,
        cursor: Annotated[str | None, Field(description="next of the page before", max_length=256)] = None,
    ) -> str:
        """What runs in the background of the machine, newest first: progress, time left, flags. Use it to see what is going on, to
        find the id of a process, or what a task or project has left behind. For the reason of a failure and for output use
        show_process; for what needs attention find_problems."""
        parent = await self.exporter.whole(parent)
        filters = given(type=type, project=project, task=task, agent=agent, group=group, name=name, parent=parent, since=since)
        wanted = {**filters, **given(cursor=cursor), "state": state, "limit": limit}
        found = await self.exporter.ask(lambda client: client.page(**wanted))
        answer: dict[str, Any] = {"processes": [row(one) for one in found["data"]]}
        if found.get("next"):
            answer |= {"next": found["next"], "more": "there are more: call again with cursor set to next"}
        if not answer["processes"]:
            answer["note"] = "none matches; state=all includes those that ended"
        return told(answer, {"processes": PAGING})

    async def show_process(
        self, id: Id, log_lines: Annotated[int, Field(ge=0, le=200, description="last lines of its output")] = 30
    ) -> str:
        """One process in full: status and how it came to it, progress, time left, flags with their evidence, resources, children,
        and the last lines of its output. Use it to find out why something failed, whether it still does anything, or what it
        said."""
        found = await self.exporter.ask_of(id, lambda client, id: client.get(id))
        return told(*page(found, log_lines))

    async def find_problems(
        self,
        problems: Annotated[
            list[Problem] | None,
            Field(description="which; left out: waiting, stuck, time_sink, bottleneck, overdue, zombie, duplicate and orphaned"),
        ] = None,
        project: Label = None,
        limit: Annotated[int, Field(ge=1, le=50)] = 20,
    ) -> str:
        """Processes that hang, misbehave or need somebody, with the evidence: waiting (for a person, and for what), stuck (neither
        output nor progress), time_sink (far longer than usual), bottleneck (takes CPU or memory while others wait), overdue (past
        its timeout), zombie, duplicate, orphaned (gone without a word). Use it to detect stuck jobs, and before you decide to end
        something. What has failed and services in error are not listed here, but counted in also. All is well where the list is
        empty and there is no also."""
        wanted = problems or ["waiting", "stuck", "time_sink", "bottleneck", "overdue", "zombie", "duplicate", "orphaned"]
        filters = given(project=project) | {"state": ",".join(wanted), "limit": limit}
        found = await self.exporter.ask(lambda client: client.page(**filters))
        answer: dict[str, Any] = {"problems": [row(one) for one in found["data"]]}
        if found.get("next"):
            answer["more"] = "there are more: raise limit (50 at most), or ask for fewer problems or one project"
        if not answer["problems"]:
            answer["note"] = f"no process is {' or '.join(wanted)}"
        if problems is None and (also := await self._beside(project)):
            answer["also"] = also
        return told(answer, {"problems": "ask for fewer problems or one project"})

    async def _beside(self, project: str | None) -> list[str]:
        """What needs somebody and is no problem of what runs: a sentence each, with the tool that shows it."""
        filters = given(project=project) | {"state": "undismissed", "limit": COUNTED}
        ended = await self.exporter.ask(lambda client: client.page(**filters))
        failed = sum(one["status"] != "orphaned" for one in ended["data"])
        services = [] if project is not None else await self.exporter.ask(lambda client: client.services(None, None))
        down = ", ".join(one["name"] for one in services if one["status"] == "error")
        number = f"{failed} or more" if ended.get("next") else str(failed)
        said = [f"ended badly and not dismissed: {number}; list_processes with state=undismissed lists them"] if failed else []
        return [*said, f"services in error: {down}; list_services says why"] if down else said
