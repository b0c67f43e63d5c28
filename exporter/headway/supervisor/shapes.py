"""The number of a line of output that may be progress: what it says and how its kind of program is known to say it."""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import Final, NamedTuple

LONGEST_SHAPE: Final = 1024  # a longer line is no progress
MOST_HINTS: Final = 8  # places of a line that are looked at


class Reading(NamedTuple):
    """Percentages have the total 100 and the unit "%"."""

    current: float
    total: float | None
    unit: str | None


class Candidate(NamedTuple):
    reading: Reading
    shape: str  # what stays the same while the numbers grow
    outer: bool = False  # a step of the whole, within which others count
    known: bool = True  # believed at once
    growths: int = 1  # otherwise: how often it has to be seen to grow


_N: Final = r"(\d{1,3}(?:,\d{3}){1,4}|\d{1,15}(?:\.\d{1,6})?)"
_SIZE: Final = r"((?:[kKMGTP]i?)?[Bb](?:ytes)?|[kKMGTP]i?)?(?![A-Za-z])"
# Each begins with a letter or sign that is searched fast; lines of a log without progress end here.
_PERCENT_HINT: Final = re.compile(r"%(?:(?<=\d%)|(?<=\d %))")
_FRACTION_HINT: Final = re.compile(r"/(?:(?<=\d/)|(?<=\d[kMGTP]/)|(?<=[\dikMGTP][Bbi]/)|(?<=[\dBbkMGTPi] /)) {0,3}\d")
_OF_HINT: Final = re.compile(r" of \d(?<=[\dBbkMGTPi] of \d)")
_FRACTION: Final = re.compile(
    rf"(?<![\w./:,+\-]){_N} ?{_SIZE}(?: ?/ {{0,3}}| of ){_N} ?{_SIZE}(?![\w/%\-]|[.:,]\d| ?=)(?: ([A-Za-z]{{3,12}})\b)?"
)
_PERCENT: Final = re.compile(r"(?<![\d_./:,+\-])(\d{1,3}(?:\.\d{1,3})?) ?%(?![\w/]| of [^\d~ ])")
_GLYPHS: Final = re.compile(r"[━╸╺█▏▎▍▌▋▊▉▓░▒■□▰▱⣿]{3}")
_BARS: Final = (
    re.compile(r"\[[=#>*.\- ]{5,200}\]"),
    re.compile(r"<[=>\-]{5,200}>"),
    re.compile(r"%\|[█▏▎▍▌▋▊▉#\d ]{4,200}\|"),
)
_STEPS: Final = (
    (re.compile(r"\[(?:[\w.\-]{1,60} +){0,3}(\d{1,7})/(\d{1,7})\]"), "step"),
    (re.compile(r"\[\+\] [A-Z][a-z]{3,12} (?:[\d.]{1,8}s )?\(?(\d{1,7})/(\d{1,7})\b"), "[+]"),
    (re.compile(r"S(?:tep|TEP) (\d{1,7})/(\d{1,7}) ?: "), "Step"),
    (re.compile(r" {0,6}(\d{1,7})/(\d{1,7}) Test +#\d{1,7}: "), "ctest"),
    (re.compile(r"(?:[Ee]poch|EPOCH):? +\[?(\d{1,7})(?:/| of )(\d{1,7})\b"), "epoch"),
)
# BuildKit: the vertex, the stage it belongs to (with the platform, if there are several), its step; on a terminal a drawn list.
_VERTEX: Final = re.compile(r"#(\d{1,6}) \[((?:[\w./\-]{1,60} +){0,3})(\d{1,4})/(\d{1,4})\]")
_DRAWN_VERTEX: Final = re.compile(r" => (?:[A-Z]{5,8} )?\[(?:[\w./\-]{1,60} +){0,3}\d{1,4}/\d{1,4}\] ")
_MOST_VERTICES: Final = 500
_BUILDING: Final = "[+] Building "
# Gradle's bar is drawn three times, and only in the last is anything built.
_PREPARING: Final = re.compile(r"<[=>\-]{5,200}> \d{1,3}% (?!EXECUTING)[A-Z]{4,20} \[")
_STEP_PERCENT: Final = (
    (re.compile(r"\[ {0,2}(\d{1,3})%\] "), "make"),
    (re.compile(r"\[gw\d{1,4}\] +\[ {0,2}(\d{1,3})%\] "), "tests"),
    (re.compile(r"Progress: \[ {0,2}(\d{1,3})%\]"), "packages"),
)
_STARTS: Final = frozenset("[#SeEP 0123456789")
_AT_END: Final = re.compile(r"[^\[]\[ {0,6}(?:(\d{1,7})/(\d{1,7})|(\d{1,3})%)\]$")
_LONGEST_END: Final = 24
_LONGEST_SHORT: Final = 120
_NOUNS: Final = {"[+]": "steps", "step": "steps", "Step": "steps", "ctest": "tests", "epoch": "epochs"}
_TESTS: Final = re.compile(
    r"[.FEsxX] *\[[ \d/%]{3,16}\]$|\b(?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.{1,80}\))? +\[[ \d/%]{3,16}\]$"
)
_GIT: Final = re.compile(r"^(?:remote: )?([A-Z][\w \-]{2,40}): +\d{1,3}% \((\d{1,15})/(\d{1,15})\)")
_COPY: Final = re.compile(
    r"^ {1,20}[\d,.]+[kKMGT]? +(\d{1,3})% +[\d.]+[kMGT]?B/s +\d+:\d\d:\d\d(?: +\(xfr#\d+, (?:to|ir)-chk=(\d+)/(\d+)\))?"
)
_METER: Final = re.compile(
    r"^ {0,3}(\d{1,3}) +[\d.]+[kMGTP]? +\d{1,3} +[\d.]+[kMGTP]? +\d{1,3} +[\d.]+[kMGTP]?(?: +[\d.]+[kMGTP]?){2} +[\d:\-]{7,9} "
)
_DOTS: Final = re.compile(r"^ {0,12}\d+K [ .,]{10,90} (\d{1,3})% ")
_COPIED: Final = re.compile(r"^(\d{1,18}) bytes(?: \([^)]{1,60}\))? copied, ")
_OPEN: Final = re.compile(r"(?:^|: )(\d{1,15})([A-Za-z]{1,12}) \[\d\d:\d\d(?::\d\d)?, ")  # tqdm without a total
_DURATION: Final = re.compile(r"^ +Duration: (\d{2,4}):(\d\d):(\d\d(?:\.\d{1,6})?)")
_TIME: Final = re.compile(r"^(?:frame|size)=.{0,120}? time=(\d{2,4}):(\d\d):(\d\d(?:\.\d{1,6})?) ")
_RATE: Final = re.compile(r"<[^,\]]{1,20}, {1,4}[\d.?]{1,12} ?(?:s/([A-Za-z]{1,12})|[kMGTP]?([A-Za-z]{1,12})/s)")
_LABEL: Final = re.compile(r"\s{0,20}([A-Za-z][A-Za-z ._:/\-]{0,40})?")
_WORD: Final = re.compile(r"([A-Za-z]{2,20})[\s:=]*[\[(]?\s*$")
_FIRST: Final = re.compile(r"^\W*([A-Za-z]{2,20})\b")
_ADVANCE: Final = re.compile(
    r"\b(?:progress|complet|done|process|finish|download|upload|load(?:ing|ed)|copy|copi|import|export|read|writ|extract|install|sync|build|"
    r"receiv|sent|send|transfer|scan|index|migrat|train|render|convert|restor|backup|verif|check)",
    re.IGNORECASE,
)
# Shares and tallies that are no progress, however they grow, if one of these words stands beside the number.
_OTHER: Final = frozenset(  # the beginnings of more are in _OTHERS
    (  # noqa: SIM905
        "cpu cpus disk disks mem memory ram swap load idle busy use used usage full free ratio rate rates acc accuracy "
        "loss precision recall confidence similarity deflated stored compressed compression savings saving off discount "
        "quality quota humidity volume brightness passed failed failure failures fail error errors attempt attempts retry "
        "retries retrying try tries point points vote votes replica replicas node nodes worker workers healthy ready "
        "alive left remaining odds rating stars temp probability percentile cache cached hit hits coverage covered cover "
        "rename renamed"
    ).split()
)
_OTHERS: Final = ("avail", "utili", "miss", "batter", "reduc", "scor")
_LETTERS: Final = re.compile(r"[a-z]+")
_BESIDE: Final = (24, 16)
_UNITS: Final = frozenset(
    (  # noqa: SIM905
        "files file rows row records record items item objects object tests test packages package steps step epochs "
        "epoch batches batch bytes lines line pages page images image frames frame documents docs tasks task jobs job "
        "chunks chunk blocks block users messages requests urls events samples tokens iterations commits deltas tables "
        "partitions entries shards games videos songs targets modules"
    ).split()
)
_SCALES: Final = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15}


