"""Tools with which an agent makes its own work visible."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from headway.ids import new_id
from headway.mcp.calls import Exporter, given
from headway.mcp.looking import Id, Kind, Label
from headway.mcp.shapes import row, told

Count = Annotated[float | None, Field(ge=0)]
WAITING_LENGTH: Final = 160
Line = Annotated[str | None, Field(description="one line for its log: what was done", max_length=4000)]


class Reporting:
    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter

    async def report_start(
        self,
        name: Annotated[str, Field(description="what the work is, in a few words", min_length=1, max_length=256)],
        type: Kind = "subagent",
        total: Annotated[float | None, Field(ge=0, description="how many items there are, if known")] = None,
        unit: Annotated[str | None, Field(description="what the items are: files, tests", max_length=32)] = None,
        parent_id: Annotated[str | None, Field(description="id of the work that this is a part of", max_length=64)] = None,
        project: Label = None,
        task: Label = None,
        agent: Label = None,
        model: Annotated[str | None, Field(description="the language model that does it", max_length=256)] = None,
        description: Annotated[str | None, Field(max_length=4000)] = None,
        silence_allowed: Annotated[
            str,
            Field(description="lost when it has not reported for so long, stuck after half of it: 10m, 1h", max_length=32),
        ] = "30m",
    ) -> str:
        """Makes your own work a tracked process that people can watch, and gives its id. Use it once when you begin something that
        takes longer than a minute; then report_progress as you go, and report_end when it is over. Commands that you start with
        start_command report themselves."""
        from headway.durations import parse_duration

        try:
            lease = parse_duration(silence_allowed)
        except ValueError as error:
            from mcp.server.mcpserver.exceptions import ToolError

            raise ToolError(f"silence_allowed: {error}") from None
        parent_id = await self.exporter.whole(parent_id)
        fields = given(parent_id=parent_id, project=project, task=task, agent=agent, description=description)
        if total is not None or unit is not None:
            fields["progress"] = given(total=total, unit=unit)
        if model is not None:
            fields["metadata"] = {"model": model}
        fields |= {"lease": lease, "thresholds": {"stuck_after": lease / 2}}
        process_id = new_id()
        found = await self.exporter.ask(lambda client: client.create(name, type, id=process_id, **fields))
        return told({"process": row(found), "next": f"report_progress with id {process_id}, and report_end when it is over"})

    async def report_progress(
        self,
        id: Id,
        current: Annotated[float | None, Field(ge=0, description="items done so far")] = None,
        total: Count = None,
        stage: Annotated[str | None, Field(description="a word: which step", max_length=256)] = None,
        line: Line = None,
        tokens_in: Annotated[int | None, Field(ge=0, description="tokens read so far, in all")] = None,
        tokens_out: Annotated[int | None, Field(ge=0, description="tokens written so far, in all")] = None,
        cost_dollars: Annotated[float | None, Field(ge=0, description="what it has cost so far")] = None,
        waiting_for: Annotated[
            str | None,
            Field(
                description="what a person is to do before you can go on: approval of the plan; empty: you go on", max_length=1000
            ),
        ] = None,
    ) -> str:
        """Says how far the work is that you began with report_start. Use it after each step, and at least as often as
        silence_allowed says. Give what changed; the rest stays. Before you wait for a person say what for, so that they are told,
        and with the next report that you go on. The answer says when somebody wants the work to be ended: then
        stop, and call report_end with outcome cancelled."""
        fields: dict[str, Any] = given(stage=stage, log=line)
        if current is not None or total is not None:
            fields["progress"] = given(current=current, total=total)
        if waiting_for is not None:
            words = " ".join(waiting_for.split())
            fields["waiting_for"] = (words if len(words) <= WAITING_LENGTH else f"{words[: WAITING_LENGTH - 1]}…") or None
        metadata: dict[str, Any] = given(cost_dollars=cost_dollars)
        if tokens := {way: count for way, count in (("input", tokens_in), ("output", tokens_out)) if count is not None}:
            metadata["tokens"] = tokens
        if metadata:
            fields["metadata"] = metadata
        fields = fields or {"alive": True}
        found = await self.exporter.ask_of(id, lambda client, id: client.update(id, **fields))
        answer: dict[str, Any] = {"process": row(found)}
        if found.get("cancel_requested"):
            answer["stop"] = "somebody asked to end this work: stop, then call report_end with outcome cancelled"
        if "ignored" in found:
            answer["ignored"] = found["ignored"]
        return told(answer)

    async def report_end(
        self,
        id: Id,
        outcome: Literal["done", "failed", "cancelled"],
        summary: Annotated[str | None, Field(description="the result in a sentence", max_length=4000)] = None,
        error: Annotated[str | None, Field(description="for failed: why", max_length=4000)] = None,
        line: Line = None,
    ) -> str:
        """Says how the work ended that you began with report_start. Always call it, also when the work failed; for failed give
        error. After it the status stays."""
        fields = given(summary=summary, error=error, log=line) | {"status": outcome}
        found = await self.exporter.ask_of(id, lambda client, id: client.update(id, **fields))
        return told({"process": row(found)})
