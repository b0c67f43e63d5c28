"""Grafana's own transformations for tests/test_transformations.py: `@grafana/data` from npm, as package.json pins it.

Nothing else needs it, so what cannot be had is no problem: these tests are skipped then.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stack.layout import Layout

LEFT_OUT: Final = "the tests of Grafana's transformations are skipped"
# Seconds; it takes 30 as a rule. A registry that does not answer is not waited for longer.
_PATIENCE: Final = 180
# No lock file: it would name the registry. No scripts: nothing in there has to be built.
_INSTALL: Final = (
    *("install", "--no-package-lock", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=2000"),
)


def ensure(layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Installs it once, and anew when package.json changed; says so, or why not. Does nothing when it is there."""
    folder = layout.root / "tests/transforming"
    modules, wanted = folder / "node_modules", _digest(folder)
    stamp = modules / ".headway-installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    path = environ.get("PATH")
    npm = shutil.which("npm", path=path)
    if npm is None or shutil.which("node", path=path) is None:
        say(f"no node and npm on PATH: {LEFT_OUT}")
        return
    say(f"installing Grafana's transformations into {layout.shown(modules)} for tests (once, half a minute, 180 MB)")
    try:
        done = subprocess.run(
            (npm, *_INSTALL),
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        failed = (done.stderr.strip().splitlines() or ["npm failed"])[0] if done.returncode else ""
    except subprocess.TimeoutExpired:
        failed = f"npm was not done within {_PATIENCE} s"
    except OSError as error:
        failed = str(error)
    if failed:
        say(f"{failed} ({LEFT_OUT})")
        return
    stamp.write_text(wanted)


def _digest(folder: Path) -> str:
    """Changes with the versions that are pinned."""
    return hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()
