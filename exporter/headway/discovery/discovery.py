"""What becomes of what was found: records of those that nobody tracks, and the word why of all others. Event-loop thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from headway.control.report import same
from headway.control.storing import stored
from headway.discovery.finder import Finder, Findings, Match
from headway.discovery.rule import Rule
from headway.model import DISCOVERED_BY, OSProcess, Process, Status
from headway.registry.outcome import Outcome
from headway.registry.watch import Watch
from headway.schemas.reports import CreateIn

# One so young (s) may still become another program, or be about to report itself; it is looked at again in the next pass.
SETTLED: Final = 2.0
NEW: Final = "it has only just begun: tracked from the next look on"
FIRST: Final = "found by the first look, in which reports may still be under way: tracked from the next one on"
_TEXT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A match and what it is to us: the record that it is (or is a part of), and if there is none why. `reason` is None for one
    with a record of its own."""

    match: Match
    process_id: str | None = None
    reason: str | None = None


Roots = dict[int, list[tuple[OSProcess, Process]]]


class Discovery:
    """`looks` counts them; the findings are those of the last one."""

    def __init__(self, rules: Sequence[Rule], watch: Watch, finder: Finder | None = None) -> None:
        self.rules = tuple(rules)
        self.watch = watch
        self.registry = watch.registry
        self.findings: Findings | None = None
        self.seen: tuple[Seen, ...] = ()
        self.looks = 0
        self._finder = finder or Finder(rules)
        self._made: dict[tuple[int, float], str] = {}

    async def discover(self) -> None:
        """One look, and records of whoever is new; returns when they are durable. Raises StoreUnavailable, OSError."""
        findings = await asyncio.to_thread(self._finder.look)
        self.looks += 1
        outcomes: list[Outcome] = []
        try:
            seen = self._apply(findings, outcomes)
        finally:
            await stored(outcomes)
        self.findings, self.seen = findings, seen

    def counts(self) -> dict[str, int]:
        """How many are tracked, by rule; nothing before the first look."""
        if self.findings is None:
            return {}
        found = {rule.name: 0 for rule in self.rules}
        for one in self.seen:
            if one.process_id is not None:
                found[one.match.rule.name] += 1
        return found

    def seconds(self) -> float | None:
        """What the last look took."""
        return None if self.findings is None else self.findings.seconds

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _apply(self, findings: Findings, outcomes: list[Outcome]) -> tuple[Seen, ...]:
        roots = self._roots()
        alive = {_key(match) for match in findings.matches}
        self._made = {key: process_id for key, process_id in self._made.items() if key in alive}
        seen: dict[int, Seen] = {}
        # Parents first, so that the record above is there when one below it is made.
        for number, match in sorted(enumerate(findings.matches), key=lambda item: item[1].started):
            one = self._known(match, roots) or self._unknown(match, findings)
            if one is None:
                outcome = self.registry.create(self._form(match, self._parent(match, roots)))
                outcomes.append(outcome)
                self._made[_key(match)] = outcome.process.id
                roots.setdefault(match.process.pid, []).append((match.process, outcome.process))
                one = Seen(match=match, process_id=outcome.process.id)
            elif one.process_id is not None and one.reason is None:
                outcomes += self._yield(match, roots)
            seen[number] = one
        return tuple(seen[number] for number in sorted(seen))

    def _roots(self) -> Roots:
        """What is tracked, by pid. Of a queued one nothing runs yet: its pid is that of the program that queued it."""
        found: Roots = {}
        for entry in self.registry.entries.values():
            process = entry.process
            if process.status.active and process.status is not Status.QUEUED and (root := self.watch.visible(process)) is not None:
                found.setdefault(root.pid, []).append((root, process))
        return found

    def _known(self, match: Match, roots: Roots) -> Seen | None:
        """The record that it is, or that it is a part of."""
        own = list(_at(match.process, roots))
        if own:
            best = next((process for process in own if _finder_of(process) == match.rule.name), own[0])
            if _finder_of(best) == match.rule.name:
                self._made[_key(match)] = best.id
            return Seen(match=match, process_id=best.id)
        if match.barred is not None:
            return Seen(match=match, reason=match.barred)
        for one in match.above:
            for process in _at(one, roots):
                if not (match.rule.children and _finder_of(process) == match.rule.name):
                    return Seen(match=match, process_id=process.id, reason=f"part of the tree of {process.name}")
        entry = None if match.reported_as is None else self.registry.entries.get(match.reported_as)
        if entry is not None and entry.process.status.active and self.watch.visible(entry.process) is not None:
            return Seen(match=match, process_id=entry.process.id, reason=f"started by {entry.process.name}")
        return Seen(match=match, reason=match.covered) if match.covered is not None else None

    def _unknown(self, match: Match, findings: Findings) -> Seen | None:
        """Why it is not tracked now."""
        made = self.registry.entries.get(self._made.get(_key(match), ""))
        if made is not None:
            return Seen(match=match, reason=f"it was tracked as {made.process.id}, which is {made.process.status} although it runs")
        if self.looks == 1:
            return Seen(match=match, reason=FIRST)
        age = findings.at - (match.process.create_time or 0.0)
        if age < min(SETTLED, self.registry.settings.discovery_interval):
            return Seen(match=match, reason=NEW)
        return None

    def _parent(self, match: Match, roots: Roots) -> str | None:
        """Of a rule that tracks children too: the record above that the same rule made."""
        above = (process for one in match.above for process in _at(one, roots))
        return next((process.id for process in above if match.rule.children and _finder_of(process) == match.rule.name), None)

    def _form(self, match: Match, parent_id: str | None) -> CreateIn:
        rule, process = match.rule, match.process
        return CreateIn(
            name=match.name,
            type=rule.kind,
            parent_id=parent_id,
            pid=process.pid,
            create_time=process.create_time,
            pid_namespace=process.pid_namespace,
            command=match.command,
            description=rule.description,
            user=match.user,
            project=rule.project,
            task=rule.task,
            attempt=rule.attempt,
            agent=rule.agent,
            group=rule.group,
            cwd=None if match.cwd is None else match.cwd[:_TEXT],
            executor=rule.executor,
            metadata={DISCOVERED_BY: rule.name},
            started_age=max(0.0, self.registry.clock() - (process.create_time or 0.0)),
        )

    def _yield(self, match: Match, roots: Roots) -> Iterable[Outcome]:
        """Ends our record of one that began to report itself as the same sort of thing: two of one daemon would be one too many."""
        records = list(_at(match.process, roots))
        reported = [process for process in records if _finder_of(process) is None and process.kind is match.rule.kind]
        for process in records if reported else ():
            if _finder_of(process) is not None:
                summary = f"it reports itself now, as {reported[0].id}"
                yield self.registry.end(process.id, Status.DONE, at=self.registry.clock(), cause=summary, summary=summary)


def _key(match: Match) -> tuple[int, float]:
    return match.process.pid, match.started


def _at(process: OSProcess, roots: Roots) -> Iterable[Process]:
    return (record for root, record in roots.get(process.pid, ()) if same(root, process))


def _finder_of(process: Process) -> str | None:
    """The rule that found it; None for one that was reported."""
    found = process.metadata.get(DISCOVERED_BY)
    return found if isinstance(found, str) else None
