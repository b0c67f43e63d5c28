"""What Debian's and Ubuntu's package tools do for us: install when root, or only download, which needs no root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stack.problem import Problem

# As root apt would download as a user of its own, who may not write into the clone.
_SANDBOX = "-oAPT::Sandbox::User=root"


def install(packages: Sequence[str], environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Raises Problem with the line to run when this user may not install, or when it fails."""
    line = f"apt-get install -y {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Problem(f"missing: {', '.join(packages)}. Install it first: sudo {line}")
    say(f"installing {', '.join(packages)}")
    quiet = {**environ, "DEBIAN_FRONTEND": "noninteractive"}
    # An update that fails in part (a source that is away) may still be good enough; the installation tells.
    subprocess.run(("apt-get", "update", "-q"), env=quiet, stdin=subprocess.DEVNULL, capture_output=True)
    command = ("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    done = subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Problem(f"`{line}` failed:\n{done.stderr.strip()}")


def can_download() -> bool:
    return all(shutil.which(tool) for tool in ("apt-get", "dpkg", "dpkg-deb"))


def unpack(packages: Sequence[str], companions: re.Pattern[str], work: Path, root: Path) -> None:
    """Downloads packages, and those they depend on whose names match `companions`, and unpacks them into `root`.

    `work` is a folder of our own for what is needed meanwhile. Raises Problem with apt's last words.
    """
    downloads = work / "deb"
    downloads.mkdir(parents=True, exist_ok=True)
    options = _download_somehow(downloads, packages, work / "apt")
    asked = set(packages)
    while new := _dependencies(downloads, companions) - asked:
        asked |= new
        _download_obtainable(downloads, sorted(new), options)
    for package in sorted(downloads.glob("*.deb")):
        _run(("dpkg", "-x", str(package), str(root)), downloads)
    for folder in (downloads, work / "apt"):
        shutil.rmtree(folder, ignore_errors=True)


def _download_somehow(folder: Path, packages: Sequence[str], own: Path) -> tuple[str, ...]:
    """The options that worked: none, or those for package lists of our own, where the machine's are empty or out of date."""
    try:
        _download(folder, packages, ())
        return ()
    except subprocess.CalledProcessError:
        for part in ("lists/partial", "cache/archives/partial"):
            (own / part).mkdir(parents=True, exist_ok=True)
        options = (f"-oDir::State::lists={own / 'lists'}", f"-oDir::Cache={own / 'cache'}", _SANDBOX)
    try:
        _run(("apt-get", *options, "update"), folder)
        _download(folder, packages, options)
    except subprocess.CalledProcessError as error:
        raise Problem(
            f"apt-get could not download {', '.join(packages)}: {(error.stderr or '').strip().rpartition(chr(10))[2]}"
        ) from None
    return options


def _download(folder: Path, packages: Sequence[str], options: Sequence[str]) -> None:
    _run(("apt-get", *options, _SANDBOX, "download", *packages), folder)


def _download_obtainable(folder: Path, packages: Sequence[str], options: Sequence[str]) -> None:
    """All of them as a rule; one that is not to be had is left out: it only makes a page prettier."""
    try:
        _download(folder, packages, options)
    except subprocess.CalledProcessError:
        for package in packages if len(packages) > 1 else ():
            _download_obtainable(folder, [package], options)


def _dependencies(folder: Path, wanted: re.Pattern[str]) -> set[str]:
    lines = [_run(("dpkg-deb", "-f", str(package), "Depends"), folder) for package in folder.glob("*.deb")]
    return {name for name in re.findall(r"[a-z0-9][a-z0-9+.-]+", " ".join(lines)) if wanted.fullmatch(name)}


def _run(command: Sequence[str], folder: Path) -> str:
    """Its standard output. Raises CalledProcessError."""
    done = subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout
