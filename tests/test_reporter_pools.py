"""Workers of multiprocessing.Pool: the end of its block ends them by a signal, as soon as it has the last result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recording_server import recording_server
from reporting import script_environment

NOWHERE = "http://127.0.0.1:9"


def run(script: str, url: str, spool: Path, *arguments: str) -> list[dict[str, object]]:
    """Runs it and returns what is in the spool then."""
    path = spool.parent / "script.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        env=script_environment(url, spool),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for kept in sorted(spool.glob("*.ready")) for line in kept.read_text().splitlines()]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_last_words_of_a_worker_outlive_it(tmp_path: Path, method: str) -> None:
    script = """
import multiprocessing, sys
from headway import Reporter

def work(i):
    with Reporter("item", id=f"item-{i}") as run:
        run.update(5, line="the last one")
    return i

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with multiprocessing.Pool(2) as pool:
        assert sum(pool.map(work, range(4))) == 6
"""
    kept = run(script, NOWHERE, tmp_path / "spool", method)
    assert {item["id"] for item in kept} == {f"item-{i}" for i in range(4)}
    for item in kept:
        assert (item["status"], item["progress"], item["log"]) == ("done", {"current": 5}, ["the last one"])


def test_what_a_worker_wrote_down_goes_when_it_was_heard(tmp_path: Path) -> None:
    script = """
import multiprocessing, os, pathlib, time
from headway import Reporter

def work(i):
    with Reporter("item", id=f"item-{i}"):
        pass
    deadline = time.monotonic() + 30
    while any(pathlib.Path(os.environ["HEADWAY_SPOOL"]).glob("*.ready")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return i

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        assert sum(pool.map(work, range(4))) == 6
"""
    with recording_server() as server:
        assert run(script, server.url, tmp_path / "spool") == []
        assert (tmp_path / "spool").is_dir(), "something was written down"
        for i in range(4):
            assert server.final(f"item-{i}")["status"] == "done"
