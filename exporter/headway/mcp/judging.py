"""Tools that judge: what follows from what runs and what ran. None of them changes anything."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from headway.mcp.calls import Exporter, given
from headway.mcp.looking import Kind, Label
from headway.mcp.shapes import filled, rounded, shortened, told

Timeframe = Annotated[str | None, Field(description="how far back: 24h, 7d", max_length=32)]
Name = Annotated[str | None, Field(description="only processes of exactly this name", max_length=256)]
NARROWER: Final = "ask for one name, type or project, or a shorter timeframe"
# Of the findings, those that are about something; counts and times stand beside them.
LISTS: Final = (
    *("recommendations", "waiting", "time_sinks", "bottlenecks", "stuck", "duplicates", "forecasts", "windows", "patterns"),
)


class Judging:
    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter

    async def analyze(self, type: Kind | None = None, name: Name = None, project: Label = None, timeframe: Timeframe = None) -> str:
        """What is slow, why, and what usually happens: what waits for a person, time sinks, bottlenecks with whom they block, stuck
        ones, duplicates, forecasts, for each name its failure rate, durations with their trend and common errors, and costs. Use it
        for questions about performance, reliability or cost over time (7 days unless timeframe says otherwise). Only for what to do
        next, recommend is shorter; for what is wrong right now find_problems is quicker."""
        wanted = given(type=type, name=name, project=project, timeframe=timeframe)
        found = await self.exporter.ask(lambda client: client.analyze(**wanted))
        answer = small(found)
        if not any(answer.get(part) for part in LISTS):
            answer["note"] = "nothing runs or ended in this time that these filters match"
        return told(answer, dict.fromkeys(LISTS, NARROWER))

    async def recommend(
        self,
        type: Kind | None = None,
        name: Name = None,
        project: Label = None,
        timeframe: Timeframe = None,
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> str:
        """What should be done, most important first: each with priority, the reason in numbers, and the shell command that would
        carry it out. Use it when somebody asks what to do or what to improve. The commands are proposals: show them to the user
        before you carry one out, and prefer the tool that does the same."""
        wanted = given(type=type, name=name, project=project, timeframe=timeframe)
        found = await self.exporter.ask(lambda client: client.analyze(**wanted))
        every = found["recommendations"]
        answer: dict[str, Any] = {"recommendations": [small(one) for one in every[:limit]]}
        if len(every) > limit:
            answer["more"] = f"{len(every) - limit} of less importance: raise limit"
        if not every:
            answer["note"] = "there is nothing to recommend"
        return told(answer, {"recommendations": NARROWER})

    async def suggest_limits(self, name: Annotated[str, Field(min_length=1, max_length=256)], type: Kind | None = None) -> str:
        """Timeout, memory and CPU limits for the next run of a name, from what its good runs needed, with how many they were and
        how far that can be trusted. Use it before start_command for something that has run before."""
        found = await self.exporter.ask(lambda client: client.suggest(name, type))
        return told({"suggestions": [small(one) for one in found]})

    async def trends(
        self,
        timeframe: Annotated[str, Field(description="how far back: 1h, 24h, 30d", max_length=32)] = "24h",
        type: Kind | None = None,
        name: Name = None,
        project: Label = None,
    ) -> str:
        """How things went over time, step by step: ended and failed, failure rate, durations, CPU, memory, time sinks, cost; null
        where nothing is known. Use it when somebody asks whether something became better or worse, or since when. source says
        whether Prometheus or the exporter's own history knew it."""
        wanted = given(type=type, name=name, project=project)
        found = await self.exporter.ask(lambda client: client.trends(timeframe, **wanted))
        told_of = {kind: values for kind, values in found["series"].items() if any(value is not None for value in values)}
        facts = {fact: found.get(fact) for fact in ("source", "note", "since", "until", "step_seconds")}
        series = {kind: [rounded(value) for value in values] for kind, values in told_of.items()}
        return told(filled(facts) | {"series": series, "note_on_steps": "each value is of one step, the last ends at until"})

    async def report(self, timeframe: Timeframe = None) -> str:
        """One page of plain text: what runs, what failed and why, what to do, what is scheduled. Use it first when somebody asks
        how things are; it covers the last day unless timeframe says otherwise."""
        return await self.exporter.ask(lambda client: client.report(timeframe or "24h"))


def small(value: Any) -> Any:
    """Without what is empty, numbers with three digits, texts cut."""
    if isinstance(value, dict):
        return filled({key: small(part) for key, part in value.items()})
    if isinstance(value, list):
        return [small(part) for part in value]
    if isinstance(value, str):
        return shortened(value, 400)
    return rounded(value) if isinstance(value, float) else value
