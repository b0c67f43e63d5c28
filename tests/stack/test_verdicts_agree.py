"""The gates of the exporter and the rules of Prometheus say the same: 300 random histories, told to both.

The seed is new each time and printed; HEADWAY_SEED gives a certain one again. The metrics of all histories are put into blocks of a
real Prometheus, and the expressions of the alerts are asked there for every moment, with their recording rules in them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Final, TextIO

import yaml

from histories import LOOKS, STEP, Look, Verdict
from live_stack import ROOT, free_ports
from stories import told
from waiting import wait_until

HISTORIES: Final = 300
GATES: Final = (
    *("stuck", "time_sink", "bottleneck", "overdue", "zombie", "duplicate", "waiting"),
    *("failed", "timed_out", "orphaned", "failing", "cron_missed"),
)
# Where a moment at the very limit can be told from one beyond it.
EDGES: Final = ("stuck", "time_sink", "overdue", "zombie", "waiting")
SEED: Final = int(os.environ.get("HEADWAY_SEED") or random.SystemRandom().randrange(1_000_000))


def expressions() -> tuple[dict[str, list[tuple[str, str]]], frozenset[str]]:
    """By gate the severities and expressions of its alerts, recording rules written out; and the metrics in them."""
    recorded: dict[str, str] = {}
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((ROOT / "prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                expr = rule["expr"]
                for name in sorted(recorded, key=len, reverse=True):
                    expr = expr.replace(name, f"({recorded[name]})")
                if "record" in rule:
                    recorded[rule["record"]] = expr
                elif rule["labels"]["gate"] in GATES:
                    found.setdefault(rule["labels"]["gate"], []).append((rule["labels"]["severity"], expr))
    wanted: set[str] = set()
    for _, expr in (alert for alerts in found.values() for alert in alerts):
        wanted |= set(re.findall(r"\bheadway_\w+", expr))
        for head, words, tail in re.findall(r'"(headway_\w+)\(([\w|]+)\)(\w*)"', expr):
            wanted |= {head + word + tail for word in words.split("|")}
    return found, frozenset(wanted)


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{ROOT / '.headway/bin'}{os.pathsep}{os.environ['PATH']}")
    assert found is not None, name
    return found


async def played(start: float, wanted: frozenset[str], file: TextIO) -> list[Look]:
    """Plays them all; their metrics go into the file."""
    looks = []
    for number in range(HISTORIES):
        for look in told(number, SEED, start, wanted).play():
            file.writelines(look.lines)
            look.lines.clear()
            looks.append(look)
    file.write("# EOF\n")
    return looks


def asked(url: str, expr: str, start: float) -> dict[float, set[tuple[str, str]]]:
    """By moment: (history, id or name) of every series of the answer."""
    given = {"query": expr, "start": str(start), "end": str(start + (LOOKS - 1) * STEP), "step": str(STEP)}
    body = urllib.parse.urlencode(given).encode()
    with urllib.request.urlopen(f"{url}/api/v1/query_range", body, timeout=60) as answer:
        found: Any = json.load(answer)["data"]["result"]
    moments: dict[float, set[tuple[str, str]]] = {}
    for row in found:
        labels = row["metric"]
        for at, _ in row["values"]:
            moments.setdefault(float(at), set()).add((labels["instance"], labels.get("id") or labels["name"]))
    return moments


def test_gates_and_rules_say_the_same_of_random_histories(tmp_path: Path) -> None:
    print(f"HEADWAY_SEED={SEED}")
    alerts, wanted = expressions()
    assert set(alerts) == set(GATES)
    start = float(int(time.time() - 7200) // 100 * 100)
    text = tmp_path / "metrics"
    with text.open("w") as file:
        looks = asyncio.run(played(start, wanted, file))

    tsdb, url = tmp_path / "tsdb", f"http://127.0.0.1:{free_ports(1)[0]}"
    subprocess.run([tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", text, tsdb], check=True, capture_output=True)
    config = tmp_path / "prometheus.yml"
    config.write_text("{}\n")
    places = (f"--config.file={config}", f"--storage.tsdb.path={tsdb}", f"--web.listen-address={url.removeprefix('http://')}")
    # A metric that is not there now is not there: as after a scrape, of which Prometheus remembers what went missing.
    server = subprocess.Popen([tool("prometheus"), *places, "--query.lookback-delta=2s", "--log.level=error"])
    try:
        wait_until(lambda: ready(url), 30, "Prometheus has read the blocks")
        by_rules: dict[float, set[Verdict]] = {look.at: set() for look in looks}
        for gate, rules in alerts.items():
            for severity, expr in rules:
                for at, found in asked(url, expr, start).items():
                    by_rules[at] |= {(history, who, gate, severity) for history, who in found}
    finally:
        server.terminate()
        server.wait(30)

    by_gates: dict[float, set[Verdict]] = {look.at: set() for look in looks}
    for look in looks:
        by_gates[look.at] |= look.verdicts
    wrong = [
        f"{at - start:g} s: {' '.join(verdict)} is said by {'the exporter' if verdict in by_gates[at] else 'the rules'} alone"
        for at in sorted(by_gates)
        for verdict in sorted(by_gates[at] ^ by_rules[at])
    ]
    positives = Counter(str(gate) for _, _, gate in {(h, who, gate) for said in by_gates.values() for h, who, gate, _ in said})
    edges = Counter(str(gate) for look in looks for gate in look.edges)
    print(f"{HISTORIES} histories, {len(looks)} looks, processes and names that each gate found: {dict(positives)}")
    print(f"found at their very limit: {dict(edges)}")
    assert not wrong, "\n".join([f"HEADWAY_SEED={SEED}: {len(wrong)} disagreements", *wrong[:40]])
    assert {gate for gate in GATES if positives[gate] < 20} == set(), f"HEADWAY_SEED={SEED}: too few positives"
    assert {gate for gate in EDGES if edges[gate] < 5} == set(), f"HEADWAY_SEED={SEED}: too few at a limit"


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
