"""Whether an OS process is what a rule asks for: command line, folder and environment, asked once and remembered."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from headway.discovery.rule import Rule
from headway.ending.family import Key, has_ended, key_of
from headway.sampler.details import Details
from headway.sampler.host import Row

# One that began so long ago (s) is seldom asked again, one that is younger may still be what it was forked from: at each look.
YOUNG: Final = 60.0
# A program may become another one at any age (exec), and change its folder: each is asked anew every so many looks.
ASKED_AGAIN: Final = 6
PARENT_VARIABLE: Final = "HEADWAY_PARENT_ID"
_SEARCHED: Final = 32_768
_ID: Final = re.compile("[A-Za-z0-9_-]{1,64}")
_PYTHON: Final = re.compile(r"python[0-9.]*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`evidence`: why it is meant, None: it is not, `reason` says why where that is of interest. `groups`: what those of the
    regular expression hold. `unreadable`: it may not be looked at."""

    evidence: tuple[str, ...] | None
    reason: str = ""
    groups: tuple[str, ...] = ()
    unreadable: bool = False


NOT_MEANT: Final = Verdict(None)


class Candidate:
    """What an OS process was started with, asked when it is needed. The environment is not kept: it may hold secrets."""

    def __init__(self, details: Details, pid: int) -> None:
        self._details = details
        self._pid = pid
        self.argv = details.argv(pid)
        self._rest: tuple[str | None, str | None, str | None] | None = None

    @property
    def text(self) -> str:
        """The command line as ps shows it."""
        return " ".join(self.argv or ())[:_SEARCHED]

    @property
    def of_headway(self) -> str | None:
        """Which command of ours it is (serve, run, …), None if none. The words of `headway run` are those of what it runs, too."""
        words = self.argv or []
        if len(words) > 1 and _PYTHON.fullmatch(os.path.basename(words[0])):  # noqa: PTH119
            words = ["headway", *words[3:]] if words[1:3] == ["-m", "headway"] else words[1:]
        if not words or os.path.basename(words[0]) != "headway":  # noqa: PTH119
            return None
        return words[1] if len(words) > 1 else ""

    @property
    def cwd(self) -> str | None:
        return self._about()[0]

    @property
    def owner(self) -> str | None:
        return self._about()[1]

    @property
    def reported_as(self) -> str | None:
        """The id of the record that it was started within, as `headway run` leaves it in the environment."""
        return self._about()[2]

    def _about(self) -> tuple[str | None, str | None, str | None]:
        if self._rest is None:
            cwd, uid = self._details.cwd(self._pid), self._details.uid(self._pid)
            given = (self._details.environ(self._pid) or {}).get(PARENT_VARIABLE, "")
            self._rest = (
                None if cwd is None else _text(cwd),
                None if uid is None else user_name(uid),
                given if _ID.fullmatch(given) else None,
            )
        return self._rest


