"""The same command twice, and look-alikes that are meant to be alike."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path
from typing import Final

from bench.scenarios.stage import Stage
from bench.scenarios.truth import Must, Scenario, When

ROWS: Final = "import time\nwhile True:\n    print('row', flush=True); time.sleep(0.5)"


def run_of(stage: Stage, of: str, *flags: str, cwd: Path | None = None) -> None:
    """The same words each time: the command is a file that all of them share."""
    job = stage.folder / "job.py"
    if not job.exists():
        job.write_text(ROWS)
    stage.run("", *flags, of=of, words=[sys.executable, str(job)], cwd=cwd)
    stage.until("running", of)
    stage.mark(f"{of}.started" if of else "started")


def twice(stage: Stage) -> None:
    run_of(stage, "")
    stage.rest(1.5)
    run_of(stage, "second")
    stage.after("second.started", 6)


def three_times(stage: Stage) -> None:
    run_of(stage, "")
    stage.rest(1)
    run_of(stage, "second")
    stage.rest(1)
    run_of(stage, "third")
    stage.after("third.started", 6)


def workers(stage: Stage) -> None:
    """A pool: three workers of one parent run the same command."""
    stage.create(type="pipeline")
    for of in ("worker1", "worker2", "worker3"):
        run_of(stage, of, "--parent", stage.id())
    stage.after("worker3.started", 6)


def elsewhere(stage: Stage) -> None:
    """The same command in two checkouts."""
    run_of(stage, "")
    other = stage.folder / "other"
    other.mkdir()
    run_of(stage, "second", cwd=other)
    stage.after("second.started", 6)


def restart(stage: Stage) -> None:
    """A deployment: the new one runs while the old one is still ending."""
    job = stage.folder / "job.py"
    job.write_text(
        "import signal, sys, time\ndef end(*_):\n    time.sleep(4); sys.exit(0)\nsignal.signal(signal.SIGTERM, end)\n" + ROWS
    )
    run_of(stage, "")
    stage.rest(1)
    threading.Thread(target=lambda: stage.call("POST", f"/{stage.id()}/kill", {"grace": 10}), daemon=True).start()
    stage.until("stopping")
    run_of(stage, "second")
    stage.after("second.started", 6)


def one_after_the_other(stage: Stage) -> None:
    run = stage.script("with reporter(command='make all', total=2) as job:\n    job.update(1); time.sleep(2)")
    stage.wait("started")
    run.child.wait(20)
    stage.script("with reporter('second', command='make all', total=2) as job:\n    job.update(1); time.sleep(2)", of="second")
    stage.after("second.started", 5)


def one_script(stage: Stage) -> None:
    """A script that reports two parts of its work: one command, one OS process."""
    stage.script(
        "first, second = reporter(total=100), reporter('second', total=100)\n"
        "for n in range(1, 100):\n    first.update(n); second.update(n); time.sleep(0.3)"
    )
    stage.after("started", 8)


def other_words(stage: Stage) -> None:
    """The same program with other arguments."""
    for of in ("", "second"):
        job = f"job = reporter({of!r}, total=100)\nfor n in range(1, 100):\n    job.update(n); time.sleep(0.3)"
        stage.script(job, of or "first", of=of)
    stage.wait("second.started")
    stage.after("started", 9)


SCENARIOS: Final = (
    Scenario(name="twice", about="one command runs twice in one folder: the later is the duplicate", play=twice, seconds=11,
             quick=True, must=(Must(gate="duplicate", severity="warning", of="second", since=When(mark="second.started", plus=-0.5),
                        says=re.compile(r"as twice-\w+ \(twice-")),)),
    Scenario(name="three-times", about="three times: both later ones are duplicates", play=three_times, seconds=13,
             must=tuple(Must(gate="duplicate", severity="warning", of=of, since=When(mark=f"{of}.started", plus=-0.5))
                        for of in ("second", "third"))),
    Scenario(name="workers", about="three workers of one parent", play=workers, seconds=12, hard="the same words in one folder"),
    Scenario(name="two-checkouts", about="one command in two folders", play=elsewhere, seconds=11),
    Scenario(name="deployment", about="the new one starts while the old one is ending", play=restart, seconds=14,
             hard="for seconds both run"),
    Scenario(name="again", about="one run after the other", play=one_after_the_other, seconds=10),
    Scenario(name="one-script", about="one script reports two parts of its work", play=one_script, seconds=9),
    Scenario(name="other-arguments", about="one program with different arguments", play=other_words, seconds=10),
)  # fmt: skip
