"""What reporting costs a script: Reporter and track beside tqdm, rich and a bare attribute store, in one run.

    python -m bench.reporter [--calls 20000] [--rounds 100] [--starts 15]

Each case is a tight loop; its CPU time less that of an empty loop of the same round, per call, is what counts. The cases take turns
in short rounds, with the exporter up (a real one is started) and away (nothing listens at the address). Loops over an iterable are
ten times as long and as rare, so that making the bar hardly counts. The peers draw into /dev/null as often as they would on a
terminal. Then how long importing headway, the first Reporter and each further one take in fresh interpreters. The target is 0.1 µs
for update(); the bound an attribute store, the least that any of them can cost.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import thread_time
from typing import Final

# Started anew as a file of its own, it finds the clone all the same.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bench.harness import Report, exporter, parser

TARGET_NS: Final = 100.0
STATES: Final = ("up", "away")

Case = Callable[[int], None]


class Store:
    """What an attribute store costs, the least that any of them can cost."""

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current = 0


def cases() -> dict[str, Case]:
    """Name → a loop of that many calls. The progress bars are as their users make them, but for where they draw."""
    import rich.console
    import rich.progress
    import tqdm

    from headway import Reporter, track

    nowhere = open(os.devnull, "w")  # noqa: SIM115, PTH123  used until the end
    console = rich.console.Console(file=nowhere, force_terminal=True)
    reporter, attribute = Reporter("update", total=10**9), Store()
    cancellable = Reporter("update, raise_on_cancel", total=10**9, raise_on_cancel=True)
    bar = tqdm.tqdm(total=10**9, file=nowhere)
    progress = rich.progress.Progress(console=console)
    task = progress.add_task("update", total=10**9)

    def empty(calls: int) -> None:
        for _ in range(calls):
            pass

    def store(calls: int) -> None:
        for n in range(calls):
            attribute.current = n

    def update(calls: int) -> None:
        for n in range(calls):
            reporter.update(n)

    def update_cancellable(calls: int) -> None:
        for n in range(calls):
            cancellable.update(n)

    def advance(calls: int) -> None:
        for _ in range(calls):
            reporter.advance()

    def update_line(calls: int) -> None:
        for n in range(calls):
            reporter.update(n, "a line")

    def tracked(calls: int) -> None:
        for _ in track(range(calls), name="track"):
            pass

    def bar_update(calls: int) -> None:
        for _ in range(calls):
            bar.update()

    def bar_loop(calls: int) -> None:
        for _ in tqdm.tqdm(range(calls), file=nowhere):
            pass

    def rich_update(calls: int) -> None:
        for n in range(calls):
            progress.update(task, completed=n)

    def rich_track(calls: int) -> None:
        for _ in rich.progress.track(range(calls), console=console):
            pass

    return {
        "an empty loop": empty,
        "an attribute store": store,
        "headway: update(n)": update,
        "headway: update(n), raise_on_cancel": update_cancellable,
        "headway: advance()": advance,
        "headway: update(n, line)": update_line,
        "headway: for … in track(…)": tracked,
        "tqdm: update()": bar_update,
        "tqdm: for … in tqdm(…)": bar_loop,
        "rich: Progress.update(completed=n)": rich_update,
        "rich: for … in track(…)": rich_track,
    }


def measure(calls: int, rounds: int) -> dict[str, list[float]]:
    """Nanoseconds of CPU per call of each case, a number per round."""
    loops = cases()
    took: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds):
        for name, loop in loops.items():
            iterates = "for …" in name
            if iterates and number % 10:
                continue
            count = calls * 10 if iterates else calls
            started = thread_time()
            loop(count)
            took[name].append((thread_time() - started) / count * 1e9)
    return took


START: Final = """
import sys
from time import perf_counter
a = perf_counter()
from headway import Reporter
b = perf_counter()
first = Reporter("first")
c = perf_counter()
for _ in range(100):
    Reporter("further")
d = perf_counter()
print((b - a) * 1e3, (c - b) * 1e3, (d - c) * 10)
sys.stdout.flush()
import os
os._exit(0)
"""


def starts(count: int, environ: dict[str, str]) -> dict[str, list[float]]:
    """Milliseconds in so many fresh interpreters."""
    found = []
    for _ in range(count):
        child = subprocess.run([sys.executable, "-c", START], env=environ, check=True, capture_output=True, text=True)
        found.append([float(word) for word in child.stdout.split()])
    names = ("from headway import Reporter", "the first Reporter(…)", "a further Reporter(…)")
    return {name: list(column) for name, column in zip(names, zip(*found, strict=True), strict=True)}


def unused() -> str:
    """An address at which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


def peer_of(what: str) -> str:
    return "headway" if what.startswith("headway") else "bound" if what == "an attribute store" else "peer"


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__, rounds=100)
    flags.add_argument("--calls", type=int, default=20_000, help="of a round (default 20,000)")
    flags.add_argument("--starts", type=int, default=15, help="fresh interpreters for import and construction (default 15)")
    flags.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = flags.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure(options.calls, options.rounds)))
        sys.stdout.flush()
        os._exit(0)  # nothing to wait for, and nothing to leave behind
    report = Report("reporter", "What a call costs the script, less an empty loop, with the exporter up and away")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for state in STATES:
            clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADWAY_")}
            with exporter(folder / state) as up:
                environ = clean | {"HEADWAY_URL": up.url if state == "up" else unused(), "HEADWAY_SPOOL": str(folder / "spool")}
                command = [sys.executable, __file__, "--measure", f"--calls={options.calls}", f"--rounds={options.rounds}"]
                child = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
                took = json.loads(child.stdout)
                empty = took.pop("an empty loop")
                for what, times in took.items():
                    beside = empty[:: len(empty) // len(times)]
                    net = [each - base for each, base in zip(times, beside, strict=False)]
                    target = TARGET_NS if what == "headway: update(n)" else None
                    report.add(f"{what}, exporter {state}", "ns", *net, of=peer_of(what), target=target)
                for what, times in starts(options.starts, environ).items():
                    report.add(f"{what}, exporter {state}", "ms", *times)
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
