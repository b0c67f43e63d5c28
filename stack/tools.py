"""Prometheus, promtool, Alertmanager and amtool: from PATH, else from the packages of Debian or Ubuntu, unpacked into the clone.

Unpacking needs no root, installs nothing on the machine and starts no service.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stack import apt
from stack.layout import Layout
from stack.problem import Problem

# Command: the package it is in. Debian calls Alertmanager's binary by another name than its authors do.
PACKAGES: Final[Mapping[str, str]] = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
_OTHER_NAMES: Final[Mapping[str, str]] = {"alertmanager": "prometheus-alertmanager"}
# What these packages need of others when unpacked: promtool where it is apart, the scripts and fonts of Prometheus's pages.
_COMPANIONS: Final = re.compile(r"promtool|libjs-.+|fonts-.+")
# Debian's Alertmanager reads its default templates and page from this folder, which no flag changes. It becomes relative to the
# root of the unpacked package, where it is started; same length, or the binary would be damaged.
_ABSOLUTE: Final = b"/usr/share/prometheus/alertmanager"
_RELATIVE: Final = b"usr/share/prometheus/alertmanager/"
_OTHERWISE: Final = "install the packages prometheus and prometheus-alertmanager, or run all in containers: docker compose up -d"


def find(layout: Layout, name: str, environ: Mapping[str, str]) -> str | None:
    """The path of a command: the machine's own first, else the unpacked one."""
    names = [name, _OTHER_NAMES.get(name, name)]
    places = [environ.get("PATH", os.defpath), str(layout.bin)]
    return next((found for place in places for n in names if (found := shutil.which(n, path=place))), None)


def ensure(layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> dict[str, str]:
    """All four commands by name, fetched if they are missing. Raises Problem when they cannot be had."""
    found = {name: find(layout, name, environ) for name in PACKAGES}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        say(f"{', '.join(missing)}: not on PATH; unpacking the distribution's packages into {layout.shown(layout.packages)}")
        _fetch(layout)
        found = {name: find(layout, name, environ) for name in PACKAGES}
    lost = [name for name, path in found.items() if path is None]
    if lost:
        raise Problem(f"{', '.join(lost)} cannot be had here: {_OTHERWISE}")
    return {name: path for name, path in found.items() if path is not None}


def _fetch(layout: Layout) -> None:
    if not apt.can_download():
        raise Problem(f"Prometheus and Alertmanager are not on this machine, and it has no apt-get: {_OTHERWISE}")
    root = layout.packages / "root"
    shutil.rmtree(layout.packages, ignore_errors=True)
    try:
        apt.unpack(sorted(set(PACKAGES.values())), _COMPANIONS, layout.packages, root)
    except Problem as problem:
        raise Problem(f"{problem}. Else {_OTHERWISE}") from None
    # The sources of the time zones: 200 MB that no page reads.
    shutil.rmtree(root / "usr/share/javascript/moment-timezone/data", ignore_errors=True)
    _publish(layout.bin, root)


def _publish(folder: Path, root: Path) -> None:
    """Makes a folder with the four commands, good for a PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    programs, quoted = root / "usr/bin", shlex.quote(str(root))
    for name in ("promtool", "amtool"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(programs / name)
    assets = f"--web.local-assets={quoted}/usr/share/prometheus/web/"
    _script(folder / "prometheus", f'exec {quoted}/usr/bin/prometheus {assets} "$@"')
    binary = programs / "prometheus-alertmanager"
    binary.write_bytes(binary.read_bytes().replace(_ABSOLUTE, _RELATIVE))
    _script(folder / "alertmanager", f'cd {quoted} && exec usr/bin/prometheus-alertmanager "$@"')


def _script(path: Path, line: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n# Runs a command out of an unpacked package. Give it absolute paths.\n{line}\n")
    path.chmod(0o755)
