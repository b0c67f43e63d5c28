"""docs/recipes.md: its configurations are read, and its pipeline runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from headway import Client
from headway.configuration import load
from running import RunningExporter

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.S | re.M)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_configuration_is_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "headway.yaml"
    path.write_text(text)
    found = load({}, {}, path)
    assert found.services or found.discovery or found.expected


def test_the_flags_of_the_crontab_exist() -> None:
    (line,) = blocks("cron")
    words = line.split("headway run ")[1].split(" -- ")[0]
    known = subprocess.run([sys.executable, "-m", "headway", "run", "--help"], capture_output=True, text=True, check=True).stdout
    flags = re.findall(r"--[a-z-]+", words)
    assert len(flags) == 5 and all(re.search(rf"{flag}\b", known) for flag in flags)


@pytest.mark.parametrize("failing", [None, "compile"])
def test_the_pipeline_nests_its_steps(exporter: RunningExporter, tmp_path: Path, failing: str | None) -> None:
    (tmp_path / "headway").write_text(f'#!/bin/sh\nexec {sys.executable} -m headway "$@"\n')
    for step in ("fetch", "compile", "test"):
        (tmp_path / f"{step}.sh").write_text(f"#!/bin/sh\necho {step}; exit {int(step == failing)}\n")
    for file in tmp_path.iterdir():
        if file.is_file():
            file.chmod(0o755)
    (script,) = (text for text in blocks("sh") if "for step in" in text)
    env = exporter.client_env | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == (failing is not None), done.stderr
    client = Client(exporter.url, exporter.key)
    (whole,) = client.list(state="all", name="Nightly build")
    steps = client.list(state="all", parent=whole["id"])
    assert [step["name"] for step in reversed(steps)] == (["fetch", "compile"] if failing else ["fetch", "compile", "test"])
    if failing:
        assert (whole["status"], whole["error"], whole["progress"]["current"]) == ("failed", "compile failed", 1)
    else:
        assert (whole["status"], whole["progress"]["current"]) == ("done", 3)


def test_a_batch_job_pushes_its_figures_by_curl_alone(exporter: RunningExporter, tmp_path: Path) -> None:
    (script,) = (text for text in blocks("sh") if "records" in text)
    key = {"Authorization": f"Bearer {exporter.key}"}
    done = subprocess.run(["sh", "-e", "-c", script.replace("http://127.0.0.1:14323", exporter.url)], cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    page = requests.get(f"{exporter.url}/metrics", headers=key, timeout=30).text
    series = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page.splitlines() if not line.startswith("#")}
    values = {name.partition('key="')[2].partition('"')[0]: n for name, n in series.items() if "headway_process_value{" in name}
    assert values == {"records": 512, "bytes": 90211}
    assert {series[f'headway_last_value{{name="Load",kind="cron",key="{key}"}}'] for key in values} == set(values.values())
    assert 0 <= series['headway_last_duration_seconds{name="Load",kind="cron"}'] < 30
    assert series['headway_finished_total{name="Load",kind="cron",outcome="done"}'] == 1
    assert series['headway_last_success_timestamp_seconds{name="Load",kind="cron"}'] > 0


def test_one_call_tells_of_a_run_that_is_over(exporter: RunningExporter, tmp_path: Path) -> None:
    (script,) = (text for text in blocks("sh") if "started_age" in text)
    done = subprocess.run(["sh", "-e", "-c", script.replace("http://127.0.0.1:14323", exporter.url)], cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    headers = {"Authorization": f"Bearer {exporter.key}"}
    (found,) = requests.get(f"{exporter.url}/api/processes?state=all&name=Nightly%20dump", headers=headers, timeout=30).json()[
        "data"
    ]
    assert (found["status"], found["summary"], found["type"]) == ("done", "3 tables", "cron")
    assert found["elapsed_seconds"] == pytest.approx(95, abs=5)