class Shapes:
    """Knows what ffmpeg said of the duration, how rsync counts and what a docker build consists of; all else is in the line."""

    def __init__(self) -> None:
        self._duration = 0.0
        self._by_file = False
        self._vertices: dict[str, tuple[str, int, int]] = {}
        self._begun = False  # a step of this build was seen

    def read(self, line: str, redrawn: bool) -> Candidate | None:
        if len(line) > LONGEST_SHAPE or _PREPARING.match(line):
            return None
        percent = "%" in line and _PERCENT_HINT.search(line)
        fraction = ("/" in line and _FRACTION_HINT.search(line)) or (" of " in line and _OF_HINT.search(line))
        if percent or fraction:
            if line.startswith(" => ") and _DRAWN_VERTEX.match(line):
                self._begun = True
                return None
            if line.startswith(_BUILDING) and not self._is_building(line):
                return None
            return self._step(line) or self._tool(line) or _counted(line, redrawn)
        if (redrawn and ":" in line) or "time=" in line or "Duration: " in line or " copied, " in line or "/s]" in line:
            return self._tool(line)
        return None

    def _step(self, line: str) -> Candidate | None:
        if line.endswith("]") and (match := _AT_END.search(line, max(0, len(line) - _LONGEST_END))):
            known = bool(_TESTS.search(line, max(0, len(line) - _LONGEST_SHORT)))
            reading = _percent(match[3]) if match[3] else Reading(float(match[1]), float(match[2]), "tests" if known else None)
            return (
                Candidate(reading, "tests%" if match[3] else "tests", outer=True, known=known, growths=2)
                if _makes_sense(reading)
                else None
            )
        if line[:1] not in _STARTS:
            return None
        if line[0] == "#":
            return self._vertex(line)
        for pattern, shape in _STEPS:
            if (match := pattern.match(line)) and not line.startswith("[0"):
                reading = Reading(float(match[1]), float(match[2]), _NOUNS[shape])
                if _makes_sense(reading):
                    # Steps begin at the first.
                    known = reading.current <= 2 or shape in ("[+]", "Step", "ctest")
                    return Candidate(reading, shape, outer=True, known=known)
        for pattern, shape in _STEP_PERCENT:
            if (match := pattern.match(line)) and float(match[1]) <= 100:
                return Candidate(_percent(match[1]), f"{shape}%", outer=True)
        return None

    def _vertex(self, line: str) -> Candidate | None:
        """A step of one stage of a docker build; stages are worked on at the same time, so their steps are added up."""
        match = _VERTEX.match(line)
        if match is None or not 1 <= int(match[3]) <= int(match[4]):
            return None
        found = (match[2], int(match[3]), int(match[4]))
        if self._vertices.get(match[1], found) != found or len(self._vertices) >= _MOST_VERTICES:
            self._vertices.clear()  # another build
        self._vertices[match[1]] = found
        stages: dict[str, tuple[int, int]] = {}
        for stage, number, total in self._vertices.values():
            stages[stage] = max(stages.get(stage, (0, 0)), (number, total))
        reading = Reading(
            float(sum(step for step, _ in stages.values())), float(sum(total for _, total in stages.values())), "steps"
        )
        begun = any(number <= 2 for _, number, _ in self._vertices.values())  # steps begin at the first
        return Candidate(reading, "step", outer=True, known=begun) if _makes_sense(reading) else None

    def _is_building(self, line: str) -> bool:
        """Whether the tally of a docker build is one of its steps: before the first of them it counts what is loaded, and until it
        has finished it is complete only because it does not know what comes next."""
        match = _STEPS[1][0].match(line)
        if "FINISHED" in line:
            self._begun = False
            return True
        return self._begun and match is not None and match[1] != match[2]

    def _tool(self, line: str) -> Candidate | None:
        if match := _GIT.match(line):
            unit = match[1].rsplit(" ", 1)[-1]
            return _valid(Reading(float(match[2]), float(match[3]), unit if unit in _UNITS else None), f"git {match[1]}")
        if match := _COPY.match(line):
            if match[2] and match[1] == "100" and match[2] != "0":
                self._by_file = True
            if self._by_file:
                if not match[2]:
                    return None
                return _valid(Reading(float(match[3]) - float(match[2]), float(match[3]), "files"), "rsync files")
            return Candidate(_percent(match[1]), "rsync")
        if match := _METER.match(line) or _DOTS.match(line):
            return Candidate(_percent(match[1]), "transfer") if float(match[1]) <= 100 else None
        if match := _COPIED.match(line):
            return Candidate(Reading(float(match[1]), None, "B"), "dd")
        if "/s]" in line and (match := _OPEN.search(line)):
            return Candidate(Reading(float(match[1]), None, match[2]), "open bar")
        if match := _DURATION.match(line):
            self._duration = _seconds(match)
            return None
        if (match := _TIME.match(line)) and self._duration > 0:
            return Candidate(Reading(min(_seconds(match), self._duration), self._duration, "s"), "ffmpeg")
        return None


