"""Which of the candidates to believe, and which of those believed is the progress of the whole."""

from __future__ import annotations

from typing import Final

from headway.supervisor.shapes import Candidate, Reading

MOST_SOURCES: Final = 64
DOUBTED: Final = 3  # a lower value of a known kind is a straggler; as many in a row are a new beginning
TAKEN_OVER: Final = 8  # updates of another after which one that has gone silent is over
MOST_STRIKES: Final = 2


class Source:
    """One thing that counts: the bar on one line, the steps of a build, lines of one shape."""

    __slots__ = ("believed", "ended", "growths", "lower", "outer", "reading", "row", "shape", "since", "strikes")

    def __init__(self, candidate: Candidate, row: int | None, number: int) -> None:
        self.shape = candidate.shape
        self.outer = candidate.outer
        self.row = row
        self.reading = candidate.reading
        self.believed = candidate.known
        self.growths = 0
        self.lower = 0
        self.strikes = 0
        self.since = 0  # updates while another had the say
        self.ended = number if is_complete(candidate.reading) else None  # when it became complete


def is_complete(reading: Reading) -> bool:
    return reading.total is not None and reading.current >= reading.total


class Evidence:
    """The sources and the one that has the say. Memory is bounded by MOST_SOURCES."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, int | None], Source] = {}
        self._first_seen: dict[str, int] = {}
        self._number = 0
        self.chosen: Source | None = None
        self._above: Source | None = None  # what the chosen one was drawn below

    def add(self, candidate: Candidate, row: int | None, first_row: int) -> None:
        """`row` is the line that is being redrawn, `first_row` the first that can still be."""
        self._number += 1
        source = self._updated(candidate, row)
        self._go_back(first_row)
        if source is None or not source.believed:
            return
        if self.chosen is None or self.chosen is source or self._succeeds(source, self.chosen, first_row):
            self.chosen = source
        if self.chosen is source:
            for other in self._sources.values():
                other.since = 0
        else:
            source.since += 1

    def _go_back(self, first_row: int) -> None:
        """To the bar above, when the program does: they are drawn together."""
        above, chosen = self._above, self.chosen
        if above is None or above.row is None or chosen is None or chosen.row is None:
            return
        if above.ended is None and not chosen.outer and above.row >= first_row:
            self.chosen, self._above = above, None

    def source_of(self, candidate: Candidate, row: int | None) -> Source | None:
        return self._sources.get(_key(candidate, row))

    def _updated(self, candidate: Candidate, row: int | None) -> Source | None:
        """The source with the candidate's value; None if the value does not count."""
        key = _key(candidate, row)
        source = self._sources.pop(key, None)
        if source is None or (not candidate.known and source.reading.total != candidate.reading.total):
            self._make_room()
            self._first_seen.setdefault(candidate.shape, self._number)
            self._sources[key] = source = Source(candidate, row, self._number)
            return source
        self._sources[key] = source  # the latest is last
        old, new = source.reading, candidate.reading
        comparable = old.total == new.total and old.total is not None
        if comparable and new.current < old.current and not is_complete(old):
            if not candidate.known and not candidate.outer:
                self._strike(source, new)
                return None
            source.lower += 1
            if source.lower < DOUBTED:
                return None
        source.lower = 0
        if comparable and new.current > old.current:
            source.growths += 1
            if source.strikes < MOST_STRIKES and source.growths >= candidate.growths + source.strikes * DOUBTED:
                source.believed = True
        source.believed = source.believed or candidate.known
        source.reading = new
        if not is_complete(new):
            source.ended = None
        elif source.ended is None:
            source.ended = self._number
        return source

    def _strike(self, source: Source, reading: Reading) -> None:
        """What counts loosely and goes backwards is no progress."""
        source.reading = reading
        source.believed = False
        source.growths = 0
        source.strikes += 1
        if self.chosen is source:
            self.chosen = None

    def _succeeds(self, source: Source, chosen: Source, first_row: int) -> bool:
        finished = chosen.ended is not None
        if source.outer != chosen.outer:
            if source.outer:
                return True
            # What has been there during the steps belongs to the last of them; what is new after it is on its own.
            return chosen.ended is not None and self._first_seen.get(source.shape, 0) > chosen.ended
        if source.row is not None and source.row == chosen.row:
            return True
        if source.row is None or chosen.row is None:
            return finished or source.shape == chosen.shape or source.since + 1 >= TAKEN_OVER
        if min(source.row, chosen.row) >= first_row:
            # Drawn together: the outer bar is above the inner ones.
            above = source.row < chosen.row
            return (above and (finished or source.ended is None)) or (finished and source.ended is None)
        if source.row > chosen.row:
            self._above = chosen
            return True
        return finished or source.since + 1 >= TAKEN_OVER

    def _make_room(self) -> None:
        while len(self._sources) >= MOST_SOURCES:
            key = next(key for key, source in self._sources.items() if source is not self.chosen)
            shape = self._sources.pop(key).shape
            if all(source.shape != shape for source in self._sources.values()):
                self._first_seen.pop(shape, None)


def _key(candidate: Candidate, row: int | None) -> tuple[str, int | None]:
    """A bar is known by its line, since its words change; steps and lines of a log by their shape."""
    if candidate.outer or row is None:
        return candidate.shape, None
    return candidate.shape.split(" ", 1)[0], row
