"""Every query of every panel, annotation and variable, asked of a real Prometheus that scrapes a real exporter: under the
demonstration, and with what that does not have (services, a schedule, a zombie, a bottleneck, cost). What is named exists there.

All of it can be had within a minute, so nothing is left out but the panels of Loki, which test_dashboards checks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from grafana.asking import Asked, step

from dashboard_names import NO_LABELS, made_labels, named, used_labels
from dashboards import BOARDS, ROOT, expression, questions, without_zero
from headway.services.memory import Memory, Remembered
from running import RunningExporter
from scraping import ask, fetched, prometheus
from waiting import wait_until

pytestmark = pytest.mark.stack

PATIENCE: Final = 90.0
# Stands for the id of a process until it is known whom there is to ask about.
SOME_ID: Final = "some-id"
CHOSEN: Final = {**dict.fromkeys(("kind", "project", "task", "agent", "name"), "(?s:.*)"), "id": SOME_ID}
CREATED: Final = "headway_process_created_timestamp_seconds"
# Of the processes that WORK makes.
TITLES: Final = {
    "Release",
    "↳ Build images",
    "Silent",
    "Later",
    "Import",
    "Graph",
    "Draft",
    "Soon",
    "Undead",
    "Hog",
    "Starving",
    "Asking",
}

WORK: Final = """
import contextlib, itertools, os, signal, subprocess, sys, time
from headway import Client, Reporter
from headway.reporter.client import ApiError

def known(run):
    while True:
        try:
            return Client().get(run.id)
        except ApiError:
            time.sleep(0.1)

release = Reporter("Release", "pipeline", 5, "steps")
release.update(2)
child = release.child("Build images", total=100_000, unit="images")
silent = Reporter("Silent", expected_duration=0.2, timeout=1, thresholds={"stuck_after": 0.5})
silent.log("about to hang")
asking = Reporter("Asking").waiting("approval of the release").__enter__()
later = Reporter("Later", queued=True)
soon = Reporter("Soon", total=1_000_000, unit="rows", expected_duration=100)
with contextlib.suppress(ValueError), Reporter("Import", total=10, unit="rows") as failing:
    failing.update(3)
    raise ValueError("no column: phone")
Reporter("Graph").done("412 nodes merged")
Reporter("nightly", "cron").done("all figures")
spent = {"model": "m-1", "tokens": {"input": 1200, "output": 300}, "cost_dollars": 0.25}
for _ in range(3):
    Reporter("Draft", "subagent", metadata=spent).done()
whose = {"project": "shop", "task": "T-7", "attempt": "2", "agent": "writer", "user": "ann"}
draft = Reporter("Draft", "subagent", 1000, timeout=3600, metadata=spent, **whose)
gone = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
known(Reporter("Undead", pid=gone.pid))
gone.stdin.close()
# On one core, the one much nicer than the other. The threshold is low because others use the machine too.
for name, nice, limits in (("Hog", 0, {"cpu_ratio": 0.2}), ("Starving", 19, {})):
    if os.fork() == 0:
        known(Reporter(name, thresholds=limits))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.nice(nice)
        while os.getppid() != 1:
            sum(range(100_000))
        os._exit(0)
for n in itertools.count(1):
    child.update(n)
    soon.update(n)
    draft.update(n, line=f"word {n}")
    if n % 30 == 10:
        Reporter("Draft", "subagent", metadata=spent).done()
    time.sleep(0.1)