def _counted(line: str, redrawn: bool) -> Candidate | None:
    """A fraction or a percentage anywhere in the line."""
    percent = share = None
    for hint in islice(_PERCENT_HINT.finditer(line), MOST_HINTS):
        found = _PERCENT.search(line, max(0, hint.start() - 8), hint.end() + 6)
        if found and float(found[1]) <= 100:
            percent, share = found, float(found[1])
            break
    for hint in islice(chain(_FRACTION_HINT.finditer(line), _OF_HINT.finditer(line)), MOST_HINTS):
        found = _FRACTION.search(line, max(0, hint.start() - 24))
        reading = _fraction(found, line) if found and found.start() <= hint.start() <= found.end() else None
        # A percentage beside a fraction is either the same (but for rounding) or the one that counts.
        if found and reading and (share is None or _is_share(share, found, reading)):
            return _judged(line, found, reading, redrawn)
    return _judged(line, percent, _percent(percent[1]), redrawn) if percent else None


def _label(line: str) -> str:
    match = _LABEL.match(line)
    return (match[1] or "").strip() if match else ""


def _is_bar(line: str) -> bool:
    return (not line.isascii() and _GLYPHS.search(line) is not None) or any(bar.search(line) for bar in _BARS)


def _is_share(share: float, fraction: re.Match[str], reading: Reading) -> bool:
    total = reading.total or 1.0
    doubt = 1.1
    if fraction[2] or fraction[4]:  # sizes are rounded before they are printed
        doubt += (
            sum(100 * 10.0 ** -_decimals(text) / max(1.0, _number(text)) for text in (fraction[1], fraction[3]))
            * reading.current
            / total
        )
    return abs(100 * reading.current / total - share) <= min(doubt, 5.0)


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _judged(line: str, found: re.Match[str], reading: Reading, redrawn: bool) -> Candidate | None:
    if _is_bar(line):
        return Candidate(reading, f"bar {_label(line)}")
    beside = line[max(0, found.start() - _BESIDE[0]) : found.end() + _BESIDE[1]].lower()
    if any(word in _OTHER or word.startswith(_OTHERS) for word in _LETTERS.findall(beside)):
        return None
    kind = "percent" if reading.unit == "%" else "fraction"
    before = line[max(0, found.start() - _BESIDE[0]) : found.start()]
    if redrawn:
        return Candidate(reading, f"redrawn {kind} {_label(line)}", known=False)
    bracket = before.rstrip()[-1:] if before.rstrip()[-1:] in "([" else ""
    word = _WORD.search(before)
    if kind == "percent":
        if not word and before.strip(" [("):
            return None
        label = word[1] if word else ""
        return Candidate(
            reading,
            f"percent {bracket}{label}",
            known=False,
            growths=1 if _ADVANCE.search(line, 0, found.end() + _BESIDE[0]) else 2,
        )
    first = _FIRST.match(line)
    label = first[1] if first else word[1] if word else re.sub(r"\d+", "0", line[: found.start()])[:24]
    return Candidate(reading, f"fraction {bracket}{label} {reading.total:g}", known=False)


