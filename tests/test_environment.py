"""The virtual environment of a clone: made once, however many ask for it at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from stack.layout import Layout

from stack import environment
from waiting import wait_until


def test_of_two_at_a_time_one_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a state of its own, as tests of `make up` have."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    layouts = [Layout.of({"STATE_DIR": f"state{number}"}, tmp_path) for number in range(2)]
    installs, go, said = list[str](), threading.Event(), list[str]()

    def install(layout: Layout, extras: str, stamp: Path, wanted: str, *rest: Any) -> None:
        installs.append(extras)
        assert go.wait(30)
        (layout.venv / "bin").mkdir(parents=True)
        (layout.venv / "bin/headway").touch()
        stamp.write_text(wanted)

    monkeypatch.setattr(environment, "_install", install)
    threads = [threading.Thread(target=environment.ensure, args=(layout, "exporter", {}, said.append)) for layout in layouts]
    for thread in threads:
        thread.start()
    wait_until(lambda: installs and said, 30, "that one installs and the other one waits")
    go.set()
    for thread in threads:
        thread.join(30)
    assert installs == ["exporter"] and said == ["waiting for another set-up of this clone"]
