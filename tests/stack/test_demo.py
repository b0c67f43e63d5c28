"""make demo: every kind of script does its work and is seen, and Ctrl-C ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from headway import Client
from live_stack import ROOT, LiveStack, fetch
from running import Starter
from waiting import wait_until


def processes(live: LiveStack, state: str) -> dict[str, dict[str, Any]]:
    answer = fetch(f"{live.url('exporter')}/api/processes", group="demo", state=state, limit="50")
    return {process["name"]: process for process in answer["data"]}


def test_it_works_fails_and_goes_silent_as_announced(live: LiveStack) -> None:
    done = live.make("demo", DEMO_SECONDS="6")
    assert done.returncode == 0, done.stdout
    ended = processes(live, "ended")
    assert {name: process["status"] for name, process in ended.items() if process["parent_id"] is None} == {
        "Pack system files": "done",
        "Measure folders": "done",
        "Count lines": "done",
        "Restore backup": "failed",
        "Release notes": "done",
        "Nightly sync": "done",
    }, done.stdout
    assert "ended before" in ended["Restore backup"]["error"]
    steps = {name for name, process in ended.items() if process["parent_id"] == ended["Pack system files"]["id"]}
    assert steps == {"List files", "Hash files", "Compress first half", "Compress second half", "Publish figures"}
    assert int(ended["Count lines"]["summary"].removesuffix(" lines")) > 1000
    assert ended["Measure folders"]["progress"]["current"] == ended["Measure folders"]["progress"]["total"] > 3
    for gate, name in (("stuck", "Nightly sync"), ("waiting", "Release notes")):
        live.wait_for(f'headway_gate_trips_total{{gate="{gate}",name="{name}"}} >= 1')
    assert processes(live, "active") == {}


def test_it_goes_on_while_the_exporter_is_away(start_exporter: Starter, tmp_path: Path) -> None:
    exporter, log = start_exporter(), tmp_path / "demo.log"
    with log.open("w") as file:
        demo = subprocess.Popen(
            [sys.executable, "-m", "demo"],
            cwd=ROOT,
            env={**exporter.client_env, "DEMO_SECONDS": "60"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Nightly sync" in log.read_text(), 30, "the demonstration is seen")
        back = f" s  {exporter.url} is back\n"
        exporter.kill()
        wait_until(lambda: "does not answer (Connection refused)" in log.read_text(), 30, "that nobody answers is said")
        exporter.start()
        wait_until(lambda: back in log.read_text(), 30, "that somebody answers again is said")
        # Its threads are what Ctrl-C does not reach by itself.
        wait_until(lambda: "Compress first half" in log.read_text().partition(back)[2], 60, "what runs is said again")
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(30) == 130
        with Client(exporter.url, exporter.key) as client:

            def left() -> list[str]:
                return [f"{one['name']}: {one['status']}" for one in client.list(group="demo", state="active,orphaned")]

            wait_until(lambda: not left(), 30, "nothing of it is left running")
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()
    said = log.read_text()
    assert said.count("does not answer") == said.count(back) == 1 and "Traceback" not in said, said


def test_it_says_that_there_is_no_exporter() -> None:
    environ = {**os.environ, "HEADWAY_URL": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-m", "demo"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("demo: the exporter at http://127.0.0.1:1 cannot be reached: ")


def test_ctrl_c_ends_all_of_it(live: LiveStack) -> None:
    demo = subprocess.Popen(
        ["make", "demo"], cwd=ROOT, env={**live.environ, "DEMO_SECONDS": "120"}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: {"Nightly sync", "Pack system files"} <= set(processes(live, "active")), 30, "the demonstration runs")
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
        demo.wait(30)
        wait_until(lambda: processes(live, "active") == {}, 30, "nothing of it is left running")
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()
    assert {"Nightly sync", "Pack system files"} <= set(processes(live, "cancelled"))
