"""Schedules whose run was due and did not begin, and those of which it only looks so. The clock of the exporter is set forward, as
when a machine has slept; minutes need not be waited for. Said of the name, not of one run."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from bench.scenarios.clocks import set_clock
from bench.scenarios.stage import Stage
from bench.scenarios.truth import May, Must, Scenario, When

WORKS: Final = "job = reporter(total=1000)\nfor n in range(1, 1000):\n    job.update(n); time.sleep(0.5)"


def scheduled(stage: Stage, cron: str, command: str = "true", **more: Any) -> str:
    """Has the exporter begin anew with a schedule; its name."""
    name = stage.id("nightly")
    path = stage.exporter.data_dir.parent / "headway.yaml"
    schedule = {"cron": cron, "time_zone": "UTC", **more}
    path.write_text(json.dumps({**json.loads(path.read_text()), "services": {name: {"command": command, "schedule": schedule}}}))
    stage.exporter.restart()
    stage.script(WORKS)
    stage.wait("started")
    stage.rest(2)
    return name


def in_five_minutes() -> str:
    due = time.gmtime(time.time() + 300)
    return f"{due.tm_min} {due.tm_hour} * * *"


def soon() -> tuple[str, float]:
    """Once, at the beginning of the minute after next, and when that is: nothing is due before by the clock of everyone else."""
    due = (time.time() // 60 + 2) * 60
    parts = time.gmtime(due)
    return f"{parts.tm_min} {parts.tm_hour} * * *", due


def sleep(stage: Stage, seconds: float) -> None:
    stage.mark("asleep")
    set_clock(stage, seconds)
    stage.mark("awake")


def slept_through(stage: Stage) -> None:
    scheduled(stage, in_five_minutes(), missed="skip")
    sleep(stage, 600)
    stage.after("awake", 6)


def done_by_hand(stage: Stage) -> None:
    name = scheduled(stage, in_five_minutes(), missed="skip")
    sleep(stage, 600)
    stage.after("awake", 5)
    stage.call("POST", "/start", {"name": name})
    stage.mark("begun")
    stage.after("begun", 4)


def made_up_for(stage: Stage) -> None:
    scheduled(stage, in_five_minutes(), missed="run")
    sleep(stage, 600)
    stage.after("awake", 6)


def in_time(stage: Stage) -> None:
    cron, due = soon()
    scheduled(stage, cron, missed="skip")
    sleep(stage, due - time.time() + 1)
    stage.after("awake", 6)


def not_due(stage: Stage) -> None:
    scheduled(stage, in_five_minutes(), missed="skip")
    sleep(stage, 120)
    stage.after("awake", 6)


def left_out(stage: Stage) -> None:
    cron, due = soon()
    name = scheduled(stage, cron, "sleep 300", overlap="skip")
    stage.call("POST", "/start", {"name": name})
    try:
        stage.rest(1)
        sleep(stage, due - time.time() + 1)
        stage.after("awake", 6)
        stage.mark("over")
    finally:
        stage.call("POST", "/stop", {"name": name})  # it would outlive its exporter


def switched_off(stage: Stage) -> None:
    name = scheduled(stage, in_five_minutes(), missed="skip")
    stage.call("POST", "/stop", {"name": name})
    sleep(stage, 600)
    stage.after("awake", 6)


AWAKE: Final = When(mark="awake")
SCENARIOS: Final = (
    Scenario(name="schedule-slept-through", about="the machine slept when a run was due", play=slept_through, own=(), skewed=True,
             must=(Must(gate="cron_missed", severity="warning", of="nightly", since=AWAKE),), seconds=18),
    Scenario(name="schedule-by-hand", about="a run was missed, and somebody starts it", play=done_by_hand, own=(), skewed=True,
             must=(Must(gate="cron_missed", severity="warning", of="nightly", since=AWAKE, until=When(mark="begun")),),
             seconds=22),
    Scenario(name="schedule-made-up", about="a run was due while the machine slept, and begins when it wakes", play=made_up_for,
             own=(), skewed=True, seconds=18, hard="it is late, and it has begun"),
    Scenario(name="schedule-in-time", about="a run is due and begins", play=in_time, own=(), skewed=True, seconds=18),
    Scenario(name="schedule-not-due", about="the machine slept, and nothing was due", play=not_due, own=(), skewed=True,
             seconds=18),
    Scenario(name="schedule-left-out", about="the run before still goes on", play=left_out, own=(), skewed=True,
             must=(Must(gate="cron_missed", severity="low", of="nightly", since=AWAKE, until=When(mark="over")),),
             may=(May(gate="cron_missed", of="nightly", since=AWAKE),), seconds=20),
    Scenario(name="schedule-switched-off", about="somebody had switched the schedule off", play=switched_off, own=(), skewed=True,
             seconds=18, hard="it was due, and nobody wanted it"),
)  # fmt: skip
