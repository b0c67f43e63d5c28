"""How things look: the colours, the pictures of the statuses and of progress, and the mappings that turn values into them.

Grafana draws the text of a value mapping as the source of an image, so a picture is an SVG data URI. It is fitted into the cell,
which has 24 or 36 px of height, depending on the version; a picture as wide as its column and 24 px high looks the same in both.
Monochrome, with red only for what failed or is stuck and amber only for what waits for a person, is slow or in the way. Every
colour is legible on Grafana's dark and light backgrounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from headway.model import Condition, Status
from headway.services.phase import Phase

Config = dict[str, Any]

GREY: Final = "#8e8e8e"
RED: Final = "#e0526a"
AMBER: Final = "#d9912f"
BLUE: Final = "#5794f2"
# Grafana writes a pill's text in black or white, whichever has the better contrast; on these two it is white.
DARK_RED: Final = "#c4314b"
DARK_AMBER: Final = "#a85800"
FAILED_ROW: Final = "rgba(224, 82, 106, 0.10)"

SYMBOL_WIDTH: Final = 38  # px; its column is 12 wider, and 50 is the narrowest that Grafana makes one
BAR_WIDTH: Final = 112
CHECK: Final = "M6.5 12.5l3.6 3.6L17.5 8.5"
CROSS: Final = "M8.5 8.5l7 7m0-7l-7 7"
HANDS: Final = "M12 9.8V12l1.6 1.2"
PAUSE: Final = "M9.5 8v8M14.5 8v8"


def svg(body: str, width: int = SYMBOL_WIDTH, left: int = -7) -> str:
    """A data URI of a picture 24 px high. Characters that are safe in a URI stay as they are, which halves the dashboard."""
    document = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='24' viewBox='{left} 0 {width} 24'>{body}</svg>"
    return "data:image/svg+xml," + quote(document, safe=" '=:/;,.()-$@{}")


def ring(colour: str, more: str = "") -> str:
    return f"<circle cx='12' cy='12' r='4' fill='none' stroke='{colour}' stroke-width='1.6' {more}/>"


def dashed(colour: str) -> str:
    return ring(colour, "stroke-dasharray='2 2.2'")


def disc(colour: str) -> str:
    return f"<circle cx='12' cy='12' r='4.6' fill='{colour}'/>"


def pulse(colour: str) -> str:
    """A disc with a ring that spreads from it every two seconds; still for those who asked for less motion."""
    style = (
        "<style>.p{opacity:0}@media (prefers-reduced-motion:no-preference){"
        ".p{animation:p 2s ease-out infinite;transform-origin:12px 12px}"
        "@keyframes p{from{transform:scale(1);opacity:.6}80%,to{transform:scale(2.4);opacity:0}}}</style>"
    )
    return f"{style}<circle class='p' cx='12' cy='12' r='4.6' fill='{colour}'/>{disc(colour)}"


def line(colour: str, path: str, opacity: str = "1") -> str:
    return (
        f"<path d='{path}' fill='none' stroke='{colour}' stroke-width='2' stroke-linecap='round' stroke-linejoin='round' "
        f"stroke-opacity='{opacity}'/>"
    )


def clock(colour: str) -> str:
    return ring(colour) + line(colour, HANDS)


@dataclass(frozen=True, slots=True)
class Look:
    """`symbol` is the body of the picture before a row, `colour` that of a bar in a timeline."""

    symbol: str
    colour: str


STATUS: Final[Mapping[Status, Look]] = {
    Status.QUEUED: Look(ring(GREY), "#8e8e8e66"),
    Status.STARTING: Look(ring(BLUE), "#5794f280"),
    Status.RUNNING: Look(pulse(BLUE), BLUE),
    Status.PAUSED: Look(line(GREY, PAUSE), "#8e8e8eb0"),
    Status.STOPPING: Look(pulse(GREY), GREY),
    Status.DONE: Look(line(GREY, CHECK), GREY),
    Status.FAILED: Look(disc(RED), RED),
    Status.CANCELLED: Look(line(GREY, CROSS), "#b0b0b0"),
    Status.KILLED: Look(line(RED, CROSS), DARK_RED),
    Status.TIMED_OUT: Look(clock(RED), "#f2788c"),
    Status.ORPHANED: Look(dashed(RED), "#a0526a"),
}
CONDITION: Final[Mapping[Condition, Look]] = {
    Condition.STUCK: Look(clock(RED), DARK_RED),
    Condition.TIME_SINK: Look(disc(AMBER), DARK_AMBER),
    Condition.BOTTLENECK: Look(disc(AMBER), DARK_AMBER),
    Condition.OVERDUE: Look(disc(AMBER), DARK_AMBER),
    Condition.ZOMBIE: Look(dashed(GREY), "#5f6b7a"),
    Condition.DUPLICATE: Look(ring(GREY), "#5f6b7a"),
    Condition.WAITING: Look(clock(AMBER), DARK_AMBER),
}
# A done row fades as its half hour passes: the value of its symbol is its code plus 100 for every ten minutes.
FADES: Final[Mapping[int, str]] = {0: "1", 100: ".65", 200: ".35", 300: ".35"}


_TEXT: Final = {Status.QUEUED: GREY, Status.STARTING: BLUE, Status.PAUSED: GREY, Status.KILLED: RED, Status.ORPHANED: RED}
PHASE: Final[Mapping[Phase, str]] = {
    Phase.STOPPED: GREY,
    Phase.STARTING: BLUE,
    Phase.RUNNING: "text",
    Phase.STOPPING: GREY,
    Phase.ERROR: RED,
}


def words(name: Status | Condition | Phase) -> str:
    """The name as people read it: `Timed out`."""
    return name.value.replace("_", " ").capitalize()


def bar(fill: str = "", light: str = "", light_within: str = str(BAR_WIDTH)) -> str:
    """A thin progress bar; `$1` in it is what the mapping's pattern caught. `light` passes over what is done while it runs."""
    box = "y='10' height='4' rx='2'"
    parts = [f"<rect {box} width='{BAR_WIDTH}' fill='{GREY}' fill-opacity='.25'/>"]
    if fill:
        parts.append(f"<rect {box} width='$1%' fill='{fill}'/>")
    if light:
        parts.append(
            "<style>.s{opacity:0}@media (prefers-reduced-motion:no-preference){.s{opacity:1;animation:s 2.4s ease-in-out infinite}"
            f"@keyframes s{{from{{transform:translateX(-40px)}}to{{transform:translateX({BAR_WIDTH}px)}}}}}}</style>"
            f"<clipPath id='c'><rect {box} width='{light_within}'/></clipPath>"
            f"<g clip-path='url(#c)'><rect class='s' {box} width='36' fill='{light}'/></g>"
        )
    return svg("".join(parts), BAR_WIDTH, 0)


