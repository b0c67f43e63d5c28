"""Every benchmark, one after the other: what `make bench` runs.

    python -m bench [NAME …]

Without names all but the long ones. Each also runs alone: python -m bench.NAME --help.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

# In this order; what each answers in a few words.
ALL: Final[Mapping[str, str]] = {
    "api": "updates, batches and durable creations",
    "scrape": "/metrics through HTTP",
    "exposition": "/metrics without HTTP, beside client_python",
    "load": "everything at once",
    "sampling": "reading OS processes",
    "exits": "noticing that one ended",
    "reporter": "what reporting costs a script",
    "hook": "what a hook costs a coding agent",
    "store": "the disk",
    "stream": "many followers of the stream",
    "eta": "how wrong the time left is",
    "forecast": "when a time sink is foreseen",
    "dropins": "what tqdm, rich and logging pay",
}
# By their names alone: most take many minutes each, and none is part of what is promised.
LONG: Final[Mapping[str, str]] = {
    "parts": "where the time of a request goes",
    "dashboards": "what a refresh costs a real Prometheus",
    "verdicts": "real processes with known truth, and what is said of them",
}
MISSED: Final = 1  # what a benchmark ends with
FOLDER: Final = Path(__file__).resolve().parent


def main(arguments: Sequence[str]) -> int:
    known = {**ALL, **LONG}
    unknown = [name for name in arguments if name not in known]
    if unknown:
        print(*(f"  {name:<12}{about}" for name, about in known.items()), sep="\n")
        if "--help" not in unknown:
            print(f"there is no benchmark {unknown[0]!r}; those that there are stand above", file=sys.stderr)
        return 2
    codes = {}
    for name in arguments or ALL:
        print(f"\n── {name}: {known[name]}", flush=True)
        codes[name] = subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=FOLDER.parent).returncode
    print()
    for name, code in codes.items():
        words = {0: "targets met", MISSED: "a target missed"}.get(code, f"failed with exit code {code}")
        print(f"{name:<12}{words}")
    return max(codes.values(), default=0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
