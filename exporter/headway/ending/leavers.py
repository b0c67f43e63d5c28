"""Who left the trees that are acted on, and who left what must be spared."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from headway.ending.base import Spared, Target
from headway.ending.family import Key, Look, key_of
from headway.model import OSProcess
from headway.sampler.base import is_same
from headway.sampler.host import Row
from headway.sampler.strays import Marks, Run


class Leavers:
    """What the marks of OS processes mean for one action. `astray` are those that left a run which is spared, and why that is."""

    def __init__(self, targets: Sequence[Target], spared: Sequence[Spared], marks: Marks) -> None:
        self.targets = targets
        self.spared = [one for one in spared if one.run is not None]
        self.marks = marks
        self.look = Look({})
        self.astray: dict[Key, str] = {}

    def see(self, look: Look) -> None:
        """A new look. Nothing is read when no runs are known."""
        self.look = look
        if self.spared or any(target.runs for target in self.targets):
            self.marks.see(look.rows)
        self.astray = {key: one.reason for one in self.spared for key in self._astray(one)}

    def strays_of(self, target: Target, members: Mapping[Key, Row]) -> list[Row]:
        """Those of its own run, and of the runs within it. A run whose root is somewhere else goes on, with all that is its."""
        found: list[Row] = []
        for run in target.runs:
            root = self._find(run.root)
            if root is None or key_of(root) in members:
                found += self._left(run, members, again=True)
        return found

    def _astray(self, spared: Spared) -> set[Key]:
        """Whoever has adopted them, they are not its. A target that runs within what is spared is one all the same, with what is
        below it and what has left it."""
        within = self._below(spared.root)
        left = self._left(spared.run, within)
        if not left:
            return set()
        outside = {key_of(row) for row in left}
        for target in self.targets:
            root = self._find(target.root)
            if root is not None and (key_of(root) in within or key_of(root) in outside):
                outside = outside - self._below(target.root).keys()
                outside -= {key_of(row) for run in target.runs for row in self._left(run, ()) if run.root == target.root}
        return outside

    def _left(self, run: Run | None, members: Container[Key], again: bool = False) -> list[Row]:
        return [] if run is None else self.marks.strays(run, self.look.rows, members, again)

    def _below(self, process: OSProcess) -> Mapping[Key, Row]:
        return {} if self._find(process) is None else self.look.below(process.pid)

    def _find(self, process: OSProcess) -> Row | None:
        row = self.look.rows.get(process.pid)
        return row if row is not None and is_same(row, process) else None
