"""Names whose runs end badly again and again, and names that only look like it. Said of the name, not of one run."""

from __future__ import annotations

import re
from typing import Final

from bench.scenarios.stage import Stage
from bench.scenarios.truth import Must, Scenario, When

# One run after the other, each an OS process of its own: the words are «bad», «good» and «cancelled».
RUNS: Final = """
if len(sys.argv) > 2:
    from headway import Reporter
    job = Reporter(part(), id=f"{part()}-run{sys.argv[2]}", total=2)
    job.update(1)
    time.sleep(0.3)
    if sys.argv[1] == "cancelled": job.cancel("somebody did not want it"); sys.exit(0)
    if sys.argv[1] == "bad": raise RuntimeError("no space left")
    job.done(); sys.exit(0)
mark("started")
for n, how in enumerate(sys.argv[1].split(",")):
    subprocess.run([sys.executable, __file__, how, str(n)], stderr=subprocess.DEVNULL)
    mark(how)
mark("over")
"""


def runs(stage: Stage, *how: str) -> None:
    stage.script(RUNS, ",".join(how))
    stage.wait("over", 60)
    stage.rest(4)


def failing(stage: Stage) -> None:
    runs(stage, *["bad"] * 4)


def once(stage: Stage) -> None:
    runs(stage, "good", "good", "bad", "good", "good")


def cancelled(stage: Stage) -> None:
    runs(stage, *["cancelled"] * 5)


def mended(stage: Stage) -> None:
    runs(stage, *["bad"] * 4, *["good"] * 5)


SAYS: Final = re.compile(r"4 of its last \d runs")
SCENARIOS: Final = (
    Scenario(name="failing", about="four runs in a row fail", play=failing, seconds=11,
             must=(Must(gate="failing", severity="warning", since=When(mark="over", plus=-1), within=4),)),
    Scenario(name="one-bad-run", about="one of five runs fails", play=once, seconds=11),
    Scenario(name="called-off", about="five runs are called off on purpose", play=cancelled, seconds=11,
             hard="none of them reached its end"),
    Scenario(name="mended", about="four runs fail, then five work", play=mended, seconds=16,
             must=(Must(gate="failing", severity="warning", since=When(mark="bad", plus=-1), until=When(mark="over", plus=-1),
                        says=SAYS),)),
)  # fmt: skip
