"""The host's own figures and its pressure: exact from a folder that looks like /proc, and as a part of the page."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from headway.metrics.families import FAMILIES
from headway.metrics.host import HOST_FAMILIES, HealthMetrics
from headway.metrics.page import Format
from headway.sampler.machine import Machine, machine_here, psutil_machine, read_machine


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


PRESSURE = "some avg10=1.00 avg60=0.41 avg300=0.75 total={}\nfull avg10=0.00 avg60=0.03 avg300=0.04 total={}\n"
FILES = {
    "stat": "cpu  100 20 30 9000 500 4 5 77 0 0\ncpu0 50 10 15 4500 250 2 2 7 0 0\ncpu1 50 10 15 4500 250 2 3 70 0 0\nintr 5 0\n",
    "meminfo": "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    4000000 kB\nBuffers: 3 kB\n",
    "pressure/cpu": PRESSURE.format(12_500_000, 0),
    "pressure/memory": PRESSURE.format(250_000, 125_000),
    "pressure/io": PRESSURE.format(3_000_000, 2_000_000),
}


@pytest.mark.skipif(os.sysconf("SC_CLK_TCK") != 100, reason="numbers are for 100 Hz")
def test_figures_from_proc(tmp_path: Path) -> None:
    assert read_machine(write(tmp_path, FILES)) == Machine(
        cpus=2,
        cpu_seconds=1.59,
        memory_bytes=16_000_000 * 1024,
        memory_available_bytes=4_000_000 * 1024,
        waiting={"cpu": 12.5, "memory": 0.25, "io": 3.0},
        stalled={"memory": 0.125, "io": 2.0},
    )


def test_a_kernel_without_pressure_has_no_such_figures(tmp_path: Path) -> None:
    found = read_machine(write(tmp_path, {"meminfo": FILES["meminfo"]}))
    assert found == Machine(memory_bytes=16_000_000 * 1024, memory_available_bytes=4_000_000 * 1024)


@pytest.mark.parametrize("read", [machine_here(), psutil_machine])
def test_both_ways_agree_with_the_system(read: Callable[[], Machine]) -> None:
    found = read()
    assert found.cpus == psutil.cpu_count() and found.memory_bytes == psutil.virtual_memory().total
    times = psutil.cpu_times()
    assert found.cpu_seconds == pytest.approx(times.user + times.system + times.nice, rel=0.05)
    assert found.memory_available_bytes is not None and 0 < found.memory_available_bytes <= found.memory_bytes


def series(machine: Machine) -> dict[tuple[str, str], float]:
    page = HealthMetrics(machine=lambda: machine).page(Format.TEXT).decode()
    found = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {(s.name, s.labels.get("resource", "")): s.value for s in found if s.name.startswith("headway_host_")}


def test_the_page_has_what_is_known_and_nothing_else(tmp_path: Path) -> None:
    found = series(read_machine(write(tmp_path, FILES)))
    assert {name for name, _ in found} == {family.name for family in HOST_FAMILIES}
    assert set(HOST_FAMILIES) <= set(FAMILIES)
    assert found["headway_host_cpus", ""] == 2
    assert found["headway_host_pressure_waiting_seconds_total", "io"] == 3.0
    assert ("headway_host_pressure_stalled_seconds_total", "cpu") not in found
    assert series(Machine()) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="pressure is Linux's")
def test_openmetrics_takes_it_too() -> None:
    text = HealthMetrics().page(Format.OPENMETRICS).decode()
    assert text.endswith("# EOF\n") and "headway_host_memory_bytes" in text
