"""The machine slept, or its clock was set: nobody's silence, and nobody's lease, ran meanwhile."""

from __future__ import annotations

import os
import signal
from typing import Final

from bench.scenarios.endings import ELSEWHERE
from bench.scenarios.stage import Stage
from bench.scenarios.truth import QUIET_WITHIN, STUCK_AFTER, Scenario, When, stuck

HOUR: Final = 3600.0
WORKS: Final = (
    f"job = reporter(total=1000)\nfor n in range(1, 1000):\n    job.update(n); mark('beat'); time.sleep({STUCK_AFTER * 0.7})"
)
HANGS: Final = "job = reporter('hangs', total=10)\njob.update(3); mark('silent')\nrest()"


def set_clock(stage: Stage, seconds: float) -> None:
    path = stage.folder / "offset"
    fresh = path.with_suffix(".new")
    fresh.write_text(str(float(path.read_text()) + seconds))
    fresh.rename(path)


def three(stage: Stage) -> None:
    stage.script(WORKS)
    stage.script(HANGS, of="hangs")
    stage.create("elsewhere", host=ELSEWHERE, pid=1, lease=60, type="daemon")
    stage.wait("started")
    stage.after("silent", STUCK_AFTER + QUIET_WITHIN)


def slept(stage: Stage) -> None:
    """Everything stands still, exporter and jobs; an hour later all of it goes on."""
    three(stage)
    assert stage.exporter.process is not None
    everyone = [stage.exporter.process.pid, *(script.pid for script in stage.scripts)]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    stage.mark("asleep")
    set_clock(stage, HOUR)
    stage.rest(1)
    stage.mark("awake")
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    rest_and_renew(stage)


def rest_and_renew(stage: Stage) -> None:
    """The reporter elsewhere has 20 s of its lease to be heard again."""
    stage.after("awake", 3)
    stage.update("elsewhere", alive=True)
    stage.after("awake", STUCK_AFTER + QUIET_WITHIN + 4)


def set_forward(stage: Stage) -> None:
    """The clock was wrong by an hour and is set right while all goes on."""
    three(stage)
    stage.mark("asleep")
    set_clock(stage, HOUR)
    stage.mark("awake")
    rest_and_renew(stage)


def set_back(stage: Stage) -> None:
    """The same, an hour back: all that was seen lies in the future now."""
    three(stage)
    stage.mark("asleep")
    set_clock(stage, -HOUR)
    stage.mark("awake")
    rest_and_renew(stage)


FOUND_AGAIN: Final = (
    stuck("critical", of="hangs", until=When(mark="asleep")),
    stuck("critical", "awake", of="hangs"),
)
SCENARIOS: Final = (
    Scenario(name="slept", about="the machine slept for an hour", play=slept, own=(), skewed=True, must=FOUND_AGAIN, seconds=32,
             hard="everyone was silent for an hour, and no lease was renewed"),
    Scenario(name="set-forward", about="the clock is set an hour forward", play=set_forward, own=(), skewed=True, must=FOUND_AGAIN,
             seconds=31, hard="everyone seems to have been silent for an hour"),
    Scenario(name="set-back", about="the clock is set an hour back", play=set_back, own=(), skewed=True, must=FOUND_AGAIN,
             seconds=31, hard="what was seen last lies in the future: who hangs must be found all the same"),
)  # fmt: skip