# ── value mappings ──────────────────────────────────────────────────────────────────────────────────────────────────


def values(results: Mapping[str, Config]) -> Config:
    """Maps each value, as text, to a result such as {"text": …} or {"color": …}."""
    return {"type": "value", "options": {key: {**result, "index": i} for i, (key, result) in enumerate(results.items())}}


def pattern(regex: str, **result: str) -> Config:
    """Maps strings (never numbers) that match as a whole; `$1` in the text is the first group."""
    return {"type": "regex", "options": {"pattern": regex, "result": {**result, "index": 0}}}


def between(start: float, end: float, **result: str) -> Config:
    return {"type": "range", "options": {"from": start, "to": end, "result": {**result, "index": 0}}}


def special(match: str, **result: str) -> Config:
    """Maps what is no value: `null`, `nan` or `empty`."""
    return {"type": "special", "options": {"match": match, "result": {**result, "index": 0}}}


# A text needs more contrast than a bar.
STATUS_WORDS: Final = values({str(s.code): {"text": words(s), "color": _TEXT.get(s, STATUS[s].colour)} for s in STATUS})
# Without it some versions draw the frame of a missing image.
NO_PICTURE: Final = [special("null", text=svg("")), special("empty", text=svg(""))]
SYMBOLS: Final = values(
    {str(status.code): {"text": svg(look.symbol)} for status, look in STATUS.items()}
    | {str(Status.DONE.code + step): {"text": svg(line(GREY, CHECK, opacity))} for step, opacity in FADES.items() if step}
)
BARS: Final = [
    *NO_PICTURE,
    pattern(r"(\d+)", text=bar(GREY, "#ffffff60", "$1%")),  # running
    pattern(r"-(\d+)", text=bar(GREY)),  # not running
    pattern(r"(\d+)\.5", text=bar(RED)),  # failed there
    pattern(r"0\.25", text=bar(light=GREY)),  # running, total unknown
]
# A picture for every fortieth of what is done, where the ratio itself is what is mapped.
_STEPS: Final = 40
RATIO_BARS: Final = [
    *NO_PICTURE,
    *(
        between((n - 0.5) / _STEPS, (n + 0.5) / _STEPS - 1e-9, text=bar(GREY).replace("$1", f"{100 * n / _STEPS:g}"))
        for n in range(_STEPS + 1)
    ),
]
FLAGS: Final = [pattern(words(c).lower() + ".*", color=look.colour) for c, look in CONDITION.items()]
# As text, not as white on a colour.
_LIGHTER: Final = {DARK_RED: RED, DARK_AMBER: AMBER}
FLAG_TEXTS: Final = [pattern(words(c).lower() + ".*", color=_LIGHTER.get(look.colour, GREY)) for c, look in CONDITION.items()]
