"""Jobs that take as long as expected, longer, and far too long; declared, learned, foreseen; timeouts."""

from __future__ import annotations

import re
from typing import Final

from bench.scenarios.stage import Stage
from bench.scenarios.truth import May, Must, Scenario, When

EXPECTED: Final = 8.0
FORESEEN_WITHIN: Final = 6.0  # s: an estimate needs some items


def lasting(times: float) -> str:
    """A job that ends well after so many times its expected duration."""
    return (
        f"job = reporter(total=1000, expected_duration={EXPECTED})\nend = time.monotonic() + {times * EXPECTED}\nn = 0\n"
        # It says itself that little is left, so that only what has passed is judged.
        "while (left := end - time.monotonic()) > 0:\n"
        "    n += 1; job.update(n); job.estimate(eta_seconds=0.1); time.sleep(min(left, 0.5))\n"
        "job.done(); mark('ended')"
    )


def nearly(stage: Stage) -> None:
    stage.script(lasting(1.9))
    stage.wait("ended", 40)
    stage.rest(1)


def twice(stage: Stage) -> None:
    stage.script(lasting(2.1))
    stage.wait("ended", 40)
    stage.rest(1)


def nearly_thrice(stage: Stage) -> None:
    stage.script(lasting(2.9))
    stage.wait("ended", 40)
    stage.rest(1)


def thrice(stage: Stage) -> None:
    stage.script(lasting(3.2))
    stage.wait("ended", 50)
    stage.rest(1)


def foreseen(stage: Stage) -> None:
    """One item in 0.4 s of 100: it will take 40 s, not the 15 that are allowed; nobody said so."""
    stage.script("job = reporter(total=100, expected_duration=7.5)\nfor n in range(1, 100):\n    time.sleep(0.4); job.update(n)")
    stage.after("started", 13)


def on_pace(stage: Stage) -> None:
    """It will take 1.25 times what was expected, and that can be foreseen: less than 2, on a busy machine too."""
    stage.script(
        "from headway import Reporter\nmark('beat'); job = reporter(total=50, expected_duration=8)\n"
        "for n in range(1, 51):\n    time.sleep(0.2); job.update(n); mark('beat')\njob.done()"
    )
    stage.after("started", 13)


EARLIER: Final = (
    "from headway import Reporter\nname, n = part(), sys.argv[1]\n"
    "with Reporter(name, id=f'{name}-run{n}') as job:\n    time.sleep(4)"
)


def learned(stage: Stage) -> None:
    for number in range(3):
        stage.script(EARLIER, str(number), of="earlier")
    for number in range(3):
        stage.until("done", f"run{number}")
    stage.script("job = reporter()\nwork(1000, 0.05)")
    stage.after("started", 13.5)


def moments(stage: Stage) -> None:
    for number in range(3):
        stage.script(EARLIER.replace("(4)", "(0.2)"), str(number), of="earlier")
    for number in range(3):
        stage.until("done", f"run{number}")
    stage.script("job = reporter()\nwork(8, 0.05)\njob.done()")
    stage.after("started", 10)


def too_few(stage: Stage) -> None:
    for number in range(2):
        stage.script(EARLIER, str(number), of="earlier")
    for number in range(2):
        stage.until("done", f"run{number}")
    stage.script("job = reporter()\nwork(1000, 0.05)")
    stage.after("started", 13.5)


def failed_runs_teach_nothing(stage: Stage) -> None:
    """Three runs that failed after a moment do not make a usual duration."""
    for number in range(3):
        stage.script(EARLIER.replace("time.sleep(4)", "time.sleep(1); raise SystemExit(3)"), str(number), of="earlier")
    for number in range(3):
        stage.until("failed", f"run{number}")
    stage.script("job = reporter()\nwork(1000, 0.05)")
    stage.after("started", 13)


def daemon(stage: Stage) -> None:
    """How long daemons lived before says nothing of how long one should."""
    for number in range(3):
        stage.script(EARLIER.replace("id=", "type='daemon', id=").replace("(4)", "(2)"), str(number), of="earlier")
    for number in range(3):
        stage.until("done", f"run{number}")
    stage.script("job = reporter(type='daemon')\nrest()")
    stage.after("started", 13)


def overdue(stage: Stage) -> None:
    stage.script("job = reporter(total=1000, timeout=5)\nfor n in range(1, 1000):\n    job.update(n); time.sleep(0.3)")
    stage.after("started", 11)


