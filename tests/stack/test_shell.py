"""What a shell reads to work with a stack, and what the stack's own commands make of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stack.layout import Layout
from stack.shell import MARK, taken, write

URLS = {"exporter": "http://127.0.0.1:1", "alertmanager": "http://127.0.0.1:2", "prometheus": "http://127.0.0.1:3"}


def test_what_the_file_said_was_given_by_nobody(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path, state=tmp_path / "state dir", venv=Path(sys.prefix), borrowed=True)
    layout.state.mkdir()
    write(layout, URLS, tmp_path / "secrets")
    script = f". '{layout.shell}' && env -0"
    bare = {"PATH": os.environ["PATH"], "HEADWAY_KEY": "hw_of_something_else"}
    done = subprocess.run(["sh", "-c", script], env=bare, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    assert found["HEADWAY_URL"] == URLS["exporter"] and "HEADWAY_KEY" not in found
    mine = {**found, "HEADWAY_URL": "http://127.0.0.1:9", "HEADWAY_LISTEN": "127.0.0.1:9"}
    names = {name for name in found if name.startswith("HEADWAY_")}
    assert MARK in names and len(names) > 5
    assert set(taken(found)) == names and set(taken(mine)) == names - {"HEADWAY_URL"}
    assert taken({"HEADWAY_URL": "http://127.0.0.1:1"}) == [] and taken({MARK: str(tmp_path / "gone")}) == [MARK]


def test_modules_are_run_by_the_stacks_own_python() -> None:
    """Whatever the PATH says: a benchmark starts exporters by the Python it runs on."""
    code = (
        "from pathlib import Path; from stack.__main__ import python_module; from stack.layout import Layout; "
        f"layout = Layout(Path('.'), Path('.'), Path({sys.prefix!r}), True); "
        "python_module(layout, 'timeit', ['-n1', '-r1', 'import headway, sys; print(sys.executable)'], {'PATH': '/usr/bin:/bin'})"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(f"{sys.executable}\n"), done.stdout + done.stderr
