"""Grafana's transformations are installed once, and whoever cannot have them is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from stack.layout import Layout

from stack import transforming

NPM = """#!/bin/sh
echo "$@" >> calls
mkdir -p node_modules/@grafana/data
"""
FAILS = """#!/bin/sh
echo 'npm error code ENOTFOUND' >&2
exit 1
"""


class Clone:
    """With this npm and a node on PATH, if any; what was said is in `said`."""

    def __init__(self, root: Path, npm: str) -> None:
        self.layout = Layout(root, root / ".headway", root / ".venv", False)
        self.folder = root / "tests/transforming"
        self.folder.mkdir(parents=True)
        (self.folder / "package.json").write_text('{"dependencies": {"@grafana/data": "12.2.0"}}')
        self.bin = root / "bin"
        self.bin.mkdir()
        for name, text in {"npm": npm, "node": "#!/bin/sh\n"}.items() if npm else ():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.said: list[str] = []

    def ensure(self) -> list[str]:
        self.said.clear()
        transforming.ensure(
            self.layout, {"PATH": f"{self.bin}:/usr/bin:/bin" if self.npm_there() else str(self.bin)}, self.said.append
        )
        return self.said

    def npm_there(self) -> bool:
        return (self.bin / "npm").exists()


def test_they_are_installed_once_and_anew_when_the_versions_change(tmp_path: Path) -> None:
    clone = Clone(tmp_path, NPM)
    assert len(clone.ensure()) == 1 and "tests/transforming/node_modules" in clone.said[0]
    assert (clone.folder / "node_modules/@grafana/data").is_dir()
    assert clone.ensure() == [], "there already"
    (clone.folder / "package.json").write_text('{"dependencies": {"@grafana/data": "12.2.1"}}')
    assert len(clone.ensure()) == 1
    calls = (clone.folder / "calls").read_text().splitlines()
    assert len(calls) == 2 and "--no-package-lock" in calls[0] and "--ignore-scripts" in calls[0]


@pytest.mark.parametrize(("npm", "why"), [("", "no node and npm"), (FAILS, "ENOTFOUND")])
def test_whoever_cannot_have_them_is_told_and_goes_on(tmp_path: Path, npm: str, why: str) -> None:
    clone = Clone(tmp_path, npm)
    said = clone.ensure()
    assert why in said[-1] and transforming.LEFT_OUT in said[-1]
    assert not (clone.folder / "node_modules").exists() and clone.ensure(), "tried again the next time"
