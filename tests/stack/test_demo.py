"""make demo: every kind of script does its work and is seen, and Ctrl-C ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

from live_stack import ROOT, LiveStack, fetch
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
