"""Progress, read from the output of programs that know nothing of Headway.

What counts at once is the shape of a known program: steps (`[3/7]`, `#9 [build 3/7]`, `Step 3/7 :`, docker, ninja, ctest,
`Epoch 3/10`), the percentages of make, cmake, pytest and apt, a drawn bar with a number (tqdm, rich, pip, cargo, wget, pv), git,
rsync, curl, ffmpeg, dd. Steps in brackets have to begin at the first or second, otherwise they count like the rest. Stages of a
docker build run side by side: their steps are added up. What it counts before its first step, and gradle before it executes, is no
progress.

Everything else, `51/80`, `51 of 80` or `63%` anywhere in a line, counts once it was seen to grow with the same total, in lines of
the same shape or on the same line that is drawn again (percentages in lines of a log have to grow twice unless a word like "done"
is near). It is forgotten when it goes backwards without having been complete. Shares and tallies that are no progress by the word
beside them (CPU, disk, coverage, passed, attempts …) never count.

Several things may count at the same time or in turn. The answer is then:
- steps before everything within them: `[3/7]` and `Epoch 3/10` beat the bar or percentage of one step. What appears for the first
  time after the last step is complete is on its own;
- of bars that are drawn together, the upper one that is not complete (the outer loop; of parallel downloads one after the other);
- of those in turn (pip's downloads, git's phases) the latest: when the earlier is complete, a lower line is drawn, or only the
  other one has been heard of for a while.
A lower value of a known program is a straggler of parallel work and ignored, unless it was complete or three in a row are lower.

Units are the program's (files, MB, it); numbers with a size each, `512k/1.5M` or `1.0MiB / 2.8MiB`, become bytes. A line that is
only redrawn for what cannot be read (a spinner, bare numbers) gives nothing.

A state of a redrawn line is complete when the program starts to draw the next; `reading` looks at the unfinished one only where it
goes on with what is already believed.
"""

from __future__ import annotations

import math
import re
from typing import Final

from headway.supervisor.evidence import Evidence
from headway.supervisor.screen import Screen
from headway.supervisor.shapes import LONGEST_SHAPE, Candidate, Reading, Shapes

__all__ = ["ProgressReader", "Reading"]

_GROUPS: Final = frozenset({"current", "total", "percent", "unit"})
_LONGEST_PATTERN: Final = 1000
_LONGEST_UNIT: Final = 32


class ProgressReader:
    """One stream of decoded text. No clock, no input or output; memory is bounded whatever comes."""

    def __init__(self, pattern: str | re.Pattern[str] | None = None) -> None:
        """`pattern` replaces all that is built in: a regular expression with the named groups `current` (and `total`) or `percent`,
        and `unit`. Raises ValueError that says what is wrong with it.
        """
        self._pattern = None if pattern is None else _checked(pattern)
        self._shapes = Shapes()
        self._evidence = Evidence()
        self._screen = Screen(self._seen, self._plain)

    def feed(self, text: str) -> list[str]:
        """The lines that are complete now, for a log. `text` may be cut anywhere, also within an escape."""
        return self._screen.feed(text)

    def close(self) -> list[str]:
        """The rest: the last line without its end, and lines that could have been redrawn."""
        return self._screen.close()

    @property
    def reading(self) -> Reading | None:
        """The latest believable progress, None while there is none."""
        chosen = self._evidence.chosen
        if chosen is None:
            return None
        text = self._screen.fresh
        if text and chosen.reading.total is not None and (candidate := self._candidate(text, True)):
            new = candidate.reading
            row = self._screen.number if self._screen.row.redrawn else None
            goes_on = (
                new.total == chosen.reading.total and new.unit == chosen.reading.unit and new.current >= chosen.reading.current
            )
            if goes_on and self._evidence.source_of(candidate, row) is chosen:
                return new
        return chosen.reading

    @property
    def redrawn(self) -> str | None:
        """What the line that is being redrawn shows now."""
        row = self._screen.row
        return (row.text.strip() or None) if row.redrawn else None

    def _plain(self, lines: list[str], first: int) -> None:
        custom = self._pattern is not None
        for line in lines:
            # Cheap tests first: most lines of a log end here.
            if custom or "%" in line or "/" in line or " of " in line or "time=" in line or "Duration" in line or " copied" in line:
                candidate = self._candidate(line, False)
                if candidate:
                    self._evidence.add(candidate, None, self._screen.first)

    def _seen(self, text: str, number: int, redrawn: bool) -> None:
        candidate = self._candidate(text, redrawn)
        if candidate:
            self._evidence.add(candidate, number if redrawn else None, self._screen.first)

    def _candidate(self, text: str, redrawn: bool) -> Candidate | None:
        if self._pattern is None:
            return self._shapes.read(text, redrawn)
        reading = _custom(self._pattern, text[:LONGEST_SHAPE])
        return Candidate(reading, "custom", outer=True) if reading else None


def _checked(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    if isinstance(pattern, str):
        if len(pattern) > _LONGEST_PATTERN:
            raise ValueError(f"the pattern for progress has more than {_LONGEST_PATTERN} characters; shorten it")
        try:
            pattern = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the pattern for progress is no regular expression: {error}") from None
    elif not isinstance(pattern.pattern, str):
        raise ValueError("the pattern for progress must be one for text, not for bytes")
    groups = set(pattern.groupindex)
    if unknown := sorted(groups - _GROUPS):
        raise ValueError(f"the pattern for progress has the group {unknown[0]!r}; the groups are current, total, percent, unit")
    if not groups & {"current", "percent"}:
        raise ValueError("the pattern for progress needs a named group (?P<current>…) or (?P<percent>…)")
    if "total" in groups and "current" not in groups:
        raise ValueError("the pattern for progress has a group (?P<total>…) without (?P<current>…)")
    return pattern


def _custom(pattern: re.Pattern[str], text: str) -> Reading | None:
    match = pattern.search(text)
    if match is None:
        return None
    groups = match.groupdict()
    unit = (groups.get("unit") or "").strip()[:_LONGEST_UNIT] or None
    current = _number(groups.get("current"))
    if current is not None:
        total = _number(groups.get("total"))
        if groups.get("total") is None or (total is not None and 0 < total >= current):
            return Reading(current, total, unit)
    percent = _number(groups.get("percent"))
    return Reading(percent, 100.0, "%") if percent is not None and percent <= 100 else None


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text.strip().replace(",", "").replace("_", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
