"""Every benchmark, one after the other: what `make bench` runs.

    python -m bench [NAME …]

Without names all of those that have a target. Each also runs alone: python -m bench.NAME --help.
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
}
FOLDER: Final = Path(__file__).resolve().parent


def main(arguments: Sequence[str]) -> int:
    known = {name: about for name, about in ALL.items() if (FOLDER / f"{name}.py").exists()}
    unknown = [name for name in arguments if not (FOLDER / f"{name}.py").exists()]
    if unknown or "--help" in arguments:
        print(__doc__, *(f"  {name:<12}{about}" for name, about in known.items()), sep="\n")
        return 2
    codes = {}
    for name in arguments or known:
        print(f"\n── {name}: {known.get(name, '')}", flush=True)
        codes[name] = subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=FOLDER.parent).returncode
    print("\n" + "\n".join(f"{name:<12}{'targets met' if code == 0 else f'exit code {code}'}" for name, code in codes.items()))
    return max(codes.values(), default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
