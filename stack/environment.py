"""The virtual environment with the pinned packages."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack import apt
from stack.layout import Layout
from stack.problem import Problem


def ensure(layout: Layout, extras: str, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """The environment with the package and its extras (such as "exporter,dev"), as constraints.txt pins them.

    Does nothing when that is what it holds already. Raises Problem.
    """
    if layout.borrowed:
        if not (layout.venv / "bin/headway").exists():
            raise Problem(f"VENV={layout.venv} has no bin/headway: install this clone into it, or leave VENV out")
        return
    stamp = layout.venv / f"installed-{extras.replace(',', '-')}"
    wanted = _digest(layout)
    if _holds(layout, stamp, wanted):
        return
    with _alone(layout, say):
        if not _holds(layout, stamp, wanted):  # somebody else has done it meanwhile
            _install(layout, extras, stamp, wanted, environ, say)


def _holds(layout: Layout, stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted and (layout.venv / "bin/headway").exists()


@contextmanager
def _alone(layout: Layout, say: Callable[[str], None]) -> Iterator[None]:
    """Two that install into one environment at a time take each other's files away."""
    folder = os.open(layout.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this clone")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _install(layout: Layout, extras: str, stamp: Path, wanted: str, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    if not (layout.venv / "bin/python").exists():
        _create(layout, environ, say)
    say(f"installing the pinned Python packages into {layout.shown(layout.venv)} (once)")
    pip = (
        str(layout.venv / "bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        "constraints.txt",
    )
    # What builds the package is pinned as well, so it is installed first and not fetched anew into an isolated build.
    _run((*pip, "setuptools", "wheel"), layout, environ)
    _run((*pip, "--no-build-isolation", "-e", f".[{extras}]"), layout, environ)
    for old in layout.venv.glob("installed-*"):
        if old.read_text() != wanted:
            old.unlink()
    stamp.write_text(wanted)


def pin(layout: Layout, environ: Mapping[str, str]) -> str:
    """The text of constraints.txt with the newest versions that pyproject.toml allows, found in an environment made for it."""
    with tempfile.TemporaryDirectory() as folder:
        pip = (f"{folder}/bin/python", "-m", "pip")
        _run((sys.executable, "-m", "venv", folder), layout, environ)
        _run((*pip, "install", "--quiet", "--upgrade", "setuptools", "wheel", ".[exporter,dev]"), layout, environ)
        frozen = _run((*pip, "freeze", "--all"), layout, environ)
    # A version in a tag's form (v0.0.21) is written as pip compares it.
    rows = [line.replace("==v", "==") for line in frozen.splitlines() if not re.match(r"(headway|pip)\b", line)]
    return "".join(f"{row}\n" for row in sorted(rows, key=str.lower))


def _digest(layout: Layout) -> str:
    """Changes with the dependencies, and when the clone was moved (an editable install points to its folder)."""
    text = "".join((layout.root / name).read_text() for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(f"{layout.root}\n{text}".encode()).hexdigest()


def _create(layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    say(f"making the virtual environment {layout.shown(layout.venv)}")
    command = (sys.executable, "-m", "venv", str(layout.venv))
    if not _has_ensurepip():
        apt.install([f"python3.{sys.version_info.minor}-venv"], environ, say)
    try:
        _run(command, layout, environ)
    except Problem:
        shutil.rmtree(layout.venv, ignore_errors=True)
        raise


def _has_ensurepip() -> bool:
    """Debian ships Python without it, and then a virtual environment comes without pip."""
    return subprocess.run((sys.executable, "-c", "import ensurepip"), capture_output=True).returncode == 0


def _run(command: tuple[str, ...], layout: Layout, environ: Mapping[str, str]) -> str:
    """What it prints. Raises Problem with that when it fails."""
    env = {**environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=layout.root, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Problem(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr).strip()}")
    return done.stdout