class Judge:
    """Remembers of each OS process, by pid and start, whom it was found to be, until it is asked again."""

    def __init__(self, rules: Sequence[Rule], details: Details) -> None:
        self._details = details
        self._wide = [rule for rule in rules if rule.looks_at_everyone]
        self._patterns = {rule.name: re.compile(rule.command) for rule in rules if rule.command is not None}
        self._known: dict[Key, tuple[Candidate, dict[str, Verdict]]] = {}
        self._turn = 0

    def begin(self, rows: Mapping[int, Row], now: float) -> None:
        """Forgets who is gone, and whoever is to be asked again; asks who is new, where a rule is about everyone."""
        self._turn += 1
        keys = {key_of(row): row for row in rows.values() if not has_ended(row)}
        self._known = {
            key: known
            for key, known in self._known.items()
            if (row := keys.get(key)) is not None and now - row.create_time >= YOUNG and (row.pid + self._turn) % ASKED_AGAIN
        }
        if self._wide:
            for key, row in keys.items():
                if key not in self._known:
                    for rule in self._wide:
                        self.verdict(rule, row)

    def candidate(self, row: Row) -> Candidate:
        return self._entry(row)[0]

    def verdict(self, rule: Rule, row: Row) -> Verdict:
        candidate, verdicts = self._entry(row)
        found = verdicts.get(rule.name)
        if found is None:
            found = verdicts[rule.name] = self._judge(rule, row.pid, candidate)
        return found

    def fitting(self, rule: Rule) -> Iterator[Key]:
        """Those that a rule about everyone means, the oldest first."""
        found = [key for key, (_, verdicts) in self._known.items() if verdicts.get(rule.name, NOT_MEANT).evidence is not None]
        yield from sorted(found, key=lambda key: (key[1], key[0]))

    def unreadable(self, rule: Rule) -> int:
        return sum(1 for _, verdicts in self._known.values() if verdicts.get(rule.name, NOT_MEANT).unreadable)

    def _entry(self, row: Row) -> tuple[Candidate, dict[str, Verdict]]:
        known = self._known.get(key_of(row))
        if known is None:
            known = self._known[key_of(row)] = (Candidate(self._details, row.pid), {})
        return known

    def _judge(self, rule: Rule, pid: int, candidate: Candidate) -> Verdict:
        """The cheapest first: most are somebody else by their command line already."""
        if not candidate.argv:
            return NOT_MEANT if candidate.argv is None else Verdict(None, "it is a thread of the kernel, or about to end")
        evidence: list[str] = []
        groups: tuple[str, ...] = ()
        if rule.command is not None:
            match = self._patterns[rule.name].search(candidate.text)
            if match is None:
                return Verdict(None, f"its command line does not match {rule.command}")
            groups = tuple(group or "" for group in match.groups())
            evidence.append(f"its command line matches {rule.command}")
        if rule.run_by:
            uid = self._details.uid(pid)
            if uid is None:
                return NOT_MEANT  # it has ended meanwhile
            if not {user_name(uid), str(uid)} & set(rule.run_by):
                return Verdict(None, f"it runs as {user_name(uid)}, not as {' or '.join(rule.run_by)}")
            evidence.append(f"it runs as {user_name(uid)}")
        if rule.cwd is not None:
            cwd = self._details.cwd(pid)
            if cwd is None:
                return self._unreadable(pid, "its working directory")
            if not is_below(cwd, os.path.realpath(rule.cwd)):
                return Verdict(None, f"its working directory is not within {rule.cwd}")
            evidence.append(f"its working directory is {_text(cwd)}")
        if rule.env:
            environ = self._details.environ(pid)
            if environ is None:
                return self._unreadable(pid, "its environment")
            for name, value in rule.env:
                if name not in environ or (value is not None and environ[name] != value):
                    return Verdict(None, f"its environment has {'no' if name not in environ else 'another'} {name}")
                # Not the value: it may be what nobody should read.
                evidence.append(f"its environment has {name}" + ("" if value is None else " as the rule says"))
        return Verdict(tuple(evidence), groups=groups)

    def _unreadable(self, pid: int, what: str) -> Verdict:
        if self._details.uid(pid) is None:
            return NOT_MEANT  # it has ended meanwhile
        return Verdict(None, f"{what} may not be read: it belongs to another user", unreadable=True)


def is_below(path: str, folder: str) -> bool:
    """Whether a path is this folder or within it; /srv/application is not within /srv/app."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def lives_here(pid: int, proc: str = "/proc") -> bool:
    """Whether its pid counts in the pid namespace of this process and in none below: /proc shows those of containers too."""
    try:
        with open(f"{proc}/{pid}/status", "rb") as file:  # noqa: PTH123
            text = file.read(4096)
    except OSError:
        return True
    line = next((line for line in text.split(b"\n") if line.startswith(b"NSpid:")), b"")
    return len(line.split()) <= 2


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _text(path: str) -> str:
    """A path as text that can be sent: the kernel allows any bytes in it."""
    return os.fsencode(path).decode("utf-8", "replace")
