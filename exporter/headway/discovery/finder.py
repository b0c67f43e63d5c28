"""One look at all OS processes through the eyes of the rules. Blocking; tells what it found and why, and changes nothing."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headway.discovery.judging import Candidate, Judge, Verdict, lives_here
from headway.discovery.pidfile import PidFile, read_pid_files
from headway.discovery.rule import Rule
from headway.ending.family import Key, Look, key_of
from headway.masking import MASK, mask_command
from headway.model import OSProcess
from headway.sampler.base import host_here, own_pid_namespace
from headway.sampler.details import Details, details_here
from headway.sampler.host import Host, Row

OWN: Final = "it is the exporter"
ABOVE: Final = "the exporter runs below it"
BELOW: Final = "the exporter started it"
BELOW_RUN: Final = "headway run started it, and reports it"
OURS: Final = "it is a command of Headway's own"
ELSEWHERE: Final = "it lives in another pid namespace (a container): run an exporter there"
UNSEEN: Final = "someone listens on port {} whose OS process this exporter may not see: another user's"
LONGEST_COMMAND: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An OS process that a rule means. `above`: those whose tree it belongs to, the nearest first. `reported_as`: the id of the
    record within which it was started. `covered`: who is to report it, if nobody has yet; `barred`: why it is never tracked."""

    rule: Rule
    process: OSProcess
    started: float
    name: str
    command: str
    cwd: str | None
    owner: str | None
    why: tuple[str, ...]
    above: tuple[OSProcess, ...] = ()
    reported_as: str | None = None
    covered: str | None = None
    barred: str | None = None

    @property
    def user(self) -> str | None:
        return self.rule.user or self.owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A pid file that names nobody whom the rule means."""

    rule: Rule
    path: str
    pid: int | None
    reason: str


@dataclass(slots=True, kw_only=True)
class Findings:
    """`unmatched`: by the name of a rule why nobody matches. `at` is unix s, `seconds` what the look took."""

    at: float
    seconds: float = 0.0
    os_processes: int = 0
    matches: list[Match] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    unmatched: dict[str, str] = field(default_factory=dict)


class Finder:
    """One look at a time, in whatever thread. `own_pid`: the exporter."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        hosts: Callable[[], Host] = host_here,
        details: Details | None = None,
        clock: Callable[[], float] = time.time,
        own_pid: int | None = None,
        here: Callable[[int], bool] = lives_here,
    ) -> None:
        self.rules = tuple(rules)
        self._hosts = hosts
        self._details = details or details_here()
        self._clock = clock
        self._own_pid = os.getpid() if own_pid is None else own_pid
        self._here = here
        self._namespace = own_pid_namespace()
        self._judge = Judge(self.rules, self._details)

    def look(self) -> Findings:
        """Raises OSError when there is no process table to read."""
        begun = time.perf_counter()
        # A host of its own each time: one that is kept may repeat what it read of those that nobody samples.
        look = Look(self._hosts().rows())
        found = Findings(at=self._clock(), os_processes=len(look.rows))
        self._judge.begin(look.rows, found.at)
        ports = {port for rule in self.rules for port in rule.ports}
        listening = self._details.listeners(ports) if ports else {}
        for rule in self.rules:
            self._apply(rule, look, listening, found)
        found.seconds = time.perf_counter() - begun
        return found

    def _apply(self, rule: Rule, look: Look, listening: Mapping[int, set[int]], found: Findings) -> None:
        notes: list[str] = []
        files, stale = self._named_by_files(rule, look)
        held: list[tuple[Row, Candidate, Verdict]] = []
        for row in self._who(rule, look, listening, files, notes, stale):
            candidate = self._judge.candidate(row)
            verdict = self._judge.verdict(rule, row)
            file = files.get(row.pid)
            if verdict.evidence is None:
                reason = f"pid {row.pid}: {verdict.reason}" if verdict.reason else ""
                if file is not None:
                    stale.append(Stale(rule=rule, path=file.path, pid=row.pid, reason=reason or "it has ended meanwhile"))
                elif reason:
                    notes.append(reason)
                continue
            held.append((row, candidate, verdict))
        keys = {key_of(row) for row, _, _ in held}
        for row, candidate, verdict in held:
            above = list(above_of(row, look))
            if rule.children or not any(key_of(one) in keys for one in above):
                on = sorted(port for port in rule.ports if row.pid in listening.get(port, ()))
                found.matches.append(self._match(rule, row, look, above, candidate, verdict, files.get(row.pid), on))
        found.stale += stale
        if not held:
            found.unmatched[rule.name] = self._nobody(rule, [*(one.reason for one in stale), *notes])

    def _who(
        self,
        rule: Rule,
        look: Look,
        listening: Mapping[int, set[int]],
        files: Mapping[int, PidFile],
        notes: list[str],
        stale: list[Stale],
    ) -> Iterator[Row]:
        """Those that pid file and port leave; without either those whose command line, folder and environment fit already."""
        if rule.looks_at_everyone:
            yield from (look.rows[key[0]] for key in self._judge.fitting(rule))
            return
        pids = set(files)
        if rule.ports:
            asked = ", ".join(map(str, rule.ports))
            there = {pid for port in rule.ports for pid in listening.get(port, ())}
            notes += (UNSEEN.format(port) for port in rule.ports if port in listening and not listening[port])
            if not any(port in listening for port in rule.ports):
                notes.append(f"nobody listens on port {asked}")
            for pid in pids - there:
                stale.append(Stale(rule=rule, path=files[pid].path, pid=pid, reason=f"pid {pid} does not listen on port {asked}"))
            pids = there if rule.pid_file is None else pids & there
        yield from (look.rows[pid] for pid in sorted(pids) if pid in look.rows)

    def _named_by_files(self, rule: Rule, look: Look) -> tuple[dict[int, PidFile], list[Stale]]:
        if rule.pid_file is None:
            return {}, []
        files: dict[int, PidFile] = {}
        stale: list[Stale] = []
        for file in read_pid_files(rule.pid_file):
            reason = file.problem or file.stale(look.rows)
            if reason is not None:
                stale.append(Stale(rule=rule, path=file.path, pid=file.pid, reason=reason))
            elif file.pid is not None:
                files[file.pid] = file
        return files, stale

    def _nobody(self, rule: Rule, notes: Sequence[str]) -> str:
        said = list(dict.fromkeys(notes))[:3]
        if rule.pid_file is not None and not said:
            said.append(f"there is no file {rule.pid_file}")
        if not said:
            said.append("no OS process matches")
        if unreadable := self._judge.unreadable(rule):
            said.append(f"{unreadable} of other users could not be looked at")
        return "; ".join(said)

    def _match(
        self,
        rule: Rule,
        row: Row,
        look: Look,
        above: Sequence[Row],
        candidate: Candidate,
        verdict: Verdict,
        file: PidFile | None,
        ports: Sequence[int],
    ) -> Match:
        words = candidate.argv or []
        command = words[0] if len(words) == 1 else shlex.join(words)
        why = [f"its pid is in {file.path}"] if file is not None else []
        why += [f"it listens on port {port}" for port in ports]
        masked = mask_command(command)[:LONGEST_COMMAND]

        def value(word: str) -> str:
            if word.isdecimal():
                # A group may hold a secret, which nobody would know for one without the words around it.
                group = verdict.groups[int(word) - 1] if int(word) <= len(verdict.groups) else ""
                return group if group in masked else MASK
            return {
                "port": str(ports[0]) if ports else "",
                "pid_file": os.path.splitext(os.path.basename(file.path))[0] if file is not None else "",  # noqa: PTH119, PTH122
                "cwd": os.path.basename(candidate.cwd or ""),  # noqa: PTH119
                "user": candidate.owner or "",
            }[word]

        return Match(
            rule=rule,
            process=self._process(row),
            started=row.started,
            name=rule.named(value),
            command=masked,
            cwd=candidate.cwd,
            owner=candidate.owner,
            why=(*why, *(verdict.evidence or ())),
            above=tuple(self._process(one) for one in above),
            reported_as=candidate.reported_as,
            covered=self._covered(above),
            barred=self._barred(row, look, candidate),
        )

    def _barred(self, row: Row, look: Look, candidate: Candidate) -> str | None:
        if row.pid == self._own_pid:
            return OWN
        if row.pid in look.line_above(self._own_pid):
            return ABOVE
        if candidate.of_headway is not None:
            return OURS
        return None if self._here(row.pid) else ELSEWHERE

    def _covered(self, above: Iterable[Row]) -> str | None:
        for one in above:
            if one.pid == self._own_pid:
                return BELOW
            if self._judge.candidate(one).of_headway == "run":
                return BELOW_RUN
        return None

    def _process(self, row: Row) -> OSProcess:
        return OSProcess(row.pid, row.create_time, self._namespace)


def above_of(row: Row, look: Look) -> Iterator[Row]:
    """Whose tree it belongs to, the nearest first: its parents, and who leads a session that it or one of them is in. Whoever is
    in a session was forked by its leader or by a child of it."""
    seen: set[Key] = {key_of(row)}
    line = [row]
    while line:
        below = line.pop(0)
        for pid in (below.ppid, below.session):
            one = None if pid is None else look.rows.get(pid)
            # A pid that has gone to somebody younger is not the parent.
            if one is not None and one.started <= below.started and key_of(one) not in seen:
                seen.add(key_of(one))
                line.append(one)
                yield one
