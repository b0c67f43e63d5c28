"""Who keeps whom from memory. A control group with little memory makes it scarce for those in it, so that the machine is safe."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.scenarios.contention import LASTS, SEEN
from bench.scenarios.stage import Stage
from bench.scenarios.truth import CONTENTION_INTERVAL, Must, Scenario, When

LIMIT: Final = 96 << 20
PRESSURE: Final = Path("/proc/pressure/memory")
STALLS: Final = 0.15  # of the time; a tenth is what counts as waiting
TAKEN: Final = 58 << 20  # beside it an interpreter and the reader fit, and no more; nobody is to be killed for lack of memory
ROOTS: Final = (("memory.limit_in_bytes", Path("/sys/fs/cgroup/memory")), ("memory.max", Path("/sys/fs/cgroup")))
# It fills its memory, and touches it now and then: too little CPU for a bottleneck.
HOG: Final = f"""
held = bytearray({TAKEN})
for at in range(0, len(held), 4096): held[at] = 1
mark("hogs")
while True:
    for at in range(0, len(held), 1 << 16): held[at] = 2
    time.sleep(0.5)
"""
# It reads pages of a file that no longer fit beside the hog, again and again, with four hands.
READER: Final = """
import mmap, random
size = 64 << 20
with open("table", "wb") as file:
    for _ in range(size >> 20): file.write(os.urandom(1 << 20))
    file.flush(); os.fsync(file.fileno())
file = open("table", "rb")
table = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
def read():
    for _ in range(50): table[random.randrange(size)]
def go_on():
    while True: read()
for _ in range(3): fork(go_on)
job = reporter("reader", total=10 ** 9)
for n in range(10 ** 9):
    read(); job.update(n)
"""


def little_memory() -> tuple[str, Path] | None:
    """Where a control group can be made that limits memory; only root may, and not everywhere."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    for file, root in ROOTS:
        if root.joinpath("cgroup.procs").exists():
            probe = root / f"headway-probe-{os.getpid()}"
            try:
                probe.mkdir()
                usable = (probe / file).exists()
                probe.rmdir()
            except OSError:
                continue
            if usable:
                return file, root
    return None


@contextmanager
def scarce(stage: Stage) -> Iterator[str]:
    """A line that puts a script into a group of little memory."""
    found = little_memory()
    assert found is not None
    file, root = found
    group = root / stage.run_id
    group.mkdir()
    try:
        (group / file).write_text(str(LIMIT))
        yield f"open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
    finally:
        stage.close()
        group.rmdir()


def hog_alone(stage: Stage) -> None:
    """It has most of the memory that there is for it, and nobody else wants any."""
    with scarce(stage) as join:
        stage.script("job = reporter('other', type='daemon')\nwhile True: time.sleep(1)", of="other")
        stage.script(join + "job = reporter(total=10)\n" + HOG)
        stage.after("hogs", LASTS)


def lowered(stage: Stage) -> None:
    """A threshold that everything passes does not make a bottleneck: nobody waits."""
    stage.script("job = reporter('other', type='daemon')\nwhile True: time.sleep(1)", of="other")
    stage.script(
        f"job = reporter(total=10, thresholds={{'memory_ratio': 0.0005}})\nheld = bytearray({TAKEN})\nmark('hogs')\nrest()"
    )
    stage.after("hogs", LASTS)


def starved(stage: Stage) -> None:
    """Beside the hog the pages of a reader do not fit: it reads them from the disk, over and over."""
    with scarce(stage) as join:
        stage.script("job = reporter('outside', type='daemon')\nwhile True: time.sleep(1)", of="outside", own_session=False)
        stage.script(join + READER, of="reader", own_session=False)
        stage.wait("reader.started")
        stage.script(join + "job = reporter(total=10)\n" + HOG, own_session=False)
        stage.after("hogs", CONTENTION_INTERVAL)
        shares = []
        while time.time() < stage.marks["hogs"][-1] + LASTS + SEEN:
            before, at = stalled(), time.monotonic()
            stage.rest(CONTENTION_INTERVAL)
            shares.append((stalled() - before) / (time.monotonic() - at))
        if min(shares) < STALLS:
            stage.excuse = f"the machine was too busy for the reader to stall for memory: {min(shares):.0%} of the time"


def stalled() -> float:
    """For how long anyone on this host has stalled for memory (s), as the kernel counts it."""
    try:
        return int(PRESSURE.read_text().partition("\n")[0].rpartition("total=")[2]) / 1e6
    except OSError:
        return 0.0


READS: Final = re.compile(r"memory at .* while [\w-]+-reader waits for it$")
SCENARIOS: Final = (
    Scenario(name="memory-unclaimed", about="much memory, by a threshold that was lowered; nobody waits", play=lowered, alone=True,
             seconds=15),
    *((
        Scenario(name="memory-alone", about="most of the memory of its control group, and nobody waits", play=hog_alone,
                 alone=True, seconds=16),
        Scenario(name="memory-starves", about="most of the memory, and a reader whose pages no longer fit", play=starved,
                 alone=True, seconds=26,
                 must=(Must(gate="bottleneck", severity="warning", since=When(mark="hogs"), within=SEEN + 4, says=READS),),
                 hard="the reader's own use is small; one outside the group is not concerned"),
    ) if little_memory() and PRESSURE.exists() else ()),
)  # fmt: skip
