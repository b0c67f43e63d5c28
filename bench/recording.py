"""Records real jobs: when each of their items was done. What it writes is what bench.eta replays.

    python -m bench.recording [--runs 3] [--only compress] [--folder bench/recordings]

- compress: source files of this Python's site-packages, one after the other, with lzma
- compress_mixed: files of all kinds from there
- tests: a part of Headway's own test suite under pytest; an item is a test
- compile: `go build -a -v net/http` from nothing; an item is a package. Needs go

The folder has three runs of each job, of a machine with 2 cores that others used. Each is a JSON file: what it was, and `ends`,
the seconds from the start at which items were done.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "recordings"
ROOT: Final = Path(__file__).parent.parent
TESTS: Final = ("analysis", "collector", "gates", "masking", "metrics", "progress", "settings")


def compress() -> Iterator[None]:
    """Every sixth source file of site-packages with lzma, in the order of their names."""
    return compressed("*.py", 6)


def compress_mixed() -> Iterator[None]:
    """Every 30th file of site-packages with lzma, libraries too: most of the work is in a few of them, near the beginning."""
    return compressed("*", 30)


def compressed(pattern: str, every: int) -> Iterator[None]:
    import msgspec  # somewhere in site-packages

    for path in sorted(path for path in Path(msgspec.__file__).parents[1].rglob(pattern) if path.is_file())[::every]:
        lzma.compress(path.read_bytes())
        yield None


def tests() -> Iterator[None]:
    """A part of Headway's tests under pytest, one after the other."""
    found = [str(path) for name in TESTS if (path := ROOT / f"tests/test_{name}.py").exists()]
    command = [sys.executable, "-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider", *found]
    yield from lines(command, re.compile(r"\b(PASSED|FAILED|SKIPPED|ERROR)\b +\["))


def build() -> Iterator[None]:
    """go build -a -v net/http, one package after the other."""
    with tempfile.TemporaryDirectory() as cache:
        yield from lines(
            ["go", "build", "-a", "-v", "net/http"], re.compile(r"^[a-z]"), GOCACHE=cache, GOMAXPROCS="1", GOFLAGS="-p=1"
        )


def lines(command: list[str], item: re.Pattern[str], **environ: str) -> Iterator[None]:
    """One for each line of the output that is an item."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environ}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if item.search(line):
                yield None


JOBS: Final[dict[str, Callable[[], Iterator[None]]]] = {
    "compress": compress,
    "compress_mixed": compress_mixed,
    "tests": tests,
    "compile": build,
}


def record(name: str) -> list[float]:
    started = time.monotonic()
    return [round(time.monotonic() - started, 3) for _ in JOBS[name]()]


def read(folder: Path = FOLDER) -> dict[str, list[list[float]]]:
    """The ends of all recorded runs, by job, in the order in which they were made."""
    found: dict[str, list[list[float]]] = {}
    for path in sorted(folder.glob("*.json")):
        said = json.loads(path.read_text())
        found.setdefault(said["job"], []).append(said["ends"])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.recording", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=list(JOBS), action="append")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for run in range(1, options.runs + 1):
        for name in options.only or JOBS:
            if name == "compile" and shutil.which("go") is None:
                print("compile: there is no go here")
                continue
            ends = record(name)
            said = {
                "job": name,
                "what": (JOBS[name].__doc__ or name).strip(),
                "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}",
                "day": time.strftime("%Y-%m-%d"),
                "ends": ends,
            }
            (options.folder / f"{name}-{run}.json").write_text(json.dumps(said) + "\n")
            print(f"{name} {run}: {len(ends)} items in {ends[-1]:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
