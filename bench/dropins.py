"""What a script pays for a bar that reports: the drop-ins beside tqdm and rich themselves, in one run.

    python -m bench.dropins [--calls 100000] [--rounds 40]

Each case is a tight loop; original and drop-in take turns in short rounds, and the best round of each counts. Measured is the CPU
time of the thread that loops, which hardly grows when others use the machine, too. The bars draw into /dev/null as often as they
would on a terminal, and a real exporter is told of them. The target is 100 ns more per iteration or call. A table and JSON go to
stdout, the JSON to bench/results/ too.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import thread_time
from typing import Any, Final, NoReturn

from bench.harness import exporter

TARGET_NS: Final = 100.0
Case = Callable[[int], None]


def cases() -> dict[str, tuple[Case, Case]]:
    """Name → loops of that many iterations: the original, and the drop-in."""
    import rich.console
    import rich.progress
    import tqdm

    import headway.integrations.rich
    import headway.integrations.tqdm

    nowhere = open(os.devnull, "w")  # noqa: SIM115, PTH123  used until the end
    console = rich.console.Console(file=nowhere, force_terminal=True)

    def loop(bar: Any, **how: Any) -> Case:
        def run(calls: int) -> None:
            for _ in bar(range(calls), file=nowhere, **how):
                pass

        return run

    def updates(bar: Any, **how: Any) -> Case:
        def run(calls: int) -> None:
            shown = bar(total=calls, file=nowhere, **how)
            for _ in range(calls):
                shown.update()
            shown.close()

        return run

    def rich_loop(track: Any) -> Case:
        def run(calls: int) -> None:
            for _ in track(range(calls), console=console):
                pass

        return run

    def rich_updates(kind: Any) -> Case:
        def run(calls: int) -> None:
            with kind(console=console) as progress:
                task = progress.add_task("update", total=calls)
                for _ in range(calls // 10):  # it takes ten times as long as the others
                    progress.advance(task)

        return run

    ours, theirs = headway.integrations.tqdm.tqdm, tqdm.tqdm
    return {
        "for … in tqdm(…)": (loop(theirs), loop(ours)),
        "tqdm: update()": (updates(theirs), updates(ours)),
        "for … in tqdm(…, disable=True)": (loop(theirs, disable=True), loop(ours, disable=True)),
        "tqdm(disable=True): update()": (updates(theirs, disable=True), updates(ours, disable=True)),
        "for … in track(…) of rich": (rich_loop(rich.progress.track), rich_loop(headway.integrations.rich.track)),
        "rich: Progress.advance()": (rich_updates(rich.progress.Progress), rich_updates(headway.integrations.rich.Progress)),
    }


def measure(loops: Mapping[str, tuple[Case, Case]], calls: int, rounds: int) -> dict[str, dict[str, float]]:
    """Nanoseconds of original and drop-in, the best round of each, and how much more that is."""
    took: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, pair in loops.items():
            count = calls // 10 if name.startswith("rich: ") else calls
            times = []
            for loop in pair:
                started = thread_time()
                loop(calls)
                times.append((thread_time() - started) / count * 1e9)
            took.setdefault(name, []).append((times[0], times[1]))
    best = {name: [min(times) for times in zip(*found, strict=True)] for name, found in took.items()}
    return {name: {"original": round(a, 1), "drop-in": round(b, 1), "more": round(b - a, 1)} for name, (a, b) in best.items()}


def main() -> NoReturn:
    parser = argparse.ArgumentParser(
        prog="python -m bench.dropins", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=100_000, help="of a round (default 100,000)")
    parser.add_argument("--rounds", type=int, default=40, help="of each case (default 40)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    logging.getLogger("headway").addHandler(logging.NullHandler())  # that the exporter is gone in the end is known
    with tempfile.TemporaryDirectory() as folder, exporter(Path(folder) / "data") as live:
        os.environ |= {"HEADWAY_URL": live.url, "HEADWAY_SPOOL": f"{folder}/spool", "HEADWAY_EXIT_WAIT": "0"}
        found = measure(cases(), options.calls, options.rounds)
    print(f"{'ns per iteration or call':<34}{'original':>12}{'drop-in':>12}{'more':>12}   target {TARGET_NS:.0f} more")
    for name, row in found.items():
        print(f"  {name:<32}" + "".join(f"{row[column]:>12.1f}" for column in ("original", "drop-in", "more")))
    load = os.getloadavg()[0]
    print(f"load of the machine: {load:.1f}")
    result = {
        "benchmark": "dropins",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "load": round(load, 1),
        "calls": options.calls,
        "rounds": options.rounds,
        "target_ns": TARGET_NS,
        "ns": found,
    }
    print(json.dumps(result))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "dropins.json").write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.flush()
    os._exit(0 if all(row["more"] <= TARGET_NS for row in found.values()) else 1)  # the exporter that would be told is gone


if __name__ == "__main__":
    main()
