"""What the benchmarks measure with and against. wrk is installed, when root; servers are unpacked, because their packages would
start them as services of the machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stack import apt
from stack.layout import Layout
from stack.problem import Problem

# Commands and the packages they are in.
INSTALLED: Final[Mapping[str, str]] = {"wrk": "wrk"}
UNPACKED: Final = ("prometheus-pushgateway", "prometheus-process-exporter")
_NONE: Final = re.compile(r"(?!)")


def path(layout: Layout, environ: Mapping[str, str]) -> str:
    """PATH with everything that was unpacked."""
    return f"{environ.get('PATH', os.defpath)}{os.pathsep}{folder(layout) / 'usr/bin'}"


def folder(layout: Layout) -> Path:
    return layout.state / "bench"


def ensure(layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Gets what is missing, as far as that can be had; the benchmarks say what they had to leave out."""
    missing = [package for command, package in INSTALLED.items() if shutil.which(command) is None]
    try:
        if missing:
            apt.install(missing, environ, say)
    except Problem as problem:
        say(f"{problem} (measurements that need it are left out)")
    absent = [name for name in UNPACKED if shutil.which(name, path=path(layout, environ)) is None]
    if not absent:
        return
    if not apt.can_download():
        say(f"{', '.join(absent)}: not on PATH and no apt-get here: these peers are left out")
        return
    say(f"{', '.join(absent)}: not on PATH; unpacking the distribution's packages into {layout.shown(folder(layout))}")
    try:
        apt.unpack(absent, _NONE, folder(layout) / "work", folder(layout))
    except Problem as problem:
        say(f"{problem} (these peers are left out)")
