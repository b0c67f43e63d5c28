"""Are the verdicts right? Real processes whose truth is known, under a real exporter: what is said of them, and what is missed.

    python -m bench.verdicts [--list] [--only NAME …] [--quick] [--width 14]

Every scenario of bench/scenarios says for each gate of each of its processes whether it must hold, from when on, how severe, and
whom it has to name; whatever is not claimed must never be seen. Thresholds are a tenth of the usual ones (stuck after 6 s instead
of 60), and so are the intervals of reports and samples. The answers of the API are recorded five times a second. A condition before
its time, of another severity or naming somebody else is a false alarm; one that does not come in time, or does not stay, is a miss.
Scenarios run side by side, those about contention one at a time after them. Where the machine was too busy for a truth to come
about (a job that was to write every 5 s could not), there is nothing to judge, and the scenario runs again, twice at most.
A table of precision and recall for each gate and JSON go to stdout, the JSON to bench/results/ too. Target: 1.0 for all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.scenarios import SCENARIOS
from bench.scenarios.theatre import Theatre
from bench.scenarios.truth import GATES, Scenario, Verdict

ATTEMPTS: Final = 3


def chosen(only: Sequence[str], quick: bool) -> list[Scenario]:
    """Raises SystemExit that names what there is not."""
    names = {scenario.name for scenario in SCENARIOS}
    if unknown := sorted(set(only) - names):
        raise SystemExit(f"there is no scenario {unknown[0]}; --list shows all")
    return [s for s in SCENARIOS if (not only or s.name in only) and (not quick or s.quick)]


def listing() -> str:
    lines = []
    for scenario in SCENARIOS:
        claims = ", ".join(f"{m.of + ': ' if m.of else ''}{m.gate} ({m.severity})" for m in scenario.must) or "nothing"
        lines.append(f"{scenario.name:<20} {scenario.about}\n{'':<20} must be said: {claims}")
        if scenario.hard:
            lines.append(f"{'':<20} hard: {scenario.hard}")
    return "\n".join(lines)


def play(scenarios: Sequence[Scenario], folder: Path, width: int) -> dict[str, Verdict]:
    """Side by side, then one at a time; what had nothing to judge once more."""
    found: dict[str, Verdict] = {}

    def tell(scenario: Scenario, verdict: Verdict) -> None:
        found[scenario.name] = verdict
        words = "ok  " if verdict.good else f"void: {verdict.void}" if verdict.void else "WRONG"
        count = f"{len(found)}/{len(scenarios)}"
        print(f"{count:>7}  {words:<5} {scenario.name} ({verdict.seconds:.0f} s)", file=sys.stderr, flush=True)
        for line in verdict.wrong:
            print(f"{'':>15} {line}", file=sys.stderr, flush=True)

    for attempt in range(ATTEMPTS):
        left = [s for s in scenarios if s.name not in found or found[s.name].void]
        if not left:
            break
        with Theatre(folder / f"attempt{attempt}", width, tell) as theatre:
            theatre.play([s for s in left if not s.alone])
            theatre.play_alone([s for s in left if s.alone])
    return found


def table(found: dict[str, Verdict]) -> tuple[str, dict[str, dict[str, float]]]:
    """The text, and by gate what it says."""
    sums = {part: Counter[str]() for part in ("held", "missed", "false_alarms", "silent")}
    for verdict in found.values():
        for part, counter in sums.items():
            counter.update(getattr(verdict, part))
    lines = [
        f"{'gate':<12}{'had to hold':>12}{'missed':>8}{'false alarms':>14}{'rightly silent':>16}{'precision':>11}{'recall':>8}"
    ]
    rows: dict[str, dict[str, float]] = {}
    for gate in GATES:
        held, missed, false, silent = (sums[part][gate] for part in ("held", "missed", "false_alarms", "silent"))
        precision = held / (held + false) if held + false else 1.0
        recall = held / (held + missed) if held + missed else 1.0
        rows[gate] = {
            "had_to_hold": held + missed,
            "missed": missed,
            "false_alarms": false,
            "rightly_silent": silent,
            "precision": round(precision, 4),
            "recall": round(recall, 4),
        }
        lines.append(f"{gate:<12}{held + missed:>12}{missed:>8}{false:>14}{silent:>16}{precision:>11.3f}{recall:>8.3f}")
    return "\n".join(lines), rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.verdicts", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description = __doc__
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run these")
    parser.add_argument("--quick", action="store_true", help="the subset that the tests run")
    parser.add_argument("--width", type=int, default=14, help="how many run side by side (default 14)")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)
    if options.list:
        print(listing())
        return 0
    scenarios = chosen(options.only, options.quick)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is left behind
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headway-verdicts-", ignore_cleanup_errors=True) as name:
        try:
            found = play(scenarios, Path(name), options.width)
        except KeyboardInterrupt:
            print("ended; all processes of the scenarios have been ended too", file=sys.stderr)
            return 130
    seconds = time.monotonic() - began
    text, rows = table(found)
    print(text)
    wrong = {name: verdict.wrong for name, verdict in found.items() if verdict.wrong}
    void = {name: verdict.void for name, verdict in found.items() if verdict.void}
    for name, lines in wrong.items():
        print(f"\n{name}: " + "\n  ".join(lines))
    if void:
        print("\nnot judged, because the truth did not come about: " + "; ".join(f"{name} ({why})" for name, why in void.items()))
    print("\nhard ones:")
    for scenario in scenarios:
        if scenario.hard:
            print(f"  {scenario.name:<20} {'ok' if found[scenario.name].good else 'WRONG':<6} {scenario.hard}")
    result = {
        "benchmark": "verdicts",
        "machine": f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        "cpus": os.cpu_count(),
        "scenarios": len(scenarios),
        "seconds": round(seconds),
        "gates": rows,
        "wrong": wrong,
        "not_judged": void,
    }
    print(json.dumps(result))
    if len(scenarios) == len(SCENARIOS):
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "verdicts.json").write_text(json.dumps(result, indent=1) + "\n")
    return 1 if wrong or void else 0


if __name__ == "__main__":
    sys.exit(main())
