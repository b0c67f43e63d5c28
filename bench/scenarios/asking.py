"""Work that waits for a person and says so: it waits, is not stuck meanwhile, and can be once it goes on."""

from __future__ import annotations

import re
from typing import Final

from bench.scenarios.stage import Stage
from bench.scenarios.truth import STUCK_AFTER, WAITING_AFTER, Must, Scenario, When, stuck

ASKS: Final = """
run = reporter()
run.log("built")
mark("asks")
with run.waiting("approval of the release"):
    time.sleep({seconds})
    mark("answered")
"""
LONG: Final = WAITING_AFTER + STUCK_AFTER


def waits(of: str = "", until: When | None = None) -> Must:
    said = re.compile("waits for a person for .*: approval of the release$")
    return Must(gate="waiting", severity="warning", since=When(mark="asks", plus=WAITING_AFTER), until=until, of=of, says=said)


def asks(stage: Stage) -> None:
    """Nobody answers."""
    stage.script(ASKS.format(seconds=120))
    stage.after("asks", LONG + 2)


def answered(stage: Stage) -> None:
    """Somebody does, and after that it hangs."""
    stage.script(ASKS.format(seconds=LONG) + "rest()\n")
    stage.after("answered", STUCK_AFTER + 3)


def soon(stage: Stage) -> None:
    stage.script(ASKS.format(seconds=WAITING_AFTER / 2) + 'for n in range(12):\n    run.log("on"); time.sleep(0.5)\n')
    stage.after("answered", WAITING_AFTER)


def below(stage: Stage) -> None:
    """What it waits for is a part of it that asks."""
    stage.script("""
run = reporter("outer")
run.log("begins")
part_of = run.child("part", id=part())
mark("started")
part_of.log("built")
mark("asks")
with part_of.waiting("approval of the release"):
    time.sleep(120)
""")
    stage.after("asks", LONG + 2)


SCENARIOS: Final = (
    Scenario(name="asks", about="waits for an approval that nobody gives", play=asks, must=(waits(),), seconds=18, quick=True,
             hard="it is as silent as one that hangs"),
    Scenario(name="answered", about="waits for an approval, gets it, and hangs", play=answered, seconds=26,
             must=(waits(until=When(mark="answered")), stuck("critical", "answered")),
             hard="it was silent for longer than the threshold when it goes on"),
    Scenario(name="answered-soon", about="is given what it waits for at once, and goes on", play=soon, seconds=14),
    Scenario(name="asks-below", about="a part of it waits for an approval", play=below, must=(waits(),), seconds=18,
             hard="whoever waits for the part is silent too, and is not stuck"),
)  # fmt: skip
