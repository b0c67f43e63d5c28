"""Where the CPU time of a request goes: by file of the exporter, sampled by py-spy while wrk keeps it busy.

    python -m bench.parts [--case patch --case batch] [--rounds 5] [--seconds 6] [--connections 32]

Each figure is the CPU time per request that was spent in a file itself, and in the C functions called from there: the write to the
socket counts as api/protocol.py. What is not in a file of Headway (the server, the event loop, a thread that waits for a lock) is
`others`. It is the share of the samples in which the interpreter was busy, times the CPU time per request that the system counted;
sampling itself makes a request some tenths slower. py-spy has to be allowed to look into another process: as root it is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.api import BATCH_CONNECTIONS, wrk
from bench.harness import Report, Server, exporter, fill, parser

PY_SPY: Final = str(Path(sys.executable).with_name("py-spy"))
RATE: Final = 400  # samples a second
PROCESSES: Final = 2000
LEAST: Final = 0.01  # of the time: what is less is not a line of its own


class Case(NamedTuple):
    script: str
    connections: int | None  # None: as many as are asked for
    prefix: bool = False  # each round creates others


CASES: Final = {
    "patch": Case("patch.lua", None),
    "batch": Case("batch.lua", BATCH_CONNECTIONS),
    "create": Case("create.lua", None, prefix=True),
}


def shares(samples: str) -> dict[str, float]:
    """Of py-spy's raw format, a stack and a count in each line: how much of all was in each file of Headway itself."""
    counts: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[file_of(stack.rpartition(";")[2])] += int(count)
    whole = counts.total()
    return {name: count / whole for name, count in counts.most_common()}


def file_of(frame: str) -> str:
    """`function (path:line)` as the path below headway."""
    path = frame.rpartition("(")[2].rpartition(":")[0]
    _, found, name = path.rpartition("headway/")
    return name if found else "others"


def measure(live: Server, case: Case, seconds: int, connections: int, number: str) -> tuple[dict[str, float], float]:
    """Shares by file, and CPU time per request (µs)."""
    with tempfile.NamedTemporaryFile("r", suffix=".raw") as raw:
        command = [PY_SPY, "record", "--pid", str(live.pid), "--duration", str(seconds - 1), "--rate", str(RATE), "--gil"]
        watching = subprocess.Popen(
            [*command, "--format", "raw", "--output", raw.name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        load = wrk(live, case.script, case.connections or connections, seconds, f"r{number}-" if case.prefix else number)
        _, said = watching.communicate()
        if watching.returncode:
            raise SystemExit(f"py-spy could not look into the exporter (run as root, or allow ptrace):\n{said}")
        return shares(raw.read()), load.cpu


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--case", action="append", choices=CASES, help="what is asked of the exporter (default: all)")
    flags.add_argument("--seconds", type=int, default=6, help="of each round (default 6)")
    flags.add_argument("--connections", type=int, default=32, help="that wrk keeps busy (default 32)")
    options = flags.parse_args(arguments)
    report = Report("parts", f"CPU time of a request by file, in µs; {PROCESSES} processes")
    for name in options.case or CASES:
        case, found = CASES[name], list[tuple[dict[str, float], float]]()
        with tempfile.TemporaryDirectory() as folder, exporter(Path(folder) / name) as live:
            fill(live, PROCESSES)
            for number in range(options.rounds):
                found.append(measure(live, case, options.seconds, options.connections, str(number)))
        report.add(f"{name}: all", "µs", *(cpu for _, cpu in found))
        for file in found[0][0]:
            values = [parts.get(file, 0.0) * cpu for parts, cpu in found]
            if max(values) >= LEAST * max(cpu for _, cpu in found):
                report.add(f"{name}: {file}", "µs", *values)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