def ended_for_it(stage: Stage) -> None:
    """With grace it takes a second and a half to go."""
    stage.run(
        "def end(*_):\n    print('cleaning up', flush=True); time.sleep(1.5); sys.exit(1)\nsignal.signal(signal.SIGTERM, end)\n"
        "mark('started')\nwhile True:\n    print('row', flush=True); time.sleep(0.3)",
        "--timeout", "5s", "--kill-on-timeout", "--grace", "4s",
    )  # fmt: skip
    stage.after("started", 12)


def just_in_time(stage: Stage) -> None:
    stage.script("job = reporter(timeout=6)\nwork(4.5, 0.1)\njob.done(); mark('ended')")
    stage.wait("ended")
    stage.after("started", 9)


def ended_while_paused(stage: Stage) -> None:
    """Time goes on while it is paused: past its timeout it is overdue, paused or not."""
    stage.script("job = reporter(timeout=6)\nrest()")
    stage.after("started", 2)
    stage.call("POST", f"/{stage.id()}/pause")
    stage.after("started", 11)


def sink(severity: str, times: float, until: float | None = None, expected: float = EXPECTED, says: str = "") -> Must:
    last = When(mark="ended") if until is None else When(plus=until * expected)
    return Must(gate="time_sink", severity=severity, since=When(plus=times * expected), until=last, within=1.5,
                says=re.compile(says) if says else None)  # fmt: skip


SCENARIOS: Final = (
    Scenario(name="1.9x", about="ends at 1.9 times its expected duration", play=nearly, seconds=17,
             hard="a tenth before the limit"),
    Scenario(name="2.1x", about="ends at 2.1 times its expected duration", play=twice, seconds=18,
             must=(sink("warning", 2),), hard="it holds for less than a second"),
    Scenario(name="2.9x", about="ends at 2.9 times its expected duration: a warning, never critical", play=nearly_thrice,
             must=(sink("warning", 2),), seconds=25, hard="a tenth before the limit"),
    Scenario(name="3.2x", about="ends at 3.2 times its expected duration: critical in the end", play=thrice,
             must=(sink("warning", 2, 3), sink("critical", 3)), seconds=27),
    Scenario(name="foreseen", about="its pace says that it will take five times as long", play=foreseen, seconds=14,
             must=(Must(gate="time_sink", severity="low", since=When(), within=FORESEEN_WITHIN, says=re.compile("foreseen")),),
             hard="nothing is wrong yet; it rests on the estimate"),
    Scenario(name="on-pace", about="its pace says that it will take 1.25 times as long", play=on_pace, seconds=14, beats=0.4,
             hard="the estimate is rough after the first items"),
    Scenario(name="learned", about="from 10 s on, then at 3 times what three earlier runs took", play=learned, seconds=21,
             must=(Must(gate="time_sink", severity="warning", since=When(plus=10), until=When(plus=12), within=1.5,
                        says=re.compile("usual")),
                   Must(gate="time_sink", severity="critical", since=When(plus=12.2), within=1.3, says=re.compile("usual"))),
             may=(May(gate="time_sink", since=When(plus=11.8)),)),
    Scenario(name="moments", about="eight seconds, where three earlier runs took a fifth of one", play=moments, seconds=14,
             hard="forty times as long as usual, and over before anybody could look"),
    Scenario(name="too-few-runs", about="two earlier runs are too few to expect anything", play=too_few, seconds=20),
    Scenario(name="failed-runs", about="runs that failed at once do not count as usual", play=failed_runs_teach_nothing, seconds=18,
             hard="all it ever did was to end quickly"),
    Scenario(name="old-daemon", about="a daemon lives longer than those before it", play=daemon, seconds=18),
    Scenario(name="overdue", about="past its timeout, nobody ends it", play=overdue, seconds=12, quick=True,
             must=(Must(gate="overdue", severity="critical", since=When(plus=5)),)),
    Scenario(name="ended-for-timeout", about="ended for its timeout; it takes a moment to go", play=ended_for_it, seconds=14,
             must=(Must(gate="timed_out", severity="critical", since=When(plus=6.5), within=5),),
             may=(May(gate="overdue", since=When(plus=5), until=When(plus=9)),),
             hard="between its timeout and its end it is overdue, and only then timed out"),
    Scenario(name="just-in-time", about="ends a moment before its timeout", play=just_in_time, seconds=10),
    Scenario(name="overdue-paused", about="paused, and past its timeout", play=ended_while_paused, seconds=12,
             must=(Must(gate="overdue", severity="critical", since=When(plus=6)),), hard="it rests on purpose, and is late"),
)  # fmt: skip