def _fraction(found: re.Match[str], line: str) -> Reading | None:
    left, left_size, right, right_size, word = found.groups()
    if left[:1] == "0" and len(left) > 1 and left[1] != "." and len(left) != len(right):
        return None
    current, total = _number(left), _number(right)
    unit = word.lower() if word and word.lower() in _UNITS else None
    if right_size:
        is_bytes = right_size[-1] in "Bb" or right_size.endswith("bytes")
        unit = right_size if is_bytes and not left_size else "B" if is_bytes else None
        if left_size or not is_bytes:
            current, total = current * (_scale(left_size) if left_size else 1.0), total * _scale(right_size)
    elif left_size or (("." in left or "." in right) and not _is_bar(line)):
        return None
    if unit is None and (rate := _RATE.search(line, found.end())):
        unit = rate[1] or rate[2]
    return Reading(current, total, unit) if total >= 1 and current <= total and (total >= 2 or right_size) else None


def _makes_sense(reading: Reading) -> bool:
    return reading.total is not None and reading.total >= 2 and reading.current <= reading.total


def _valid(reading: Reading, shape: str) -> Candidate | None:
    return Candidate(reading, shape) if reading.total and 0 <= reading.current <= reading.total else None


def _percent(text: str) -> Reading:
    return Reading(float(text), 100.0, "%")


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _scale(size: str) -> float:
    prefix = size[0].lower() if size[0] not in "Bb" else ""
    return 1024.0 ** ("kmgtp".index(prefix) + 1) if prefix and "i" in size else _SCALES[prefix]


def _seconds(match: re.Match[str]) -> float:
    return float(match[1]) * 3600 + float(match[2]) * 60 + float(match[3])
