"""What a refresh of each dashboard costs Prometheus: every query of every panel and every rule, on a real one, with 30, 300, 1,000
and 3,000 processes.

    python -m bench.dashboards [--processes 30 300 1000 3000] [--rounds 8] [--refreshes 40] [--only UID]

Half of the processes run, half have ended, one in twenty of the running has a condition, a third belongs to a parent. Prometheus
scrapes them and evaluates the rules of the dashboards as in the stack; then it is started again on what it has stored, without
anything to do but to answer, and asked each query and each rule at the moment of the last evaluation, and then whole refreshes, one
dashboard after the other. What counts is the CPU time that this takes, the mean of so many rounds: unlike the time on the clock it
hardly depends on what else the machine does (a busy one adds up to a half, by cold caches). Every now and then Prometheus collects
garbage, for some 150 ms: the mean of many refreshes has its share of that, the median has none, and what it falls on among single
queries and rules is chance. The target is 100 ms for a refresh with 1,000 processes. What hours of history add to a query over a
range is not in it. A table and JSON go to stdout, the JSON to bench/results/ too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml
from bench.exposition import World, filled
from grafana.asking import Asked, asked, seconds, step, substituted, time_range, values

from headway.collector import Collector
from headway.model import Done, Failed, Running, State
from headway.view import View

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "grafana" / "dashboards"
RULES: Final = ROOT / "prometheus" / "rules"
OURS: Final = "dashboards.yml"  # the others are those of the alerts, and of headway trends
USUAL_INTERVAL: Final = "5s"  # evaluation_interval of prometheus.yml
# What is recorded rarely is recorded in haste, or it would not be there when it is measured. It is counted at its own interval.
HASTE: Final = ("interval: [1-9]\\d+s", "interval: 4s")
# Beside the view that a dashboard opens with: what is chosen in one of its variables.
CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "headway-active": {"project": "project-3"},
    "headway-history": {"project": "project-3"},
    "headway-trends": {"name": "Job number 7"},
}
TARGET_MS: Final = 100.0
SETTLED: Final = 12.0  # s of history that graphs and rules have before anything is measured


class Usual(World):
    """Few have a condition, as it should be; a third belongs to a parent that still runs. They began, and ended, in the last half
    hour."""

    def _view(self, n: int, state: State) -> View:
        began = time.time() - 60 - 37 * n % 1700
        if isinstance(state, Running):
            state = replace(state, started_at=began)
        elif isinstance(state, Done | Failed):
            state = replace(state, started_at=began - 900, finished_at=began)
        view = super()._view(n, state)
        parent = f"01977f3e-4a5b-7c6d-8e9f-{n - n % 10:012d}" if n % 10 in (1, 2, 3) else None
        return replace(view, process=replace(view.process, spec=replace(view.process.spec, parent_id=parent, created_at=began - 1)))

    def _moved(self, view: View) -> View:
        moved = super()._moved(view)
        return moved if self.random.random() < 0.05 else replace(moved, conditions=(), blocked_by=())


class Served:
    """The page of an exporter with so many processes; figures change every two seconds."""

    def __init__(self, processes: int) -> None:
        self.world = Usual(processes // 2, processes - processes // 2, max(5, processes // 20), seed=1)
        self.world.now = time.time()
        self.collector: Collector = filled(self.world)
        self.lock = threading.Lock()
        self.told = 0.0

    def page(self) -> bytes:
        with self.lock:
            if time.monotonic() - self.told > 1.5:
                self.world.tick()
                self.world.now = time.time()
                for view in self.world.running:
                    self.collector.put(view)
                self.told = time.monotonic()
            return self.collector.page()[0]


@contextmanager
def serving(processes: int) -> Iterator[int]:
    """The port of a stand-in for an exporter."""
    served = Served(processes)

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # Prometheus ends in the middle of a scrape
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def call(url: str, parameters: Mapping[str, Any]) -> bytes:
    with urllib.request.urlopen(url, urllib.parse.urlencode(parameters).encode(), timeout=60) as answer:
        return bytes(answer.read())


class Prometheus:
    """One with its data in `folder`, which can be started again with another configuration."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.binary, self.folder = binary, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, config: Mapping[str, Any]) -> None:
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
        places = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{self.port}")
        with (self.folder / "log").open("ab") as log:
            self.child = subprocess.Popen([self.binary, *places], cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.ask("1") is None:
            if time.monotonic() > deadline:
                raise SystemExit(f"Prometheus does not answer:\n{(self.folder / 'log').read_text()[-1000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        if self.child is not None:
            self.child.terminate()
            self.child.wait(60)

    def ask(self, expr: str) -> float | None:
        """The value of its first row; None for no rows or no answer."""
        try:
            found = json.loads(call(f"{self.url}/api/v1/query", {"query": expr}))["data"]["result"]
        except OSError:
            return None
        if isinstance(found, list) and found and isinstance(found[0], dict):
            return float(found[0]["value"][1])
        return float(found[1]) if found else None

    def cpu(self) -> float:
        """CPU time of all its threads so far (s)."""
        assert self.child is not None
        total = 0
        for task in Path(f"/proc/{self.child.pid}/task").iterdir():
            with suppress(OSError):  # that thread has just ended
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def refresh(self, questions: Sequence[tuple[str, Mapping[str, Any]]]) -> float:
        """CPU time in ms of asking all of them once."""
        before = self.cpu()
        for where, parameters in questions:
            call(f"{self.url}/api/v1/{where}", parameters)
        return 1000 * (self.cpu() - before)

    def cost(self, where: str, parameters: Mapping[str, Any], rounds: int) -> tuple[float, int]:
        """CPU time in ms, and the size of the answer in bytes."""
        size = len(call(f"{self.url}/api/v1/{where}", parameters))
        before = self.cpu()
        for _ in range(rounds):
            call(f"{self.url}/api/v1/{where}", parameters)
        return 1000 * (self.cpu() - before) / rounds, size


def gathered(server: Prometheus, processes: int) -> tuple[int, float]:
    """Lets it scrape and evaluate for a while. The port of what it scraped, and when it last evaluated a rule of the last group."""
    last = rule_groups()[OURS][-1]["rules"][-1]["record"]
    (server.folder / "rules").mkdir()
    for path in RULES.glob("*.yml"):
        (server.folder / "rules" / path.name).write_text(re.sub(*HASTE, path.read_text(encoding="utf-8")), encoding="utf-8")
    with serving(processes) as port:
        server.start(
            {
                "global": {"scrape_interval": "2s", "evaluation_interval": USUAL_INTERVAL},
                "rule_files": ["rules/*.yml"],
                "scrape_configs": [{"job_name": "headway", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
            }
        )
        deadline = time.monotonic() + 120
        while server.ask(f"min(time() - timestamp({last} offset {SETTLED:.0f}s))") is None:
            if time.monotonic() > deadline:
                raise SystemExit("Prometheus has not scraped the processes and evaluated the rules within two minutes")
            time.sleep(0.5)
        at = server.ask(f"max(timestamp({last}))")
        server.stop()
    assert at is not None
    return port, at


def rule_groups() -> dict[str, list[dict[str, Any]]]:
    """Name of a file → its groups."""
    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for path in sorted(RULES.glob("*.yml"))}


def views(boards: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """What each dashboard opens with, and with a choice: its name, the uid, what is chosen."""
    for uid in boards:
        yield uid, uid, {}
        if choice := CHOICES.get(uid):
            yield f"{uid}, {', '.join(choice.values())}", uid, choice


def asked_for(board: Mapping[str, Any], one: Asked, chosen: Mapping[str, str], at: float) -> tuple[str, dict[str, Any]]:
    """The call of the API that Grafana makes for a query at that time."""
    given = values(board, chosen, one.points, one.interval) | {"__from": f"{1000 * (at - time_range(board)):.0f}"}
    parameters: dict[str, Any] = {"query": substituted(one.expr, given)}
    if not one.ranged:
        return "query", parameters | {"time": at}
    return "query_range", parameters | {"start": at - time_range(board), "end": at, "step": step(board, one.points, one.interval)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[30, 300, 1000, 3000])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--refreshes", type=int, default=40, help="whole ones, of each dashboard")
    parser.add_argument("--only", help="uid of one dashboard")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)
    binary = shutil.which("prometheus", path=str(ROOT / ".headway" / "bin")) or shutil.which("prometheus")
    if binary is None:
        print("no prometheus in .headway/bin or on PATH: run make up", file=sys.stderr)
        return 1
    boards = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
    boards = {uid: board for uid, board in boards.items() if options.only in (None, uid)}
    costs: dict[str, dict[str, float]] = {}  # "dashboard / panel / query" → number of processes → ms
    sizes: dict[str, dict[str, int]] = {}  # dashboard → number of processes → bytes
    rules: dict[str, dict[str, float]] = {}  # "group / record or alert" → number of processes → ms of an evaluation
    refreshes: dict[str, dict[str, list[float]]] = {}  # dashboard → number of processes → ms of each
    a_second: dict[str, dict[str, float]] = {}  # group → number of processes → ms in a second
    for processes in options.processes:
        n = str(processes)
        with tempfile.TemporaryDirectory(prefix="headway-bench-") as folder:
            server = Prometheus(binary, Path(folder))
            try:
                port, at = gathered(server, processes)
                server.start({"global": {}})
                chosen = {"instance": f"127.0.0.1:{port}", "id": f"01977f3e-4a5b-7c6d-8e9f-{0:012d}"}
                whole: dict[str, list[tuple[str, dict[str, Any]]]] = {}
                for view, uid, choice in views(boards):
                    sizes.setdefault(view, {})[n] = 0
                    for one in asked(uid, boards[uid]):
                        question = asked_for(boards[uid], one, {**chosen, **choice}, at)
                        whole.setdefault(view, []).append(question)
                        ms, size = server.cost(*question, options.rounds)
                        costs.setdefault(f"{view} / {one.panel} / {one.ref}", {})[n] = round(ms, 2)
                        sizes[view][n] += size
                for _ in range(options.refreshes):
                    for view, asking in whole.items():
                        refreshes.setdefault(view, {}).setdefault(n, []).append(server.refresh(asking))
                for group in (group for groups in rule_groups().values() for group in groups):
                    every = seconds(group.get("interval", USUAL_INTERVAL))
                    for number, rule in enumerate(group["rules"], 1):
                        ms, _ = server.cost("query", {"query": rule["expr"], "time": at}, options.rounds)
                        what = rule.get("record") or f"{rule['alert']} ({number})"
                        rules.setdefault(f"{group['name']} / {what}", {})[n] = round(ms, 2)
                        in_group = a_second.setdefault(group["name"], {})
                        in_group[n] = in_group.get(n, 0.0) + ms / every
            finally:
                server.stop()
    counts = [str(n) for n in options.processes]
    totals = {view: {n: round(statistics.mean(of[n]), 1) for n in counts} for view, of in refreshes.items()}
    medians = {view: {n: round(statistics.median(of[n]), 1) for n in counts} for view, of in refreshes.items()}
    ours = {group["name"] for group in rule_groups()[OURS]}
    all_rules = {
        title: {n: round(sum(ms[n] for name, ms in a_second.items() if (name in ours) is mine), 1) for n in counts}
        for title, mine in (("rules of the dashboards", True), ("rules of alerts and trends", False))
    }
    print(f"{'ms of CPU':64}" + "".join(f"{n:>10}" for n in counts))
    for key, cost in (costs | totals).items():
        print(f"{key:64}" + "".join(f"{cost[n]:10.1f}" for n in counts))
    for view, cost in medians.items():
        print(f"{view + ', median':64}" + "".join(f"{cost[n]:10.1f}" for n in counts))
    for uid, size_of in sizes.items():
        print(f"{uid + ', bytes':64}" + "".join(f"{size_of[n]:10}" for n in counts))
    for record, cost in rules.items():
        print(f"{record[-64:]:64}" + "".join(f"{cost[n]:10.1f}" for n in counts))
    for title, cost in (a_second | all_rules).items():
        print(f"{title + ', in a second':64}" + "".join(f"{cost[n]:10.1f}" for n in counts))
    result = {
        "benchmark": "dashboards",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "prometheus": subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[2],
        "target_ms": TARGET_MS,
        "total_ms": totals,
        "median_ms": medians,
        "bytes": sizes,
        "rules_ms": rules,
        "rules_ms_a_second": all_rules,
        "queries_ms": costs,
        "load": os.getloadavg(),
    }
    print(json.dumps(result))
    if options.only is None:
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "dashboards.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
