"""What a refresh of each dashboard costs Prometheus: every query of every panel, on a real one, with 30, 300, 1,000 and 3,000
processes.

    python -m bench.dashboards [--processes 30 300 1000 3000] [--rounds 5] [--only UID] [--all-rules]

Half of the processes run, half have ended, one in twenty of the running has a condition; Prometheus scrapes them and evaluates the
rules of the dashboards as it does in the stack. A query counts with the best of so many rounds, asked one after the other, answers
read in full; the target is 100 ms for all queries of the Overview with 1,000 processes. A table and JSON go to stdout, the JSON to
bench/results/ too.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import yaml
from bench.exposition import World, filled
from grafana.asking import Asked, asked, step, substituted, time_range, values

from headway.collector import Collector
from headway.model import State
from headway.view import View

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "grafana" / "dashboards"
TARGET_MS: Final = 100.0
SETTLED: Final = 12.0  # s of history that graphs and rules have before anything is measured


class Usual(World):
    """Few have a condition, as it should be; a third belongs to a parent that still runs."""

    def _view(self, n: int, state: State) -> View:
        view = super()._view(n, state)
        parent = f"01977f3e-4a5b-7c6d-8e9f-{n - n % 10:012d}" if n % 10 in (1, 2, 3) else None
        return replace(view, process=replace(view.process, spec=replace(view.process.spec, parent_id=parent)))

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


@contextmanager
def prometheus(binary: str, target: int, rules: str) -> Iterator[str]:
    """The address of a Prometheus that scrapes the target and evaluates the rules."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="headway-bench-") as folder:
        config = {
            "global": {"scrape_interval": "2s", "evaluation_interval": "5s"},
            "rule_files": [str(ROOT / "prometheus" / "rules" / rules)],
            "scrape_configs": [{"job_name": "headway", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
        }
        (Path(folder) / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = [binary, "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
        with (Path(folder) / "log").open("wb") as log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as child:
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                child.terminate()


def wait_for_history(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            answer = json.loads(call(f"{url}/api/v1/query", {"query": f"min(time() - timestamp(up offset {SETTLED:.0f}s))"}))
        except OSError:
            answer = {"data": {"result": ()}}
        if answer["data"]["result"]:
            return
        time.sleep(0.5)
    raise SystemExit("Prometheus has not scraped the processes within two minutes")


def measure(url: str, board: Mapping[str, Any], one: Asked, rounds: int, chosen: Mapping[str, str]) -> tuple[float, int]:
    """The best in ms, because what else the machine does is not the question, and the size of the answer in bytes."""
    parameters: dict[str, Any] = {"query": substituted(one.expr, values(board, chosen))}
    took, size = [], 0
    for _ in range(rounds):
        now = time.time()
        where = "query"
        if one.ranged:
            where = "query_range"
            parameters |= {"start": now - time_range(board), "end": now, "step": step(board)}
        started = perf_counter()
        size = len(call(f"{url}/api/v1/{where}", parameters))
        took.append((perf_counter() - started) * 1000)
    return min(took), size


def rule_cost(url: str, best: dict[str, float]) -> None:
    """Lowers the ms of each rule to those of its last evaluation."""
    with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=60) as answer:
        groups = json.load(answer)["data"]["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        if rule["evaluationTime"]:
            best[rule["name"]] = min(best.get(rule["name"], 1e9), round(1000 * rule["evaluationTime"], 1))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[30, 300, 1000, 3000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="uid of one dashboard")
    parser.add_argument("--all-rules", action="store_true", help="evaluate those of the alerts beside them, too")
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
    rules: dict[str, dict[str, float]] = {}
    for processes in options.processes:
        with serving(processes) as port, prometheus(binary, port, "*.yml" if options.all_rules else "dashboards.yml") as url:
            wait_for_history(url)
            chosen = {"instance": f"127.0.0.1:{port}", "id": f"01977f3e-4a5b-7c6d-8e9f-{0:012d}"}
            for uid, board in boards.items():
                for one in asked(uid, board):
                    rule_cost(url, rules.setdefault(str(processes), {}))
                    ms, size = measure(url, board, one, options.rounds, chosen)
                    costs.setdefault(f"{uid} / {one.panel} / {one.ref}", {})[str(processes)] = round(ms, 2)
                    sizes.setdefault(uid, {}).setdefault(str(processes), 0)
                    sizes[uid][str(processes)] += size
    counts = [str(n) for n in options.processes]
    totals = {
        uid: {n: round(sum(ms[n] for key, ms in costs.items() if key.startswith(f"{uid} /")), 1) for n in counts} for uid in boards
    }
    print(f"{'ms':64}" + "".join(f"{n:>10}" for n in counts))
    for key, cost in (costs | totals).items():
        print(f"{key:64}" + "".join(f"{cost[n]:10.1f}" for n in counts))
    for uid, size_of in sizes.items():
        print(f"{uid + ', bytes':64}" + "".join(f"{size_of[n]:10}" for n in counts))
    for group in rules[counts[0]]:
        print(f"{'rule ' + group:64}" + "".join(f"{rules[n][group]:10.1f}" for n in counts))
    result = {
        "benchmark": "dashboards",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "prometheus": subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[2],
        "target_ms": TARGET_MS,
        "total_ms": totals,
        "bytes": sizes,
        "rules_ms": rules,
        "best_ms": costs,
    }
    print(json.dumps(result))
    if options.only is None:
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "dashboards.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
