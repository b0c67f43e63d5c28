"""Tools that start and end things. The exporter wants a key of the role operator for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from headway.mcp.calls import Exporter, given
from headway.mcp.looking import Id, Kind, Label
from headway.mcp.shapes import filled, row, told

ScopeType = Literal["process", "task", "project", "group", "attempt", "all_except_executors", "all"]
Grace = Annotated[float, Field(ge=0, le=60, description="seconds between the polite signal and SIGKILL")]
# What each scope calls that which it names.
_NAMED: Final = {"process": "process_id", "task": "task_id", "project": "project_id", "group": "group_id", "attempt": "attempt_id"}


class Acting:
    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter

    async def start_command(
        self,
        command: Annotated[str, Field(description="for the shell (/bin/sh -c)", min_length=1, max_length=16384)],
        name: Annotated[str | None, Field(description="what it is called; left out, it is derived", max_length=256)] = None,
        type: Kind = "task",
        cwd: Annotated[str | None, Field(description="folder, absolute", max_length=4000)] = None,
        time_limit: Annotated[str | None, Field(description="ended after so long: 90s, 1h", max_length=32)] = None,
        memory_limit: Annotated[str | None, Field(description="ended when its tree uses more: 2 GiB", max_length=32)] = None,
        parent_id: Annotated[str | None, Field(description="id of the work that this is a part of", max_length=64)] = None,
        project: Label = None,
        task: Label = None,
        agent: Label = None,
    ) -> str:
        """Starts a shell command on the exporter's machine as a tracked process and returns while it runs. Use it for what takes
        longer than you want to wait for: builds, test runs, backfills. It goes on when you are gone. Look at it with show_process,
        which has progress and output; end it with kill_process. It runs as the user that the exporter runs as."""
        parent_id = await self.exporter.whole(parent_id)
        fields = given(name=name, cwd=cwd, timeout=time_limit, parent_id=parent_id, project=project, task=task, agent=agent)
        fields |= {"type": type}
        if time_limit is not None:
            fields["kill_on_timeout"] = True
        if memory_limit is not None:
            fields["limits"] = {"memory": memory_limit}
        found = await self.exporter.ask(lambda client: client.track(command, **fields))
        return told({"process": row(found), "next": f"show_process with id {found['id']} says how it goes and how it ended"})

    async def cancel_process(self, id: Id) -> str:
        """Asks a process to end itself: whoever reports it hears of it with its next report and decides when. Use it for work that
        other agents or scripts report and that should stop in good order; what does not react can be ended with kill_process."""
        found = await self.exporter.ask_of(id, lambda client, id: client.cancel(id))
        return told({"process": row(found), "note": "asked; show_process says whether it has ended"})

    async def kill_process(self, id: Id, grace: Grace = 5.0) -> str:
        """Ends one process with everything below it: SIGTERM, after the grace SIGKILL. Use it only for a process that the user
        wants ended or that you started yourself; look at it with show_process first. The answer comes when its end was seen, and
        says what was ended and what survives."""
        found = await self.exporter.ask_of(id, lambda client, id: client.kill(id, grace=grace))
        return told({"process": row(found["process"]), **outcome(found)})

    async def kill_scope(
        self,
        scope: Annotated[
            ScopeType,
            Field(description="what the value names; all_except_executors and all need none and mean everything tracked"),
        ],
        value: Annotated[str | None, Field(description="which process, task, project, group or attempt", max_length=256)] = None,
        confirm: Annotated[bool, Field(description="false: only say what would be ended; true: end it")] = False,
        grace: Grace = 5.0,
    ) -> str:
        """Ends all processes of a task, project, group, attempt or process, children before parents. Without confirm=true nothing
        is touched, and the answer lists what would be ended: call it so first, show that to the user, and only then with
        confirm=true. The answer then repeats what was ended."""
        named = _NAMED.get(scope)
        if named is None and value is not None:
            raise ToolError(f"The scope {scope} takes no value: it means everything that is tracked. Did you mean scope=task?")
        if named is not None and not value:
            raise ToolError(f"The scope {scope} needs a value: which {scope}. list_processes shows them.")
        if scope == "process":
            value = await self.exporter.whole(value)
        wanted = {"type": scope} | ({} if named is None else {named: value})
        found = await self.exporter.ask(lambda client: client.kill_scope(wanted, dry_run=not confirm, grace=grace))
        answer = outcome(found, dry_run=not confirm)
        if not confirm:
            answer["note"] = "nothing was ended; when the user agrees, call again with confirm=true"
        elif not answer.get("ended"):
            answer["note"] = "nothing that runs is in this scope"
        return told(answer, dict.fromkeys(("would_end", "ended"), "narrow the scope to see them all"))

    async def clean_up(
        self,
        older_than: Annotated[str, Field(description="how long ago what is done must have ended: 5m, 1h", max_length=32)] = "5m",
        dry_run: bool = False,
    ) -> str:
        """Takes out of the active view what was orphaned, what is a zombie, and what ended well a while ago. Ends nothing and
        deletes no history. Use it when lists are full of what is over; with dry_run it only says what would go."""
        found = await self.exporter.ask(lambda client: client.cleanup(older_than, dry_run=dry_run))
        groups = {
            name: [f"{one['name']} ({one['status']}, {one['id']})" for one in found[name]]
            for name in ("orphans", "zombies", "ended")
        }
        answer = {"dry_run": dry_run, "count": found["cleaned_count"], **filled(groups)}
        return told(answer, dict.fromkeys(groups, "they are all in the history: list_processes with state=ended"))


def outcome(report: Mapping[str, Any], dry_run: bool = False) -> dict[str, Any]:
    """What was ended and what was not, with reasons."""
    facts = ("id", "name", "pid", "os_processes")
    hits = [filled({fact: hit[fact] for fact in facts}) for hit in report["killed"]]
    found: dict[str, Any] = {"would_end" if dry_run else "ended": hits}
    for name in ("failed", "skipped", "survivors"):
        found[name] = [filled(miss) for miss in report[name]]
    return filled(found) | {"count": report["killed_count"]}
