"""Records real jobs: when each of their items was done. What it writes is what bench.eta replays.

    python -m bench.recording [--runs 3] [--only compress] [--folder bench/recordings]

- compress: source files of this Python's site-packages, one after the other, with lzma
- compress_mixed: files of all kinds from there
- tests: a part of Headway's own test suite under pytest; an item is a test
- compile: `go build -a -v net/http` from nothing; an item is a package. Needs go
- unittest: tests of Python's own library, one after the other
- pages: the documentation of each public module of Python's library, written by pydoc
- bytecode: source files compiled by Python, the library's first, then those of site-packages
- commits: the tree of every third commit of this repository, the oldest first, packed and compressed: the later the larger
- rows: the rows of a picture of the Mandelbrot set: those in the middle take longest
- sweep: linear equations, from few to many unknowns
- database: transactions of 40 rows with keys at random, each on the disk before the next

The folder has three runs of each job, of a machine with 2 cores that others used. Each is a JSON file: what it was, and `ends`,
the seconds from the start at which items were done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import lzma
import os
import platform
import random
import re
import shutil
import sqlite3
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


def unit_tests() -> Iterator[None]:
    """Tests of Python's own library, one after the other."""
    names = ("json", "decimal", "heapq", "statistics", "zipfile", "ast")
    command = [sys.executable, "-m", "unittest", "-v", *(f"test.test_{name}" for name in names)]
    yield from lines(command, re.compile(r"\.\.\. (ok|FAIL|ERROR|skipped|expected failure)"))


def pages() -> Iterator[None]:
    """The documentation of each public module of Python's library, written by pydoc, in the order of their names."""
    loud = {"antigravity", "this", "idlelib", "turtle", "turtledemo"}  # open windows and browsers
    for name in sorted(name for name in sys.stdlib_module_names if name[0] != "_" and name not in loud):
        subprocess.run([sys.executable, "-m", "pydoc", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        yield None


def bytecode() -> Iterator[None]:
    """Every sixth source file of Python's library and then of site-packages, compiled at each level of optimisation."""
    import msgspec  # somewhere in site-packages

    folders = (Path(os.__file__).parent, Path(msgspec.__file__).parents[1])
    for path in [path for folder in folders for path in sorted(folder.rglob("*.py")) if "lib2to3" not in path.parts][::6]:
        with contextlib.suppress(SyntaxError, ValueError):
            for level in range(3):
                compile(path.read_bytes(), str(path), "exec", optimize=level)
        yield None


def commits() -> Iterator[None]:
    """The tree of every third commit of this repository, the oldest first, packed and compressed."""
    known = subprocess.run(["git", "rev-list", "--reverse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for commit in known.stdout.split()[::3]:
        subprocess.run(["git", "archive", "--format=tar.gz", commit], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        yield None


def rows() -> Iterator[None]:
    """The rows of a picture of the Mandelbrot set, from above to below."""
    for y in range(500):
        for x in range(1000):
            z, c, left = 0j, complex(x / 400 - 2, y / 200 - 1.25), 250
            while left and z.real * z.real + z.imag * z.imag < 4:
                z, left = z * z + c, left - 1
        yield None


def sweep() -> Iterator[None]:
    """Linear equations with random coefficients, from 10 to 1,300 unknowns."""
    import numpy as np

    random = np.random.default_rng(1)
    for unknowns in range(10, 1300, 7):
        for _ in range(3):
            np.linalg.solve(random.normal(size=(unknowns, unknowns)), random.normal(size=unknowns))
        yield None


def database() -> Iterator[None]:
    """Transactions of 40 rows with keys at random in SQLite, each on the disk before the next."""
    random_ = random.Random(1)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder, contextlib.closing(sqlite3.connect(Path(folder) / "rows.sqlite")) as rows:
        rows.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID")
        for _ in range(1500):
            with rows:
                rows.executemany("INSERT INTO rows VALUES (?, ?)", [(random_.randbytes(16).hex(), "x" * 200) for _ in range(40)])
            yield None


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
    "unittest": unit_tests,
    "pages": pages,
    "bytecode": bytecode,
    "commits": commits,
    "rows": rows,
    "sweep": sweep,
    "database": database,
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
