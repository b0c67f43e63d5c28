"""One action on some trees: looks, signals, waiting, and the answer."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from functools import partial
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Final

from headway.ending.base import Left, Outcome, Spared, Target
from headway.ending.family import NOBODY, Family, Key, Look, has_ended, key_of
from headway.ending.leavers import Leavers
from headway.ending.system import MOST_HELD, Grip, System
from headway.model import OSProcess
from headway.sampler.base import is_same, own_pid_namespace
from headway.sampler.host import Host, Row

# How long the kernel is given to end what was sent SIGKILL (s): a moment, but for who waits for a disk or a dead network share.
KILL_WAIT: Final = 3.0
# A tree is frozen when two looks agree on it and all of it stands still; who forks as fast as we look is not followed for ever.
FREEZE_LOOKS: Final = 40
FREEZE_PAUSE: Final = 0.002
# While waiting: a new look after so long (s), sooner when an exit is seen. Looks take at most a fifth of the time.
LOOK_EVERY: Final = 0.1
LOOK_SHARE: Final = 5.0
_STILL: Final = frozenset("TtZXx")


class Work:
    """One action on some trees."""

    def __init__(self, targets: Sequence[Target], host: Host, system: System, spared: Sequence[Spared]) -> None:
        self.host = host
        self.system = system
        self.spared: dict[int, list[Spared]] = {}
        for one in spared:
            self.spared.setdefault(one.root.pid, []).append(one)
        self.targets = targets
        self.families: dict[str, Family] = {}
        self.unmet: dict[str, Outcome] = {}
        self.grips: dict[Key, Grip] = {}
        self.refused: dict[Key, str] = {}
        self.sent: dict[Key, int] = {}
        self.namespace = own_pid_namespace()
        self.look = Look({})
        self.left = Leavers(targets, spared, system.marks)
        self.protected: dict[int, str] = {}
        self.beneath: set[int] = set()
        self.see()
        for target in targets:
            self._meet(target)
        self.follow()

    # ── looking ────────────────────────────────────────────────────────────────────────────────────────────────────

    def see(self) -> list[Row]:
        """A new look; returns who was found for the first time."""
        self.host.row(self.system.own_pid)  # otherwise a host may repeat lines of its last pass
        self.look = Look(self.host.rows())
        self.protected = {0: "it is the kernel", 1: "it is init, the first process"}
        for pid in self.look.line_above(self.system.own_pid):
            self.protected.setdefault(pid, "the exporter runs below it")
        self.protected[self.system.own_pid] = "it is the exporter itself"
        self.left.see(self.look)
        self.beneath = self._beneath()
        return self.follow()

    def _beneath(self) -> set[int]:
        """The pids of what runs below the exporter and below who is spared, in the same session, and is no target itself or below
        one. Only by its session could such a one be taken for a member; one of another was not forked there, but adopted."""
        roots = {target.root.pid for target in self.targets}
        queue = [row for pid in self.spared if (row := self.look.rows.get(pid)) is not None and self._spared(row)]
        queue += [row for row in (self.look.rows.get(self.system.own_pid),) if row is not None]
        queue += [row for key in self.left.astray if (row := self.look.find(key)) is not None]
        found: set[int] = set()
        while queue:
            above = queue.pop()
            for child in self.look.children.get(above.pid, ()):
                if child.pid not in found and child.pid not in roots and child.session == above.session:
                    found.add(child.pid)
                    queue.append(child)
        return found

    def _spared(self, row: Row) -> str | None:
        return next((one.reason for one in self.spared.get(row.pid, ()) if is_same(row, one.root)), None)

    def follow(self) -> list[Row]:
        new: list[Row] = []
        for target in self.targets:
            if (family := self.families.get(target.key)) is not None:
                new += family.follow(self.look, self.host.row, self.barred, partial(self.left.strays_of, target))
        return new

    def _meet(self, target: Target) -> None:
        root, row = target.root, self.look.rows.get(target.root.pid)
        if row is None and self.host.hidden(root.pid):
            self.unmet[target.key] = Outcome(
                key=target.key, root=root, refused="the process table does not show it to the exporter"
            )
        elif row is None or not is_same(row, root):
            self.families[target.key] = Family(None)
        elif (reason := self.barred(row)) is not None:
            self.unmet[target.key] = Outcome(key=target.key, root=root, barred=reason)
        else:
            self.families[target.key] = Family(row)

    def barred(self, row: Row) -> str | None:
        """Why this one must be left alone, whoever asks; no words for who is below such a one."""
        reason = self.protected.get(row.pid)
        if reason is not None:
            return reason
        if (reason := self._spared(row)) is not None:
            return reason
        if (reason := self.left.astray.get(key_of(row))) is not None:
            return reason
        if row.pid in self.beneath:
            return ""
        facts = self.system.facts(row.pid) if not row.resident else None
        return "it is a thread of the kernel" if facts is not None and facts.kernel_thread else None

    def alive(self) -> list[Row]:
        """All members that have not ended, parents before children, each once."""
        found = {key_of(row): row for family in self.families.values() for row in family.alive(self.look)}
        return [row for key, row in found.items() if not self._seen_to_end(key)]

    def _seen_to_end(self, key: Key) -> bool:
        grip = self.grips.get(key)
        return grip is not None and bool(grip.ended())

    def within_reach(self) -> list[Row]:
        return [row for row in self.alive() if key_of(row) not in self.refused]

    # ── sending ────────────────────────────────────────────────────────────────────────────────────────────────────

    def send_all(self, rows: Sequence[Row], number: int, *, parents_first: bool = False) -> None:
        ordered = list(rows)
        if not parents_first:
            depths: dict[Key, int] = {}
            for family in self.families.values():
                for place, row in enumerate(family.depth_first(family.members.values())):
                    depths.setdefault(key_of(row), place)
            ordered.sort(key=lambda row: depths.get(key_of(row), 0))
        for row in ordered:
            self.send(row, number)

    def send(self, row: Row, number: int) -> None:
        """To this very process or to nobody."""
        key = key_of(row)
        if self.barred(row) is not None:  # it may have become so since it was found
            return
        grip = self.grips.get(key)
        brief = grip is None and len(self.grips) >= MOST_HELD
        try:
            if grip is None:
                grip = self.system.hold(row.pid, lambda: self._is_still(key))
                if not brief:
                    self.grips[key] = grip
            grip.send(number)
            if number not in (SIGSTOP, SIGCONT):
                self.sent[key] = number
        except ProcessLookupError:
            pass  # it has ended: what was wanted
        except PermissionError:
            self.refused[key] = f"not permitted: it belongs to {self._owner(row.pid)}"
        except OSError as error:
            self.refused[key] = f"the system refused: {os.strerror(error.errno or 0)}"
        finally:
            if brief and grip is not None:
                grip.close()

    def _is_still(self, key: Key) -> bool:
        row = self.host.row(key[0])
        return row is not None and row.started == key[1]

    def _owner(self, pid: int) -> str:
        facts = self.system.facts(pid)
        if facts is None or facts.uid is None:
            return "another user"
        try:
            return f"the user {pwd.getpwuid(facts.uid).pw_name}"
        except KeyError:
            return f"the user {facts.uid}"

    # ── ending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, number: int, grace: float, give_up: Callable[[], bool]) -> None:
        """The polite way: until all have ended, at most `grace` seconds."""
        deadline = self.system.clock() + grace
        while True:
            new = [row for row in self.within_reach() if key_of(row) not in self.sent]
            self.send_all(new, number)
            for row in new:
                facts = self.system.facts(row.pid)
                if facts is not None and facts.state in ("T", "t"):
                    self.send(row, SIGCONT)  # who stands still does not hear
            if not self.wait(deadline) or give_up():
                return

    def kill(self) -> None:
        """The other way: all of them are stopped, so that nobody forks any more, and then killed."""
        deadline = self.system.clock() + KILL_WAIT
        killed: set[Key] = set()
        while self.within_reach():
            if any(key_of(row) not in killed for row in self.within_reach()):
                self.freeze()
                rows = self.within_reach()
                self.send_all(rows, SIGKILL)
                killed |= {key_of(row) for row in rows}
            if not self.wait(deadline):
                return

    def freeze(self) -> None:
        stopped: set[Key] = set()
        for _ in range(FREEZE_LOOKS):
            fresh = [row for row in self.within_reach() if key_of(row) not in stopped]
            self.send_all(fresh, SIGSTOP, parents_first=True)
            stopped |= {key_of(row) for row in fresh}
            moving = [row for row in self.within_reach() if not stands(self.system, row.pid)]
            if not self.see() and not fresh and not moving:
                return
            if moving and not fresh:
                self.system.wait((), FREEZE_PAUSE)

    def wait(self, deadline: float) -> bool:
        """Waits for an exit, or a while, and looks again; false when nobody is left to wait for, or no time."""
        started = self.system.clock()
        left = deadline - started
        rows = self.within_reach()
        if rows and left > 0:
            grips = [grip for row in rows if (grip := self.grips.get(key_of(row))) is not None]
            self.system.wait(grips, min(left, LOOK_EVERY))
        before = self.system.clock()
        self.see()
        cost = self.system.clock() - before
        if not self.within_reach():
            return False
        rest = min(LOOK_SHARE * cost, deadline - self.system.clock())
        if rest > 0:
            self.system.wait((), rest)
        return self.system.clock() < deadline

    # ── the answer ─────────────────────────────────────────────────────────────────────────────────────────────────

    def outcomes(self, succeeded: Callable[[Row], bool] = lambda row: False, otherwise: str = "it did not end") -> list[Outcome]:
        """`succeeded` says of a living member whether it is as was wanted; if not, it is a survivor, and `otherwise` says why."""
        return [self.unmet.get(target.key) or self._outcome(target, succeeded, otherwise) for target in self.targets]

    def _outcome(self, target: Target, succeeded: Callable[[Row], bool], otherwise: str) -> Outcome:
        family = self.families[target.key]
        living = {key_of(row): row for row in family.alive(self.look) if not self._seen_to_end(key_of(row))}
        wrong = [row for row in living.values() if not succeeded(row)]
        return Outcome(
            key=target.key,
            root=target.root,
            gone=family.root == NOBODY and not family.members,
            root_ended=family.root not in living,
            refused=self.refused.get(family.root) if family.root in living else None,
            signals={key[0]: self.sent[key] for key in family.members if key in self.sent},
            members=[self._process(row) for row in family.members.values()],
            ended=[self._process(row) for key, row in family.members.items() if key not in living],
            survivors=[Left(self._process(row), self.refused.get(key_of(row), otherwise)) for row in wrong],
            spared=[
                Left(self._process(row), reason)
                for key, reason in family.barred.items()
                if (row := self.look.find(key)) is not None and not has_ended(row)
            ],
            strays=[self._process(row) for key, row in family.members.items() if key in family.strays],
        )

    def _process(self, row: Row) -> OSProcess:
        return OSProcess(row.pid, row.create_time, self.namespace)

    def close(self) -> None:
        """Lets go of everyone; who has ended is noted before."""
        self.see()
        for grip in self.grips.values():
            grip.close()
        self.grips.clear()


def stands(system: System, pid: int) -> bool:
    facts = system.facts(pid)
    return facts is None or facts.state is None or facts.state in _STILL