"""


@dataclass(frozen=True)
class Live:
    prometheus: str

    def ids(self) -> list[str]:
        return [row["id"] for row in sorted(ask(self.prometheus, CREATED), key=lambda row: -float(row["value"]))]

    def answer(self, one: Asked) -> list[dict[str, Any]]:
        """Series or rows, as the panel asks for them."""
        expr = without_zero(one.expr)
        if one.ranged:
            now, distance = time.time(), step(BOARDS[one.dashboard], one.points, one.interval)
            over = {"start": now - 10 * distance, "end": now, "step": distance}
            return list(fetched(self.prometheus, "query_range", {"query": expr, **over})["result"])
        return [row for row in ask(self.prometheus, expr) if expr == one.expr or row["value"] > 0]

    def answers(self, one: Asked) -> bool:
        """About any process, where it is about one."""
        some = self.ids() if SOME_ID in one.expr else [SOME_ID]
        return any(self.answer(replace(one, expr=one.expr.replace(SOME_ID, key))) for key in some)

    def labels(self) -> dict[str, set[str]]:
        """Name of a series → the labels that it has."""
        found: dict[str, set[str]] = {}
        for series in fetched(self.prometheus, "series", {"match[]": '{__name__=~".+"}'}):
            found.setdefault(series["__name__"], set()).update(series)
        return found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    with ExitStack() as ending:
        exporter = RunningExporter(folder / "exporter", flags(folder))
        # As an exporter leaves it that stopped ten minutes ago; a run was due five minutes ago.
        exporter.data_dir.mkdir()
        ago = time.time() - 600
        Memory(exporter.data_dir).save({"nightly": Remembered(wanted=True, seen_due=ago, last_run_at=ago - 86_000)})
        exporter.start()
        ending.callback(stop, exporter)
        url = ending.enter_context(prometheus(folder, [f"127.0.0.1:{exporter.port}"]))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**exporter.client_env, "DEMO_SECONDS": "12", "PYTHONPATH": str(ROOT), "PATH": path}
        for what in (("-m", "demo"), ("-c", WORK)):
            out = subprocess.DEVNULL
            child = subprocess.Popen([sys.executable, *what], env=env, cwd=folder, stdout=out, stderr=out, start_new_session=True)
            ending.callback(end, child)
        yield Live(url)


def flags(folder: Path) -> tuple[str, ...]:
    due = time.gmtime(time.time() - 300)
    cron = {"cron": f"{due.tm_min} {due.tm_hour} * * *", "time_zone": "UTC", "missed": "skip"}
    never = {"command": "exit 1", "restart": {"policy": "never"}}
    services = {"web": {"command": "exec sleep 600"}, "shaky": never, "nightly": {"command": "true", "schedule": cron}}
    (folder / "headway.yaml").write_text(json.dumps({"services": services}))
    return ("--sample-interval", "0.5", "--zombie-after", "1", "--waiting-after", "1", "--config", str(folder / "headway.yaml"))


def stop(exporter: RunningExporter) -> None:
    """With its services, which outlive it otherwise."""
    stopping = urllib.request.Request(
        f"{exporter.url}/api/processes/stop-all",
        b"{}",
        {"Content-Type": "application/json", "Authorization": f"Bearer {exporter.key}"},
    )
    urllib.request.urlopen(stopping, timeout=30).close()
    exporter.stop()


def end(child: subprocess.Popen[bytes]) -> None:
    """The demonstration ends what it started, and of the rest everybody is in its group."""
    child.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(20)


def test_every_query_gives_data(live: Live) -> None:
    waiting = questions(CHOSEN)
    assert len({one.dashboard for one in waiting}) == len(BOARDS)

    def answered() -> bool:
        waiting[:] = [one for one in waiting if not live.answers(one)]
        return not waiting

    try:
        wait_until(answered, PATIENCE, "data for every query", interval=0.5)
    except AssertionError:
        raise AssertionError("\n".join(f"{one.dashboard}, {one.panel}, {one.ref}: {one.expr}" for one in waiting)) from None


@pytest.mark.parametrize("uid", BOARDS)
def test_every_variable_has_something_to_choose(live: Live, uid: str) -> None:
    for variable in (v for v in BOARDS[uid]["templating"]["list"] if v["type"] == "query"):
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
        wait_until(lambda metric=metric, label=label: values(live, metric, label), PATIENCE, variable["query"])  # type: ignore[misc]


def values(live: Live, metric: str, label: str) -> list[str]:
    """As Grafana asks for the values of a label of a series."""
    query = urllib.parse.urlencode({"match[]": metric})
    with urllib.request.urlopen(f"{live.prometheus}/api/v1/label/{label}/values?{query}", timeout=30) as answer:
        return list(json.load(answer)["data"])


def test_every_series_and_label_that_is_named_is_there(live: Live) -> None:
    def missing() -> set[str]:
        there = live.labels()
        found: set[str] = set()
        for one in questions(CHOSEN):
            names = named(one.expr)
            known = {label for name in names for label in there.get(name, ())} | made_labels(one.expr) | NO_LABELS
            found |= {f"{one.panel}: {name}" for name in (names - there.keys()) | (used_labels(one.expr) - known)}
        return found

    try:
        wait_until(lambda: not missing(), PATIENCE, interval=0.5)
    except AssertionError:
        raise AssertionError(sorted(missing())) from None


def test_the_overview_shows_what_runs(live: Live) -> None:
    def column(ref: str) -> list[dict[str, Any]]:
        return ask(live.prometheus, expression("headway-overview", ref))

    wait_until(lambda: {row["title"] for row in column("order")} >= TITLES, PATIENCE, "all of WORK")
    said = {row["name"]: row["text"] for row in column("since")}
    assert re.fullmatch(r"Failed.*no column: phone", said["Import"])
    wait_until(lambda: {row["result"] for row in column("result")} >= {"412 nodes merged"}, PATIENCE, "what it achieved")
    wait_until(lambda: any(row["items"].endswith(" images") for row in column("items")), PATIENCE, "its items")
