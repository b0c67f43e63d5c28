"""What reporting costs a script: Reporter and track beside tqdm, rich and a bare attribute store, in one run.

    python bench/reporter.py [--calls 20000] [--rounds 200] [--starts 15]

Each case is a tight loop; its time less that of an empty loop, per call, is what counts. The cases take turns in short rounds,
and the best and the median round of each are shown, with the exporter up (a real one is started) and down (nothing listens at the
address). Loops over an iterable are ten times as long and as rare, so that making the bar hardly counts. The peers draw into
/dev/null as often as they would on a terminal. Then how long importing headway, the first Reporter and each further one take in
fresh interpreters. The target is 0.1 µs for update(). A table and JSON go to stdout, the JSON to bench/results/ too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

TARGET_NS: Final = 100.0
STATES: Final = ("up", "down")

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
    """Nanoseconds per call of each case, a number per round."""
    loops = cases()
    took: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds):
        for name, loop in loops.items():
            iterates = "for …" in name
            if iterates and number % 10:
                continue
            count = calls * 10 if iterates else calls
            started = perf_counter()
            loop(count)
            took[name].append((perf_counter() - started) / count * 1e9)
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


def starts(count: int, environ: dict[str, str]) -> dict[str, float]:
    """The best of so many fresh interpreters, in milliseconds."""
    found = []
    for _ in range(count):
        child = subprocess.run([sys.executable, "-c", START], env=environ, check=True, capture_output=True, text=True)
        found.append([float(word) for word in child.stdout.split()])
    names = ("from headway import Reporter", "the first Reporter(…)", "a further Reporter(…)")
    return {name: round(min(column), 3) for name, column in zip(names, zip(*found, strict=True), strict=True)}


@contextmanager
def exporter(folder: Path) -> Iterator[str]:
    """The address of a real exporter."""
    command = [sys.executable, "-m", "headway", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if match := re.search(r"headway is ready at (http://[^ ]*:\d+)", line):
                    yield match[1]
                    return
            raise RuntimeError("the exporter did not start; «headway serve» says why")
        finally:
            process.terminate()
            process.communicate()


def unused() -> str:
    """An address at which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000, help="of a round (default 20,000)")
    parser.add_argument("--rounds", type=int, default=200, help="of each case (default 200)")
    parser.add_argument("--starts", type=int, default=15, help="fresh interpreters for import and construction (default 15)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.calls, options.rounds)))
        sys.stdout.flush()
        os._exit(0)  # nothing to wait for, and nothing to leave behind
    took: dict[str, dict[str, list[float]]] = {}
    began: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for state in STATES:
            clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADWAY_")}
            with exporter(folder / "data") as up:
                environ = clean | {"HEADWAY_URL": up if state == "up" else unused(), "HEADWAY_SPOOL": str(folder / "spool")}
                command = [sys.executable, __file__, "--measure", "--calls", str(options.calls), "--rounds", str(options.rounds)]
                child = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
                took[state] = json.loads(child.stdout)
                began[state] = starts(options.starts, environ)
    net = {state: {what: figures(times, found["an empty loop"]) for what, times in found.items()} for state, found in took.items()}
    print(f"{'ns per call, less the empty loop':<40}{'exporter up':>22}{'exporter down':>22}")
    print(f"{'':<40}{'best':>11}{'median':>11}{'best':>11}{'median':>11}")
    for what in net["up"]:
        row = "".join(f"{net[state][what]['best']:>11.1f}{net[state][what]['median']:>11.1f}" for state in STATES)
        print(f"  {what:<38}{row}" + (f"   target {TARGET_NS:.0f}" if what == "headway: update(n)" else ""))
    print(f"\n{'ms, the best':<40}{'exporter up':>22}{'exporter down':>22}")
    for what in began["up"]:
        print(f"  {what:<38}{began['up'][what]:>22.3f}{began['down'][what]:>22.3f}")
    result: dict[str, Any] = {
        "benchmark": "reporter",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "calls": options.calls,
        "rounds": options.rounds,
        "target_ns": TARGET_NS,
        "ns": net,
        "ms": began,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "reporter.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if all(net[state]["headway: update(n)"]["best"] <= TARGET_NS for state in STATES) else 1


def figures(times: list[float], empty: list[float]) -> dict[str, float]:
    """Best and median, less those of the empty loop; the empty loop itself as it is."""
    base = [0.0, 0.0] if times is empty else [min(empty), median(empty)]
    return {"best": round(min(times) - base[0], 2), "median": round(median(times) - base[1], 2)}


if __name__ == "__main__":
    sys.exit(main())
