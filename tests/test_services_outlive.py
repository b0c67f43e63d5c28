"""The proof that what the exporter started does not need it: ten restarts of the exporter under twenty running children."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import Serving
from waiting import wait_until

RESTARTS = 10
LAST = 60  # so many lines, then the end
# Writes a line for every file `step-N` that appears, so that the test says when; ends with a code of its own after the last.
CHILD = """import os, sys, time
name, code = sys.argv[1], int(sys.argv[2])
folder = sys.argv[3]
n = 0
while n < LAST:
    if os.path.exists(f"{folder}/step-{n + 1}"):
        n += 1
        print(f"{name} line {n}", flush=True)
    else:
        time.sleep(0.01)
print("its last word", file=sys.stderr, flush=True)
sys.exit(code)
""".replace("LAST", str(LAST))


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    (tmp_path / "child.py").write_text(CHILD)
    found = Serving(tmp_path)
    yield found
    found.end()


def test_ten_restarts_under_twenty_children(serving: Serving, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    steps.mkdir()
    names = [f"child-{number}" for number in range(20)]
    codes = {name: number % 4 for number, name in enumerate(names)}

    def words(name: str) -> list[str]:
        return [sys.executable, str(tmp_path / "child.py"), name, str(codes[name]), str(steps)]

    serving.start({name: {"command": words(name), "restart": "never", "stop_grace": "1s"} for name in names[:10]})
    ids = {name: serving.until(name, "running")["process_id"] for name in names[:10]}
    for name in names[10:]:
        ids[name] = serving.call("POST", "/track", {"command": words(name), "name": name, "cwd": str(tmp_path)}, 201)["id"]
    pids = {name: serving.process(ids[name])["pid"] for name in names}
    chance = random.Random(4711)
    step = 0
    for number in range(RESTARTS):
        # Some lines are written while it runs, some while it is away; the last ones, and the end, while it is away too.
        for away in (False, True):
            if away and number % 2:
                serving.exporter.kill()
            elif away:
                serving.exporter.stop()
            last = LAST if away and number == RESTARTS - 1 else step + chance.randint(2, 3)
            while step < last:
                step += 1
                (steps / f"step-{step}").touch()
            wait_until(lambda: all(_wrote(serving, ids, name, step) for name in names), 30, f"line {step} of all")  # noqa: B023
        if number < RESTARTS - 1:
            serving.exporter.start()
            for name in names:
                assert serving.process(ids[name])["status"] == "running", (number, name)
                assert serving.process(ids[name])["pid"] == pids[name]
            assert {serving.until(name, "running")["process_id"] for name in names[:10]} == {ids[name] for name in names[:10]}
    wait_until(lambda: not any(_alive(pid) for pid in pids.values()), 30, "the end of all children")
    serving.exporter.start()
    expected = [f"line {n}" for n in range(1, LAST + 1)]
    for name in names:
        found = wait_until(lambda: _ended(serving, ids[name]), 40, f"the end of {name}") or {}  # noqa: B023
        code = codes[name]
        assert (found["status"], found["exit_code"]) == ("failed" if code else "done", code), name
        assert found["error"] == (f"exit code {code}: its last word" if code else None)
        written = _log(serving, ids, name).read_text().split("\n")
        assert [line.removeprefix(f"{name} ") for line in written if line.startswith(name)] == expected
        kept = [line.removeprefix(f"{name} ") for line in found["log_tail"] if line.startswith(name)]
        assert kept == expected, (name, kept)
    for name in names[:10]:
        status = serving.until(name, "error" if codes[name] else "stopped", 30)
        assert (status["last_process_id"], status["restarts"]) == (ids[name], 0)


def _log(serving: Serving, ids: dict[str, str], name: str) -> Path:
    logs = serving.exporter.data_dir / "logs"
    return logs / "services" / f"{name}.log" if int(name.split("-")[1]) < 10 else logs / f"{ids[name]}.log"


def _wrote(serving: Serving, ids: dict[str, str], name: str, step: int) -> bool:
    return f"{name} line {step}\n" in _log(serving, ids, name).read_text()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def _ended(serving: Serving, process_id: str) -> dict[str, Any] | None:
    found = serving.process(process_id)
    return found if found["finished_at"] is not None else None
