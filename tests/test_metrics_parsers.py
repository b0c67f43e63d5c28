"""Prometheus's own parsers and client_python's read what we write, for hundreds of records with hostile texts, and read it back
as it was."""

from __future__ import annotations

import ast
import os
import random
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from headway.collector import Collector
from headway.metrics.own import OwnMetrics
from metrics_world import Maker, Series, cleaned, expected, promtool

RECORDS = 400
OURS = (
    "headway_process_",
    "headway_finished",
    "headway_duration",
    "headway_last_",
    "headway_gate_",
    "headway_cost_",
    "headway_recent_",
    "headway_cpu_",
    "headway_io_",
    "headway_tokens_",
)
Wanted = dict[Series, float]


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("HEADWAY_TEST_SEED", random.SystemRandom().randrange(2**32)))


@pytest.fixture(scope="module")
def world(seed: int) -> tuple[Collector, Wanted]:
    print(f"HEADWAY_TEST_SEED={seed}")
    maker = Maker(seed)
    views = [maker.view() for _ in range(RECORDS)]
    # Names are told apart by what UTF-8 can carry of them: test_collector has those that are not.
    names = [maker.stats(name) for name in {cleaned(view.process.name): view.process.name for view in views[:60]}.values()]
    collector = Collector(OwnMetrics())
    for view in views:
        collector.put(view)
    for stats in names:
        collector.put_name(stats)
    return collector, expected(views, names)


def read(families: Iterable[Metric]) -> Wanted:
    found: Wanted = {}
    for family in families:
        for sample in family.samples:
            if sample.name.startswith(OURS):
                series = sample.name, tuple(sorted(sample.labels.items()))
                assert series not in found, f"{series} twice"
                found[series] = float(sample.value)
    return found


def test_text_is_read_back_by_client_python(world: tuple[Collector, Wanted], seed: int) -> None:
    collector, wanted = world
    page, _, _ = collector.page()
    assert read(parse_text(page.decode())) == wanted, f"seed {seed}"


def test_openmetrics_is_read_back_by_client_python(world: tuple[Collector, Wanted], seed: int) -> None:
    collector, wanted = world
    page, _, _ = collector.page("application/openmetrics-text; version=1.0.0")
    assert page.endswith(b"\n# EOF\n")
    families = parse_openmetrics(page.decode())  # type: ignore[no-untyped-call]
    assert read(families) == wanted, f"seed {seed}"


def test_promtool_finds_nothing_to_say(world: tuple[Collector, Wanted], seed: int) -> None:
    page, _, _ = world[0].page()
    checked = subprocess.run([promtool(), "check", "metrics"], input=page, capture_output=True, timeout=60)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b""), f"seed {seed}"


def test_openmetrics_is_read_back_by_prometheus(world: tuple[Collector, Wanted], seed: int, tmp_path: Path) -> None:
    """Through Prometheus's OpenMetrics parser into a block of its database, and out again."""
    collector, wanted = world
    page, _, _ = collector.page("application/openmetrics-text; version=1.0.0")
    stamped = re.sub(rb"^([^#\n].*)$", rb"\1 1790000000", page, flags=re.MULTILINE)
    (tmp_path / "page").write_bytes(stamped)
    blocks = tmp_path / "blocks"
    made = [promtool(), "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "page"), str(blocks)]
    subprocess.run(made, check=True, capture_output=True, timeout=120)
    (blocks / "wal").mkdir()  # dump wants one, create-blocks-from makes none
    dumped = subprocess.run([promtool(), "tsdb", "dump", str(blocks)], check=True, capture_output=True, timeout=120).stdout
    found: Wanted = {}
    for line in dumped.decode().splitlines():
        labels, value, _ = line.rsplit(" ", 2)
        # Go and Python quote strings alike as far as Go goes.
        pairs = {key: ast.literal_eval(text) for key, text in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', labels)}
        name = pairs.pop("__name__")
        if name.startswith(OURS):
            found[name, tuple(sorted(pairs.items()))] = float(value)
    assert found == wanted, f"seed {seed}"
