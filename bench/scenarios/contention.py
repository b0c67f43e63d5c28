"""Who keeps whom from the CPU. Nothing else may run here. Everything is pinned to one core, so that the outcome does not depend on
how many the machine has.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from bench.scenarios.stage import Stage, usable_cpus
from bench.scenarios.truth import CONTENTION_INTERVAL, May, Must, Scenario, When

SPINNERS: Final = 24
IDLE_WAIT: Final = 0.05  # s per second; half of what counts as waiting
SEEN: Final = 3 * CONTENTION_INTERVAL + 1  # s: a rate needs two samples after the moment
LASTS: Final = SEEN + 3 * CONTENTION_INTERVAL
# It looks at itself: where others on this machine leave it less of the core than a bottleneck takes, there is nothing to judge.
HOG: Final = f"""
pids = [fork(spin) for _ in range({SPINNERS})]
mark("hogs")
def used(): return sum(int(open(f"/proc/{{pid}}/schedstat").read().split()[0]) for pid in pids) / 1e9
while True:
    before, at = used(), time.monotonic()
    time.sleep({CONTENTION_INTERVAL})
    if used() - before < 0.85 * (time.monotonic() - at): mark("short")
"""


def pinned(core: int) -> str:
    return f"os.sched_setaffinity(0, [{core}])\n"


def hog(stage: Stage, of: str = "", core: int | None = None, source: str = HOG) -> None:
    core = usable_cpus()[0] if core is None else core
    stage.script(pinned(core) + f"job = reporter({of!r}, total=10)\n" + source, of=of, own_session=False)
    stage.wait("hogs")


def victim(stage: Stage, of: str, core: int, share: float = 1.0, **more: str) -> None:
    """It computes and reports; where it is starved it does both more slowly."""
    given = "".join(f", {name}={value}" for name, value in more.items())
    source = f"job = reporter({of!r}, total=100000{given})\nfor n in range(100000):\n    work(0.2, {share}); job.update(n)"
    stage.script(pinned(core) + source, of=of, own_session=False)
    stage.wait(f"{of}.started")


def check(stage: Stage) -> None:
    if stage.marks.get("short"):
        stage.excuse = "others took so much of the core that the hog was none"


def alone(stage: Stage) -> None:
    """A whole core for itself; two others sleep."""
    sleepers = [
        stage.script(f"job = reporter({of!r}, type='daemon')\nwhile True: time.sleep(1)", of=of, own_session=False)
        for of in ("sleeper1", "sleeper2")
    ]
    hog(stage, source="mark('hogs')\nspin()")
    while time.time() < stage.marks["hogs"][-1] + LASTS:
        before = [waited(one.pid) for one in sleepers]
        stage.rest(CONTENTION_INTERVAL)
        longest = max(waited(one.pid) - had for one, had in zip(sleepers, before, strict=True)) / CONTENTION_INTERVAL
        if longest > IDLE_WAIT:
            stage.excuse = f"the machine was not idle: one that sleeps waited {longest:.2f} s per second for a core"


def waited(pid: int) -> float:
    """For how long its threads have been ready to run and did not (s)."""
    return sum(int(file.read_text().split()[1]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def starves(stage: Stage) -> None:
    core = usable_cpus()[0]
    for of in ("victim1", "victim2"):
        victim(stage, of, core)
    stage.script("job = reporter('sleeper', type='daemon')\nrest()", of="sleeper", own_session=False)
    hog(stage)
    stage.after("hogs", LASTS)
    check(stage)


def over_again(stage: Stage) -> None:
    """The hog ends its work: what it blocked goes on, and so does it, quietly."""
    victim(stage, "victim", usable_cpus()[0])
    hog(
        stage,
        source=HOG.replace("while True:", f"end = time.monotonic() + {LASTS}\nwhile time.monotonic() < end:")
        + "for pid in pids: os.kill(pid, 9); os.waitpid(pid, 0)\nmark('over')\nrest()",
    )
    stage.after("over", SEEN)
    check(stage)


def other_cores(stage: Stage) -> None:
    """Two starve one another on the second core; the hog has the first for itself and one victim."""
    first, second = usable_cpus()[:2]
    for of in ("elsewhere1", "elsewhere2"):
        victim(stage, of, second)
    victim(stage, "victim", first)
    hog(stage)
    stage.after("hogs", LASTS)
    check(stage)


def untracked(stage: Stage) -> None:
    """The victim starves behind a program nobody tracks, on another core than the tracked hog."""
    first, second = usable_cpus()[:2]
    victim(stage, "victim", second)
    stage.script(pinned(second) + HOG.replace("hogs", "stranger"), of="stranger", own_session=False)
    hog(stage, source="mark('hogs')\nspin()", core=first)
    stage.after("hogs", LASTS)


def own_children(stage: Stage) -> None:
    """Its own workers wait for one another: that is how it was written."""
    hog(
        stage,
        source=f"""
