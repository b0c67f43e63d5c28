"""The exporter goes away in between: nobody becomes stuck or lost because of it, and who is stuck is found again."""

from __future__ import annotations

import signal
from typing import Final

from bench.scenarios.endings import ELSEWHERE, LAST_WORDS
from bench.scenarios.stage import Stage
from bench.scenarios.truth import QUIET_WITHIN, STUCK_AFTER, May, Must, Scenario, When, stuck

# The hanging one is an OS process of its own: its CPU is quiet.
HANGS: Final = "job = reporter('hangs', total=10)\njob.update(3); mark('silent')\nrest()"
WORKS: Final = "job = reporter(total=1000)\nfor n in range(1, 1000):\n    job.update(n); time.sleep(0.5)"


GAP: Final = 32.0  # s; less than 30 without a look are taken for a busy machine


def away(stage: Stage, how: str, seconds: float) -> None:
    stage.script(WORKS)
    stage.script(HANGS, of="hangs")
    stage.after("silent", STUCK_AFTER + QUIET_WITHIN)
    stage.mark("away")
    stage.exporter.stop() if how == "SIGTERM" else stage.exporter.kill()
    stage.rest(seconds)
    stage.mark("starts")
    stage.exporter.start()
    stage.mark("back")
    stage.after("back", STUCK_AFTER + QUIET_WITHIN + 3)


def restarted(stage: Stage) -> None:
    away(stage, "SIGTERM", 0.5)


def killed(stage: Stage) -> None:
    away(stage, "SIGKILL", 2)


def long_away(stage: Stage) -> None:
    away(stage, "SIGKILL", STUCK_AFTER * 1.5)


def ended_meanwhile(stage: Stage) -> None:
    """One ends well and one is killed, while no exporter runs."""
    stage.script("job = reporter(total=3)\njob.update(1)\nwait_for('away')\ntime.sleep(1)\njob.done('all of it'); mark('ended')")
    dies = stage.script("job = reporter('dies', total=3)\njob.update(1)\nrest()", of="dies")
    stage.wait("dies.started")
    stage.after("started", 3)
    stage.exporter.kill()
    stage.mark("away")
    stage.wait("ended")
    dies.child.kill()
    dies.child.wait(10)
    stage.rest(3)
    stage.exporter.start()
    stage.mark("back")
    stage.until("done")
    stage.after("back", LAST_WORDS + 6)


def leased(stage: Stage) -> None:
    """The exporter was away for longer than the lease of a reporter elsewhere, who could not be heard meanwhile."""
    stage.create(host=ELSEWHERE, pid=1, lease=6, type="daemon")
    stage.rest(1)
    stage.exporter.kill()
    stage.rest(8)
    stage.exporter.start()
    stage.mark("back")
    for _ in range(3):
        stage.rest(3)
        stage.update(alive=True)


def stalled(stage: Stage) -> None:
    """The exporter is stopped for longer than it takes for a gap; what was reported meanwhile waits for it."""
    stage.script(WORKS)
    stage.script(HANGS, of="hangs")
    stage.after("silent", STUCK_AFTER + QUIET_WITHIN)
    assert stage.exporter.process is not None
    stage.mark("away")
    stage.exporter.process.send_signal(signal.SIGSTOP)
    stage.rest(GAP)
    stage.exporter.process.send_signal(signal.SIGCONT)
    stage.mark("back")
    stage.after("back", STUCK_AFTER + QUIET_WITHIN + 3)


def late_ones(stage: Stage) -> None:
    """Facts are facts: past its timeout and 3 times its expected duration, before and after."""
    stage.script("job = reporter(timeout=4, expected_duration=2)\nrest()")
    stage.after("started", 8)
    stage.mark("away")
    stage.exporter.stop()
    stage.exporter.start()
    stage.mark("back")
    stage.after("back", 4)


BACK: Final = (
    stuck("critical", of="hangs", until=When(mark="away")),
    stuck("critical", "back", of="hangs"),
)
# It watches from some moment of its start on, which is over when it answers; on a busy machine that takes seconds.
STARTED: Final = (May(gate="stuck", of="hangs", since=When(mark="starts", plus=STUCK_AFTER)),)
AWAY: Final = When(mark="away")
BACK_AGAIN: Final = When(mark="back")
SCENARIOS: Final = (
    Scenario(name="restarted", about="the exporter is restarted by SIGTERM", play=restarted, own=(), must=BACK, may=STARTED,
             seconds=32),
    Scenario(name="exporter-killed", about="the exporter is killed and comes back", play=killed, own=(), must=BACK, may=STARTED,
             seconds=33),
    Scenario(name="long-away", about="the exporter is away for longer than the threshold", play=long_away, own=(), must=BACK,
             may=STARTED, seconds=40, hard="the first that it hears of everyone is older than the threshold"),
    Scenario(name="stalled", about="the exporter stands still for half a minute", play=stalled, own=(), must=BACK,
             may=(May(gate="stuck", of="hangs", since=BACK_AGAIN, until=When(mark="back", plus=1)),), seconds=58,
             hard="it knows of no time between its last look and this one"),
    Scenario(name="ended-meanwhile", about="one ends and one is killed while no exporter runs", play=ended_meanwhile, own=(),
             must=(Must(gate="orphaned", severity="critical", of="dies", since=BACK_AGAIN, within=LAST_WORDS + 3),), seconds=22),
    Scenario(name="away-past-lease", about="away for longer than a lease", play=leased, own=(), seconds=22,
             hard="the reporter spoke, and nobody was there to hear it"),
    Scenario(name="late-as-before", about="overdue before a restart and after it", play=late_ones, own=(), seconds=16,
             must=(Must(gate="overdue", severity="critical", since=When(plus=4), until=AWAY),
                   Must(gate="overdue", severity="critical", since=BACK_AGAIN),
                   Must(gate="time_sink", severity="critical", since=When(plus=6), until=AWAY, within=1.8),
                   Must(gate="time_sink", severity="critical", since=BACK_AGAIN)),
             may=(May(gate="time_sink", since=When(plus=4), until=When(plus=6)),)),
)  # fmt: skip