for n in range({SPINNERS}):
    def act(n=n):
        worker = job.child(part(f'worker{{n}}'), id=part(f'worker{{n}}'), total=100)
        for k in range(1, 100): worker.update(k); work(1, 1)
    fork(act)
mark('hogs')
rest()
""",
    )
    stage.after("hogs", LASTS)


def pool(stage: Stage) -> None:
    """The same, but the workers report for themselves, as those of a pool do, and nobody says that they belong to the hog."""
    hog(
        stage,
        source=f"""
from headway import Reporter
for n in range({SPINNERS}):
    def act(n=n):
        worker = Reporter(part(f'worker{{n}}'), id=part(f'worker{{n}}'), total=100)
        for k in range(1, 100): worker.update(k); work(1, 1)
    fork(act)
mark('hogs')
rest()
""",
    )
    stage.after("hogs", LASTS)


def alike(stage: Stage) -> None:
    """Three share a core fairly: each waits, none takes most of it."""
    for of in ("one", "two", "three"):
        victim(stage, of, usable_cpus()[0])
    stage.mark("started")
    stage.after("three.started", LASTS)


def gives_way(stage: Stage) -> None:
    """A hog of the lowest priority takes what is left over; who wants the core gets it at once."""
    victim(stage, "other", usable_cpus()[0], 0.05)
    hog(stage, source="os.nice(19)\nmark('hogs')\nspin()")
    stage.after("hogs", LASTS)


def blocks(names: str, until: When | None = None) -> tuple[Must, ...]:
    return (Must(gate="bottleneck", severity="warning", since=When(mark="hogs"), until=until, within=SEEN, says=re.compile(names)),)


BOTH: Final = r"while starves-\w+-victim[12], starves-\w+-victim[12] wait"
ONE: Final = r"while [\w-]+-victim waits"
CORES: Final = len(usable_cpus())
SCENARIOS: Final = (
    Scenario(name="hog-alone", about="a CPU hog, and nobody waits", play=alone, alone=True, seconds=15,
             hard="it uses a whole core"),
    Scenario(name="starves", about="a CPU hog keeps two others from working", play=starves, alone=True, seconds=16,
             must=blocks(BOTH)),
    Scenario(name="hog-over", about="a CPU hog ends its work", play=over_again, alone=True, seconds=25,
             must=blocks(ONE, When(mark="over")),
             may=(May(gate="bottleneck", since=When(mark="hogs"), until=When(mark="over", plus=CONTENTION_INTERVAL)),)),
    Scenario(name="own-workers", about="a hog and its own workers", play=own_children, alone=True, seconds=16,
             hard="they wait, and only for one another"),
    Scenario(name="pool", about="a hog and workers that it does not name", play=pool, alone=True, seconds=16,
             hard="they wait, and only for one another"),
    Scenario(name="alike", about="three share a core fairly", play=alike, alone=True, seconds=14, hard="all of them wait"),
    Scenario(name="gives-way", about="a hog of the lowest priority", play=gives_way, alone=True, seconds=15,
             hard="it uses nearly a whole core that others use too"),
    *((
        Scenario(name="other-cores", about="a hog is not blamed for who starves on another core", play=other_cores, alone=True,
                 seconds=17, must=blocks(ONE), hard="they wait as long as its victim"),
        Scenario(name="stranger", about="a victim of a program that nobody tracks, on another core", play=untracked, alone=True,
                 seconds=17, hard="someone waits, someone computes, and they have nothing to do with one another"),
    ) if CORES > 1 else ()),
)  # fmt: skip
